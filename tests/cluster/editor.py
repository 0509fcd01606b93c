"""A client of the wire protocol, written from docs/cluster.md alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from types import TracebackType
from typing import Any, Self

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Message = dict[str, Any]

CODE = "import os\n\n\ndef area(radius, scale=1.0):\n    '''Of a circle.'''\n    return "
HERE = {"prefix": CODE, "suffix": "\n", "language": "python", "path": "shapes.py"}


class Editor:
    """Connects on entering; `ask` waits for the answer or error of one request."""

    def __init__(self, url: str, token: str, ssl: Any = None) -> None:
        self.url, self.token, self.ssl = url, token, ssl
        self.traces: list[Message] = []
        self.unasked: list[Message] = []  # replies with id 0
        self.replies: list[Message] = []  # every answer and error, in order
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self.socket: ClientConnection = await connect(
            self.url,
            additional_headers=headers,
            max_size=None,
            ssl=self.ssl,
            open_timeout=30,
            compression=None,
            proxy=None,  # whatever http_proxy says
        )
        self.welcome: Message = msgpack.unpackb(await self.socket.recv())
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        self._reader.cancel()
        with contextlib.suppress(Exception):
            await self.socket.close()

    async def send(self, message: Message | bytes | str) -> None:
        await self.socket.send(msgpack.packb(message) if isinstance(message, dict) else message)

    def start(self, kind: str, deadline: float = 20.0, **fields: Any) -> asyncio.Task[Message]:
        """Ask, and wait in the background."""
        return asyncio.create_task(self.ask(kind, deadline, **fields))

    async def ask(self, kind: str, deadline: float = 20.0, **fields: Any) -> Message:
        id = fields.pop("id", None) or next(self._ids)
        future = self._waiting[id] = asyncio.get_running_loop().create_future()
        await self.send({"id": id, "kind": kind, "deadline": deadline} | fields)
        async with asyncio.timeout(60):
            return await future

    async def complete(self, deadline: float = 20.0, **fields: Any) -> Message:
        return await self.ask("complete", deadline, **(HERE | fields))

    async def closed(self, seconds: float = 20.0) -> int | None:
        """Wait for the end; the close code."""
        async with asyncio.timeout(seconds):
            await self.socket.wait_closed()
        return self.socket.close_code

    async def _read(self) -> None:
        try:
            async for body in self.socket:
                message = msgpack.unpackb(body)
                if message["kind"] == "trace":
                    self.traces.append(message)
                elif message["id"] == 0:
                    self.unasked.append(message)
                else:
                    self.replies.append(message | {"at": time.monotonic()})
                    if (waiting := self._waiting.pop(message["id"], None)) is not None:
                        waiting.set_result(message)
        except ConnectionClosed:
            pass
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection ended"))
                future.exception()  # whoever waits is told; nobody may be waiting
