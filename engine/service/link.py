"""One accepted connection at the client's end: requests out, replies matched to them by id."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from engine.service import messages
from engine.service.frames import Message
from engine.service.wire import Wire

MAX_UNSENT = 90_000_000  # bytes that an engine may leave unread before it counts as hung


class LinkLostError(Exception):
    """The connection ended before the reply came."""


class Link:
    """Sends requests and waits for replies; `on_state` and `on_end` are set by whoever owns it."""

    def __init__(self, wire: Wire, welcome: Message) -> None:
        self.welcome = welcome
        self.on_state: Callable[[Message], None] = lambda message: None
        self.on_end: Callable[[], None] = lambda: None
        self.goodbye: str | None = None  # why the engine left, when it said so
        self.alive = True
        self._wire = wire
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._tracers: dict[int, Callable[[Message], None]] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def call(self, message: Message, trace: Callable[[Message], None] | None = None) -> Any:
        """The engine's answer. Cancelling this tells the engine.

        Raises the engine's `RemaskError`, or `LinkLostError`.
        """
        if not self.alive:
            raise LinkLostError("the connection has ended")
        id = next(self._ids)
        if self._wire.unsent > MAX_UNSENT:
            self.close()
            raise LinkLostError("the engine does not read what it is sent")
        self._wire.send({"id": id} | message)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[id] = future
        if trace is not None:
            self._tracers[id] = trace
        try:
            reply = await future
        except asyncio.CancelledError:
            self.tell({"id": id, "kind": "cancel"})
            raise
        finally:
            self._waiting.pop(id, None)
            self._tracers.pop(id, None)
        if reply["kind"] == "error":
            raise messages.error_from_wire(reply)
        return reply.get("answer")

    def tell(self, message: Message) -> None:
        """Send what has no reply."""
        if self.alive:
            self._wire.send(message)

    def close(self) -> None:
        """End the connection; whoever waits gets `LinkLostError`."""
        self._listening.cancel()
        self._end()

    async def _listen(self) -> None:
        try:
            while (message := await self._wire.receive()) is not None:
                self._receive(message)
        except asyncio.CancelledError:
            self.on_end = lambda: None  # the program ends, not the engine
            raise
        finally:
            self._end()

    def _receive(self, message: Message) -> None:
        id, kind = message.get("id"), message.get("kind")
        if kind == "state":
            self.on_state(message)
        elif kind == "bye":
            self.goodbye = str(message.get("message", ""))
        elif kind == "trace":
            if tracer := self._tracers.get(id):  # type: ignore[arg-type]
                tracer({key: value for key, value in message.items() if key not in ("id", "kind")})
        elif kind in ("answer", "error"):
            future = self._waiting.get(id)  # type: ignore[arg-type]
            if future is not None and not future.done():
                future.set_result(message)

    def _end(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self._wire.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkLostError("the connection ended"))
        self.on_end()
