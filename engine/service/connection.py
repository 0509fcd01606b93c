"""One client at the engine's end: the greeting, its requests, and replies that never pile up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from typing import TYPE_CHECKING

from engine.errors import BadRequestError, RemaskError
from engine.service import messages
from engine.service.frames import (
    MAX_FRAME,
    MAX_GREETING,
    FrameError,
    Message,
    pack,
    read_body,
    read_frame,
    read_length,
    unpack,
)
from engine.service.identity import Identity, proof, proves
from engine.service.peer import peer_user

if TYPE_CHECKING:
    from engine.service.server import EngineServer

log = logging.getLogger(__name__)

GREETING_SECONDS = 5.0
LARGE_FRAME = 1_000_000  # bytes; of these the engine reads one at a time
LARGE_SECONDS = 20.0
NUMBERS = itertools.count(1)
MAX_UNSENT = 8_000_000  # bytes that a client may leave unread before it is cut off
MAX_UNSENT_TRACE = 256_000  # above this, steps are left out of its denoising view


class Connection:
    """Reads one client's frames and writes its replies."""

    def __init__(self, server: EngineServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.purpose = ""  # "work" or "control" once it has been let in
        self.number = next(NUMBERS)
        self.files: set[str] = set()  # that it had remembered: those that may speak to it

    async def serve(self) -> None:
        """Until the client leaves, breaks the protocol or is cut off."""
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                welcome = await self._greet()
            if welcome is None:
                return
            self.send(welcome)
            while (length := await read_length(self.reader, MAX_FRAME)) is not None:
                self._receive(await self._read(length), length)
        except FrameError as wrong:
            log.warning("a client was cut off: %s", wrong)
            self.send({"id": 0, "kind": "error", "error": "BadRequestError", "message": f"protocol error: {wrong}"})
        except TimeoutError:
            log.warning("a client was cut off: it did not finish a greeting or a frame in time")
        except OSError:
            pass  # it went away; its work is dropped by the server
        finally:
            await self._close()

    def send(self, message: Message) -> None:
        """Queue a message; cuts off a client that does not read."""
        if self.writer.is_closing():
            return
        unsent = self.writer.transport.get_write_buffer_size()
        if message["kind"] == "trace" and unsent > MAX_UNSENT_TRACE:
            return
        if unsent > MAX_UNSENT:
            log.warning("a client was cut off: it left %d bytes unread", unsent)
            self.writer.transport.abort()
            return
        self.writer.write(pack(message))

    def refuse(self, reason: str, why: str = "refused") -> None:
        """Say why this client is not let in."""
        self.send({"id": 0, "kind": why, "message": reason})

    async def _greet(self) -> Message | None:
        """The reply to a client that may stay; None for one that may not, which has been told."""
        if not self._is_own_user():
            log.warning("a connection of another user was refused")
            self.refuse("this engine serves the user who started it, and nobody else")
            return None
        hello = await read_frame(self.reader, MAX_GREETING)
        if hello is None:
            return None
        if hello.get("kind") != "hello":
            raise FrameError("the first message must be a greeting")
        if self.server.token is not None and not await self._prove(hello, self.server.token):
            log.warning("a connection without the token was refused")
            self.refuse("the token is missing or wrong")
            return None
        if hello.get("purpose") == "control":
            self.purpose = "control"
            return self.server.welcome()
        try:
            client = Identity.from_wire(hello.get("identity") or {})
        except (RemaskError, AttributeError) as wrong:
            raise FrameError(str(wrong)) from None
        verdict, reason = self.server.judge(client)
        if verdict == "accepted":
            self.purpose = "work"
            return self.server.welcome()
        log.info("a client was not accepted: %s", reason)
        self.refuse(reason, verdict)
        if verdict == "outdated":
            self.server.leave(reason)
        return None

    def _is_own_user(self) -> bool:
        if self.server.token is not None:
            return True  # TCP: the token decides
        user = peer_user(self.writer.get_extra_info("socket"))
        return user is None or user == self.server.user

    async def _prove(self, hello: Message, token: str) -> bool:
        """Both sides show that they hold the token, the engine first: whoever took over its port learns nothing."""
        nonce = secrets.token_hex(16)
        theirs = hello.get("nonce")
        if not isinstance(theirs, str):
            return False
        self.send({"id": 0, "kind": "challenge", "proof": proof(token, "engine", theirs), "nonce": nonce})
        reply = await read_frame(self.reader, MAX_GREETING)
        return reply is not None and proves(token, "client", nonce, reply.get("proof"))

    async def _read(self, length: int) -> Message:
        if length < LARGE_FRAME:
            return unpack(await read_body(self.reader, length))
        async with self.server.large_frames, asyncio.timeout(LARGE_SECONDS):
            return unpack(await read_body(self.reader, length))

    def _receive(self, message: Message, size: int) -> None:
        id, kind = message.get("id"), message.get("kind")
        if isinstance(id, bool) or not isinstance(id, int) or not isinstance(kind, str):
            raise FrameError("a request has a number as id and a text as kind")
        try:
            if self.purpose == "control" and kind not in ("ping", "stats", "leave"):
                raise BadRequestError(f"{kind} is not open to a control connection")
            self.server.handle(self, message, size)
        except RemaskError as error:
            self.send({"id": id} | messages.error_to_wire(error))

    async def _close(self) -> None:
        self.server.forget_connection(self)
        self.writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self.writer.wait_closed()
        if self.writer.transport.get_write_buffer_size():
            self.writer.transport.abort()
