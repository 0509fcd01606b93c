"""One WebSocket of one user: messages in, calls to replicas, replies out; bounded in every direction."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.cluster.calls import Call, unanswered
from engine.cluster.limits import Bucket
from engine.cluster.wire import packed
from engine.errors import BadRequestError, CancelledError, EngineUnavailableError, RemaskError
from engine.service import messages
from engine.service.frames import FrameError, Message, unpack
from engine.service.intake import job_from

if TYPE_CHECKING:
    from engine.cluster.ingress import Ingress, User

MAX_IN_FLIGHT = 64
REFUSALS_PER_SECOND, REFUSALS_AT_ONCE = 20.0, 1_000.0  # over the rate; beyond that a client is cut off
GOING_AWAY, POLICY, TOO_LARGE, MALFORMED, REVOKED = 1001, 1008, 1009, 4400, 4401  # RFC 6455, 7.4

_numbers = itertools.count(1)


class Session:
    """Owns the requests of one connection."""

    def __init__(self, ingress: Ingress, socket: WebSocket, user: User) -> None:
        self.ingress = ingress
        self.socket = socket
        self.user = user
        self.owner = f"{user.token.name}/{ingress.name}/{next(_numbers)}"
        self._calls: dict[int, tuple[Call, asyncio.Task[None]]] = {}
        self._patience = Bucket(REFUSALS_PER_SECOND, REFUSALS_AT_ONCE)
        self._reading: asyncio.Task[None] | None = None
        self._end: tuple[int, str] | None = None

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._calls)

    async def serve(self) -> None:
        """Until the client leaves or is cut off; then its requests end."""
        await self.send(packed(self.ingress.welcome(self.user)))
        self._reading = asyncio.create_task(self._read())
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        finally:
            self._reading.cancel()
            for _, task in self._calls.values():
                task.cancel()
        if self._end is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it left by itself
                await self.socket.close(*self._end)

    def end(self, code: int, why: str) -> None:
        """Close the connection with a code and a reason (123 bytes at most)."""
        if self._end is None:
            self._end = code, why
            if self._reading is not None:
                self._reading.cancel()

    async def send(self, body: bytes) -> None:
        """Send a packed message; what it costs is charged to the token, for the client may not read it."""
        self.user.bytes.spend(len(body))
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it left: so will this session
            await self.socket.send_bytes(body)

    async def _send_stats(self, body: bytes) -> None:
        """The engine's numbers go out with the ingress's."""
        reply = unpack(body)
        if reply["kind"] == "answer":
            reply["answer"] |= {"service": self.ingress.stats()}
        await self.send(packed(reply))

    async def _read(self) -> None:
        while (message := await self.socket.receive())["type"] != "websocket.disconnect":
            body = message.get("bytes")
            try:
                if body is None:
                    raise FrameError("a text message")
                if len(body) > self.ingress.max_bytes:
                    self.end(TOO_LARGE, f"a message has {self.ingress.max_bytes:,} bytes at most")
                    return
                await self._receive(unpack(body), body)
            except FrameError as wrong:
                self.ingress.metrics.refused.inc(1, {"why": "malformed"})
                self.end(MALFORMED, f"protocol error: {wrong}")
                return

    async def _receive(self, message: Message, body: bytes) -> None:
        id, kind = message.get("id"), message.get("kind")
        if isinstance(id, bool) or not isinstance(id, int) or not isinstance(kind, str):
            raise FrameError("a request has a number as id and a text as kind")
        if kind == "cancel":
            await self._cancel(id)
            return
        try:
            self._admit(len(body))
            answer = await self._handle(id, kind, message, body)
        except RemaskError as error:
            await self.send(packed({"id": id} | messages.error_to_wire(error)))
            return
        if answer is not None:
            await self.send(packed({"id": id, "kind": "answer"} | answer))

    def _admit(self, size: int) -> None:
        wait = self.user.admit(size)
        if wait > 0:
            self.ingress.metrics.refused.inc(1, {"why": "rate"})
            if self._patience.take() > 0:
                self.end(POLICY, "far more requests than the rate allows")
            raise EngineUnavailableError(f"too many requests with this token: try again in {wait:.1f} s")

    async def _handle(self, id: int, kind: str, message: Message, body: bytes) -> dict[str, Any] | None:
        """What to answer at once; None when a replica will."""
        if kind == "ping":
            return {"answer": self.ingress.ping()}
        if kind == "leave":
            raise BadRequestError("leave is not open to clients of a team's engine")
        if id in self._calls:
            raise BadRequestError(f"a request with id {id} is already under way")
        job = job_from(message, self.owner, nobody, len(body))
        if kind in ("remember", "forget"):
            return {"answer": None}  # no memory here: what one user's files hold must not reach another
        if len(self._calls) >= MAX_IN_FLIGHT:
            raise EngineUnavailableError(f"{MAX_IN_FLIGHT} requests of this connection are under way already")
        call = Call.of(job, self.user.token.name, body)
        await self._supersede(call)
        task = self.ingress.engines.start(call, self._send_stats if kind == "stats" else self.send)
        self._calls[id] = call, task
        task.add_done_callback(lambda _: self._forget(call))
        return None

    def _forget(self, call: Call) -> None:
        if self._calls.get(call.id, (None, None))[0] is call:
            del self._calls[call.id]

    async def _cancel(self, id: int) -> None:
        if id in self._calls:
            await self._stop(id, "the request was cancelled")

    async def _supersede(self, new: Call) -> None:
        """Older requests of this document and kind are stale, on whichever replica they are."""
        if new.document is None:
            return
        for call, _ in list(self._calls.values()):
            if call.document == new.document and call.kind == new.kind:
                await self._stop(call.id, "a newer request of the same document took its place")

    async def _stop(self, id: int, why: str) -> None:
        call, task = self._calls.pop(id)
        task.cancel()
        if not call.over:
            call.over = True
            await self.send(unanswered(call, why, CancelledError))


def nobody(message: Message) -> None:
    """The replica's job has the receiver of replies; the ingress's is only checked."""
