"""The ingress: who may come in, over WebSocket or plain HTTP. Serve's proxy, in front of it, ends TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from engine.cli.main import package_version
from engine.cluster.calls import Call, Engines
from engine.cluster.metrics import IngressMetrics
from engine.cluster.options import ClusterOptions
from engine.cluster.session import GOING_AWAY, MAX_IN_FLIGHT, REVOKED, Session, nobody
from engine.cluster.users import TooManyRequestsError, UnauthorizedError, User, Users
from engine.cluster.wire import MAX_BYTES, packed
from engine.errors import BadRequestError, EngineUnavailableError, RemaskError
from engine.service import messages
from engine.service.frames import Message, unpack
from engine.service.identity import PROTOCOL
from engine.service.intake import job_from
from engine.service.server import resident_bytes

log = logging.getLogger("ray.serve")

WATCH_SECONDS = 1.0  # between two looks at the file of tokens
DESCRIBE_SECONDS = 5.0
HTTP_DEADLINE = 10.0
STATUS = {
    "BadRequestError": 400,
    "UnauthorizedError": 401,
    "CancelledError": 409,
    "TooLargeError": 413,
    "TooManyRequestsError": 429,
    "EngineUnavailableError": 503,
    "ModelError": 503,
}

UNKNOWN = {"state": "loading", "message": "no engine is ready yet", "model": None, "digest": None, "device": None}


class TooLargeError(RemaskError):
    """A request over the limit."""


class Ingress:
    """Serve makes one of these in each ingress's process; `engines` is its handle to the replicas."""

    def __init__(self, args: dict[str, Any], engines: Any) -> None:
        self.options = ClusterOptions.from_args(args)
        self.name = secrets.token_hex(4)
        self.max_bytes = MAX_BYTES
        self.metrics = IngressMetrics()
        self.engines = Engines(engines, self.metrics)
        self.users = Users(self.options)
        self._sessions: set[Session] = set()
        self._http = 0  # requests by HTTP so far
        self._state: dict[str, Any] = UNKNOWN
        self._started = time.monotonic()

    def __serve_build_asgi_app__(self) -> Starlette:
        """Called by `serve.ingress` after the constructor."""
        posts = [Route(f"/v1/{kind}", self.post, methods=["POST"]) for kind in ("complete", "repair", "rewrite")]
        return Starlette(
            lifespan=self._watching,
            routes=[
                WebSocketRoute("/v1/engine", self.engine),
                Route("/v1/health", self.health, methods=["GET"]),
                *posts,
            ],
        )

    # What comes in.

    async def engine(self, socket: WebSocket) -> None:
        """Many requests at a time, as msgpack maps."""
        try:
            user = self.users.identify(socket.headers)
            self._make_room(user)
        except RemaskError as refused:
            await socket.send_denial_response(self._refusal(refused))
            return
        await socket.accept()
        session = Session(self, socket, user)
        self._sessions.add(session)
        user.connections += 1
        try:
            await session.serve()
        finally:
            user.connections -= 1
            self._sessions.discard(session)

    async def health(self, request: Request) -> JSONResponse:
        """For load balancers: no token, and nothing to learn."""
        ready = self._state["state"] == "ready"
        return JSONResponse({"state": self._state["state"], "version": package_version()}, 200 if ready else 503)

    async def post(self, request: Request) -> JSONResponse:
        """One request of the kind that the path ends in."""
        kind = request.url.path.rpartition("/")[2]
        try:
            user = self.users.identify(request.headers)
            body = await self._body(request)
            wait = user.admit(len(body))
            if wait > 0:
                raise TooManyRequestsError(f"too many requests with this token: try again in {wait:.1f} s", wait)
            if user.posts >= MAX_IN_FLIGHT:
                raise TooManyRequestsError(f"{user.posts} requests with this token are under way already", 1.0)
            user.posts += 1
            try:
                return await self._ask(kind, body, user)
            finally:
                user.posts -= 1
        except RemaskError as refused:
            return self._refusal(refused)

    # What goes out.

    def welcome(self, user: User) -> Message:
        """The first message to a client."""
        return {
            "id": 0,
            "kind": "welcome",
            "protocol": PROTOCOL,
            "version": package_version(),
            "memory": False,
            "max_bytes": self.max_bytes,
            "max_in_flight": MAX_IN_FLIGHT,
            "name": user.token.name,
        } | self._state

    def ping(self) -> Message:
        """What can be told at once."""
        return self._state | {"pid": os.getpid(), "version": package_version(), "clients": len(self._sessions)}

    def stats(self) -> Message:
        """The ingress's own numbers."""
        return {
            "pid": os.getpid(),
            "version": package_version(),
            "uptime_s": round(time.monotonic() - self._started, 1),
            "resident_bytes": resident_bytes(),
            "clients": len(self._sessions),
            "in_flight": sum(session.in_flight for session in self._sessions),
        }

    # How.

    @contextlib.asynccontextmanager
    async def _watching(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._follow())]
        yield
        for task in tasks:
            task.cancel()
        for session in list(self._sessions):
            session.end(GOING_AWAY, "this ingress leaves: connect again")

    def _make_room(self, user: User) -> None:
        wait = user.upgrades.take()
        if wait > 0:
            raise TooManyRequestsError(f"too many connections with this token: try again in {wait:.1f} s", wait)
        if user.connections >= self.options.max_connections_per_token:
            raise TooManyRequestsError(f"this token has {user.connections} connections open: close some", 10.0)
        if len(self._sessions) >= self.options.max_connections:
            raise EngineUnavailableError(f"{len(self._sessions):,} editors are connected: no room for another")

    def _refusal(self, refused: RemaskError) -> JSONResponse:
        name = type(refused).__name__
        self.metrics.refused.inc(1, {"why": name})
        headers = {"connection": "close"}
        if isinstance(refused, UnauthorizedError):
            headers["www-authenticate"] = "Bearer"
        elif isinstance(refused, TooManyRequestsError):
            headers["retry-after"] = str(math.ceil(refused.wait))
        elif isinstance(refused, EngineUnavailableError):
            headers["retry-after"] = "2"
        return JSONResponse({"error": name, "message": str(refused)}, STATUS.get(name, 500), headers)

    async def _body(self, request: Request) -> bytes:
        """All of it, unless it is too large."""
        body = bytearray()
        try:
            announced = int(request.headers.get("content-length", "0"))
        except ValueError:
            announced = 0
        if announced <= self.max_bytes:
            with contextlib.suppress(ClientDisconnect):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self.max_bytes:
                        break
                else:
                    return bytes(body)
        raise TooLargeError(f"a request has {self.max_bytes:,} bytes at most")

    async def _ask(self, kind: str, body: bytes, user: User) -> JSONResponse:
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            raise BadRequestError("the body is not JSON") from None
        if not isinstance(fields, dict):
            raise BadRequestError("the body must be a JSON object with the request's fields")
        self._http += 1
        message = {"deadline": HTTP_DEADLINE} | fields | {"id": 1, "kind": kind, "trace": False}
        job = job_from(message, f"{user.token.name}/{self.name}/http/{self._http}", nobody, len(body))
        message = {"id": 1, "kind": kind, "document": job.document} | messages.request_to_wire(job.body)
        call = Call.of(job, user.token.name, packed(message))
        replies: list[Message] = []

        async def keep(reply: bytes) -> None:
            replies.append(unpack(reply))

        task = self.engines.start(call, keep)
        try:
            await task
        finally:
            task.cancel()  # the caller left
        reply = replies[-1]
        if reply["kind"] == "answer":
            return JSONResponse(reply["answer"])
        late = time.monotonic() > call.deadline
        status = 504 if late else STATUS.get(reply["error"], 500)
        headers = {"retry-after": "2"} if status == 503 else None
        return JSONResponse({"error": reply["error"], "message": reply["message"]}, status, headers)

    async def _watch(self) -> None:
        """Let revoked and expired tokens go, and tell what is under way."""
        while True:
            self.users.refresh()
            for session in list(self._sessions):
                if not self.users.still_valid(session.user):
                    session.end(REVOKED, "the token was revoked or has expired")
            self.users.forget_gone()
            self.metrics.connections.set(len(self._sessions))
            self.metrics.in_flight.set(sum(session.in_flight for session in self._sessions))
            await asyncio.sleep(WATCH_SECONDS)

    async def _follow(self) -> None:
        """Know which model the replicas run, and tell the clients when it changes."""
        while True:
            try:
                described = await self.engines.describe(DESCRIBE_SECONDS)
                described.pop("pid", None)
            except Exception as failure:  # Ray's, gRPC's, or a time-out: there is no replica to ask
                log.warning("no replica describes itself: %s", type(failure).__name__)
                described = UNKNOWN
            if described != self._state:
                self._state = described
                told = packed({"id": 0, "kind": "state"} | described)
                await asyncio.gather(*(session.send(told) for session in list(self._sessions)))
            await asyncio.sleep(DESCRIBE_SECONDS if described is not UNKNOWN else WATCH_SECONDS)
