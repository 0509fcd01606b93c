"""`EngineClient`: an engine for an asyncio program, in a process of its own that is started, shared and restarted.

A crash costs the caller a suggestion at most: an automatic request answers with nothing, one that a person waits for
is asked again of the next engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from engine.errors import BadRequestError, EngineUnavailableError, ModelError, RemaskError
from engine.service import messages
from engine.service.backoff import Backoff
from engine.service.find import START_SECONDS, find_or_start
from engine.service.frames import Message
from engine.service.link import Link, LinkLostError
from engine.service.options import EngineOptions
from engine.types import (
    CompleteAnswer,
    CompleteRequest,
    RepairAnswer,
    RepairRequest,
    RewriteAnswer,
    RewriteRequest,
)

__all__ = ["EngineClient", "EngineOptions", "EngineState"]

INVOKED_SECONDS = 60.0  # when the caller names no deadline
AUTOMATIC_SECONDS = 5.0
MEMORY_SECONDS = 3600.0  # nobody waits for it: it may take as long as the engine has better things to do
GRACE_SECONDS = 0.1  # for an automatic answer that is on its way at its deadline
HUNG_SECONDS = 10.0  # past its deadline, and the engine counts as hung
PATIENCE_SECONDS = 5.0  # a longer back-off than this is told, not waited for
MAX_REMEMBERED = 16_000_000  # characters kept to be sent again after a crash

Status = Literal["stopped", "starting", "loading", "ready", "failed"]
Trace = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class EngineState:
    """What to show in a status line. `message` says what is wrong, or what is going on; it may be empty.

    `engine` says whose it is: this machine's, a team's at `host`, or this machine's in place of the team's.
    """

    state: Status
    message: str = ""
    device: str | None = None
    model: str | None = None
    engine: Literal["local", "team", "fallback"] = "local"
    host: str | None = None


class EngineClient:
    """Starts the engine process on the first request, shares it with other clients, reconnects when it is gone."""

    def __init__(
        self, options: EngineOptions | None = None, on_state: Callable[[EngineState], None] | None = None
    ) -> None:
        self.options = options or EngineOptions()
        self.state = EngineState("stopped")
        self._on_state = on_state
        self._link: Link | None = None
        self._connecting: asyncio.Task[Link] | None = None
        self._backoff = Backoff()
        self._trouble = ""
        self._remembered: dict[str, str] = {}  # in the order in which they were first told
        self._unsaved: set[str] = set()  # of them
        self._kept = 0  # characters of it
        self._sending = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ready = asyncio.Event()
        self._closed = False

    async def start(self) -> None:
        """Have the engine started or found, so that the first request finds it warm; errors are told as states."""
        with contextlib.suppress(RemaskError):
            await self._connected()

    async def complete(
        self,
        request: CompleteRequest,
        *,
        document: str | None = None,
        automatic: bool = False,
        trace: Trace | None = None,
    ) -> CompleteAnswer:
        """Suggestions. A newer request of the same `document` makes this one raise `CancelledError` (of engine.errors).

        An invoked request waits for the engine to start and to load; an automatic one answers with no items at its
        deadline and whenever there is no engine. `trace` is called with each denoising step: `{"step", "event",
        "pieces", "changed"}`, pieces being texts, None for a mask. Raises `BadRequestError`, and when invoked also
        `EngineUnavailableError` and `ModelError`.
        """
        message = {"kind": "complete", "automatic": automatic, "trace": trace is not None}
        message |= self._about(request, document)
        if not automatic:
            return messages.complete_answer(await self._invoke(message, request.deadline, trace))
        nothing = CompleteAnswer([], 0, 0)
        budget = seconds_left(request.deadline, AUTOMATIC_SECONDS)
        end = time.monotonic() + budget
        try:
            async with asyncio.timeout(budget + GRACE_SECONDS):
                link = await self._connected()
                left = max(end - time.monotonic(), 0.0)
                return messages.complete_answer(await link.call(message | {"deadline": left}, trace))
        except (TimeoutError, LinkLostError, EngineUnavailableError, ModelError):
            return nothing

    async def repair(self, request: RepairRequest, *, document: str | None = None) -> RepairAnswer:
        """A repair; it gives way to completions. Raises what `complete` raises when invoked."""
        message = {"kind": "repair"} | self._about(request, document)
        return messages.repair_answer(await self._invoke(message, request.deadline))

    async def rewrite(self, request: RewriteRequest, *, document: str | None = None) -> RewriteAnswer:
        """Another text for a selection. Raises what `complete` raises when invoked."""
        message = {"kind": "rewrite"} | self._about(request, document)
        return messages.rewrite_answer(await self._invoke(message, request.deadline))

    async def warm(self, request: CompleteRequest, *, document: str | None = None) -> None:
        """Prefill the context at a cursor before anyone asks; gives way to everything else. Never raises on purpose."""
        message = {"kind": "warm", "deadline": INVOKED_SECONDS} | self._about(request, document)
        with contextlib.suppress(RemaskError, LinkLostError):
            link = await self._connected()
            await link.call(message)

    async def remember(self, path: str, text: str, unsaved: bool = False) -> None:
        """Add a file to the workspace's memory; returns once it can be found. Sent again to every new engine.

        Nothing of a text that is `unsaved` is kept on the disk.
        """
        if self.options.memory:
            self.keep(path, text, unsaved)
            await self._tell_memory(_remember(path, text, unsaved))

    def keep(self, path: str, text: str, unsaved: bool = False) -> None:
        """Have a file remembered by the engine that is connected to next.

        Who feeds a workspace begins with what matters most: over the bound the file that came last makes room.
        """
        if len(text) > MAX_REMEMBERED:
            self._drop(path)
            return
        self._kept += len(text) - len(self._remembered.get(path, ""))
        self._remembered[path] = text
        (self._unsaved.add if unsaved else self._unsaved.discard)(path)
        while self._kept > MAX_REMEMBERED:
            self._drop(next(other for other in reversed(self._remembered) if other != path))

    @property
    def remembered(self) -> Mapping[str, str]:
        """Texts of the files that this client had remembered, by path."""
        return MappingProxyType(self._remembered)

    def hand_over(self, other: EngineClient) -> None:
        """Have another client's engine know the same files."""
        for path, text in self._remembered.items():
            other.keep(path, text, path in self._unsaved)

    async def forget(self, path: str) -> None:
        """Drop a file from the workspace's memory."""
        self._drop(path)
        if self.options.memory:
            await self._tell_memory({"kind": "forget", "path": path})

    def drop(self, path: str) -> None:
        """Have the engine that is connected to next not told of a file; the present one is told by `forget`."""
        self._drop(path)

    async def stats(self) -> dict[str, Any]:
        """The engine's counters, and the service's under `service`. Starts the engine if need be."""
        return dict(await self._invoke({"kind": "stats"}, None))

    async def ping(self) -> dict[str, Any]:
        """State, process id, version and queue, answered however busy the engine is."""
        return dict(await self._invoke({"kind": "ping"}, None))

    async def restart(self) -> None:
        """Have the engine leave, and another started."""
        link = self._link
        self._backoff.reset()
        if link is not None and link.alive:
            gone = asyncio.Event()
            link.on_end = gone.set
            with contextlib.suppress(RemaskError, LinkLostError, TimeoutError):
                async with asyncio.timeout(HUNG_SECONDS):
                    await link.call({"kind": "leave", "why": "a client asked for a restart"})
                    await gone.wait()
            link.close()
            self._link = None
        await self._connected()

    async def close(self) -> None:
        """End the connection; the engine stays for others until it has been unused for its idle time."""
        self._closed = True
        tasks = [*self._tasks, *([self._connecting] if self._connecting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._link is not None:
            self._link.on_end = lambda: None
            self._link.close()
            self._link = None
        self._become(EngineState("stopped"))

    def _drop(self, path: str) -> None:
        self._kept -= len(self._remembered.pop(path, ""))
        self._unsaved.discard(path)

    # Asking.

    async def _invoke(self, message: Message, deadline: float | None, trace: Trace | None = None) -> Any:
        """Ask; when the engine dies under the request, ask the next one once more."""
        budget = seconds_left(deadline, INVOKED_SECONDS)
        for attempt in (1, 2):
            link = await self._connected()
            try:
                return await self._patiently(link, message | {"deadline": budget}, budget, trace)
            except LinkLostError:
                if attempt == 2 or self._closed:
                    break
        raise EngineUnavailableError("the engine process ended twice while it worked on this request; its log says why")

    async def _patiently(self, link: Link, message: Message, budget: float, trace: Trace | None) -> Any:
        """Wait for the answer as long as the model loads, and then until the deadline and some more."""
        call = asyncio.ensure_future(link.call(message, trace))
        try:
            while not call.done():
                ready = self._ready.is_set()
                await asyncio.wait([call], timeout=budget + HUNG_SECONDS if ready else START_SECONDS)
                if ready and not call.done():
                    link.close()
                    raise EngineUnavailableError(
                        "the engine did not answer in time: if it hangs, it leaves within half a minute, and "
                        "another is started for the next request"
                    )
            return call.result()
        finally:
            if not call.done():
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)

    async def _tell_memory(self, message: Message) -> None:
        """One at a time, so that a workspace being read never fills the engine's queue."""
        async with self._sending:
            link = await self._connected()
            with contextlib.suppress(LinkLostError):  # the next engine is told all that is remembered
                await link.call(message | {"deadline": MEMORY_SECONDS})

    # Connecting.

    async def _connected(self) -> Link:
        """The live connection; made by one task that all callers share, and that outlives their impatience."""
        if self._closed:
            raise EngineUnavailableError("this client has been closed")
        if self._link is not None and self._link.alive:
            return self._link
        if self._connecting is None or self._connecting.done():
            if self._backoff.left > PATIENCE_SECONDS:
                raise EngineUnavailableError(
                    f"{self._trouble or 'the engine keeps failing'}; next attempt in {self._backoff.left:.0f} s"
                )
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(_look_at)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Link:
        await asyncio.sleep(self._backoff.left)
        try:
            link = await self._open()
        except RemaskError as failure:
            self._trouble = str(failure)
            self._failed(failure)
            self._become(EngineState("failed", str(failure)))
            raise
        self._backoff.success()
        self._trouble = ""
        self._link = link
        link.on_state = self._on_engine_state
        link.on_end = self._on_end
        self._on_engine_state(link.welcome)
        if not link.alive:
            self._on_end()
        elif self._remembers(link):
            self._in_background(self._remember_again(link))
        return link

    # What is different for an engine that is elsewhere (`engine.remote`).

    async def _open(self) -> Link:
        self._become(EngineState("starting", "starting the engine"))
        return await find_or_start(self.options)

    def _failed(self, failure: RemaskError) -> None:
        self._backoff.failure()

    def _about(self, request: messages.Request, document: str | None) -> Message:
        return {"document": document} | messages.request_to_wire(request)

    def _remembers(self, link: Link) -> bool:
        return bool(self._remembered)

    async def _remember_again(self, link: Link) -> None:
        with contextlib.suppress(LinkLostError):
            for path, text in list(self._remembered.items()):
                async with self._sending:
                    if self._remembered.get(path) is text:
                        await self._send_again(link, path, text)

    async def _send_again(self, link: Link, path: str, text: str) -> None:
        try:
            await link.call(_remember(path, text, path in self._unsaved) | {"deadline": MEMORY_SECONDS})
        except BadRequestError:
            self._drop(path)  # it cannot be sent, now or later: a name that is no text, for one
        except RemaskError:
            pass  # this engine does without it

    def _on_end(self) -> None:
        link, self._link = self._link, None
        self._ready.clear()
        if self._closed or link is None:
            return
        if link.goodbye is not None:
            # An engine that could not load its model leaves after a while: what is wrong with the model stays wrong.
            if self.state.state != "failed":
                self._become(EngineState("stopped", link.goodbye))
            return
        self._backoff.failure()
        self._trouble = "the engine process ended unexpectedly"
        self._become(EngineState("stopped", self._trouble))
        self._in_background(self.start())

    def _on_engine_state(self, message: Message) -> None:
        state: Status = message["state"] if message.get("state") in ("loading", "ready", "failed") else "loading"
        if state == "loading":
            self._ready.clear()
        else:
            self._ready.set()
        self._become(EngineState(state, str(message.get("message") or ""), message.get("device"), message.get("model")))

    def _become(self, state: EngineState) -> None:
        if state == self.state:
            return
        self.state = state
        if self._on_state is not None:
            self._on_state(state)

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _remember(path: str, text: str, unsaved: bool) -> Message:
    return {"kind": "remember", "path": path, "text": text, "unsaved": unsaved}


def seconds_left(deadline: float | None, default: float) -> float:
    """Seconds until a `time.monotonic()` instant."""
    return default if deadline is None else max(deadline - time.monotonic(), 0.0)


def _look_at(task: asyncio.Task[Link]) -> None:
    """Every waiter may have gone: its exception has been told as a state."""
    if not task.cancelled():
        task.exception()
