"""A client that knows the frames and nothing else, so that a test can break any rule."""

from __future__ import annotations

import asyncio
import secrets
import socket

from engine.service.frames import Message, pack, read_frame
from engine.service.identity import own_identity, proof
from engine.service.options import EngineOptions
from engine.service.place import find_place


class RawClient:
    """One connection. Everything waits half a minute at most."""

    def __init__(self, options: EngineOptions, receive_buffer: int | None = None) -> None:
        self.options = options
        self.receive_buffer = receive_buffer

    async def connect(self) -> RawClient:
        place = find_place(self.options)
        if place.transport == "tcp":
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", place.read_note()[0])
            return self
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.setblocking(False)
        if self.receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        await asyncio.get_running_loop().sock_connect(raw, str(place.socket))
        self.reader, self.writer = await asyncio.open_unix_connection(sock=raw)
        return self

    async def greet(self, **changes: object) -> Message | None:
        """Say hello as a proper client would, but for `changes` of its identity; the engine's last word on it."""
        identity = own_identity(self.options).to_wire() | changes
        nonce = secrets.token_hex(8)
        self.send(kind="hello", nonce=nonce, identity=identity)
        reply = await self.receive()
        if reply is not None and reply["kind"] == "challenge":
            token = find_place(self.options).read_note()[1]
            self.send(kind="proof", proof=proof(token, "client", reply["nonce"]))
            reply = await self.receive()
        return reply

    def send(self, **message: object) -> None:
        self.writer.write(pack(message))

    def send_bytes(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self, *kinds: str, seconds: float = 30.0) -> Message | None:
        """The next message, or the next of these kinds; None when the engine closed."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    message = await read_frame(self.reader)
                except OSError:
                    return None
                if message is None or not kinds or message["kind"] in kinds:
                    return message

    async def replies(self, count: int) -> dict[int, Message]:
        """The next answers and errors by id."""
        found: dict[int, Message] = {}
        while len(found) < count:
            message = await self.receive("answer", "error")
            assert message is not None, f"the engine closed the connection after {found}"
            found[message["id"]] = message
        return found

    def complete(self, id: int, prefix: str = "x", passes: int = 1, deadline: float = 30.0, **more: object) -> None:
        self.send(
            id=id,
            kind="complete",
            deadline=deadline,
            prefix=prefix,
            suffix="",
            language="python",
            max_tokens=passes,
            **more,
        )

    def close(self) -> None:
        self.writer.transport.abort()


async def greeted(options: EngineOptions, **arguments: int) -> RawClient:
    """A client that has been let in."""
    client = await RawClient(options, **arguments).connect()
    welcome = await client.greet()
    assert welcome is not None
    assert welcome["kind"] == "welcome", welcome
    return client
