"""Messages over a WebSocket: each binary message is one msgpack map (docs/cluster.md, *Wire protocol 1*)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.errors import BadRequestError
from engine.service.frames import FrameError, Message, encode, unpack

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

CLOSE_SECONDS = 1.0


class SocketWire:
    """Sends in order and without waiting; `code` and `reason` are the other side's once it has closed."""

    def __init__(self, socket: ClientConnection) -> None:
        self.max_bytes: int | None = None  # of one message, as the other side said
        self.code: int | None = None
        self.reason = ""
        self._socket = socket
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._unsent = 0
        self._sending = asyncio.create_task(self._send_all())
        self._closing: asyncio.Task[None] | None = None

    @property
    def unsent(self) -> int:
        """Bytes that were not given to the socket yet."""
        return self._unsent

    def send(self, message: Message) -> None:
        """Put a message into the queue; `BadRequestError` when it is larger than the other side takes."""
        body = encode(message)
        if self.max_bytes is not None and len(body) > self.max_bytes:
            raise BadRequestError(
                f"the request has {len(body):,} bytes; the team's engine takes at most {self.max_bytes:,}"
            )
        self._unsent += len(body)
        self._queue.put_nowait(body)

    async def receive(self) -> Message | None:
        """The next message; None when the connection is over."""
        from websockets.exceptions import ConnectionClosed

        try:
            body = await self._socket.recv()
        except ConnectionClosed as end:
            if end.rcvd is not None:
                self.code, self.reason = end.rcvd.code, end.rcvd.reason
            return None
        try:
            return unpack(body if isinstance(body, bytes) else b"")
        except FrameError:
            self.reason = "it sent what is no message of this protocol"
            return None

    def close(self) -> None:
        """Say goodbye in the background; `closed` waits for it."""
        self._sending.cancel()
        if self._closing is None:
            self._closing = asyncio.create_task(self._socket.close())

    async def closed(self) -> None:
        """Wait until the goodbye is over."""
        if self._closing is not None:
            await asyncio.gather(self._closing, return_exceptions=True)

    async def _send_all(self) -> None:
        from websockets.exceptions import ConnectionClosed

        while True:
            body = await self._queue.get()
            try:
                await self._socket.send(body)
            except ConnectionClosed:
                return  # `receive` tells why
            self._unsent -= len(body)
