"""A WebSocket in front of a real engine process: the wire protocol of docs/cluster.md, and faults on demand.

It answers nothing by itself: every request goes to an `EngineServer` and every reply comes from one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from http import HTTPStatus
from typing import Any

import msgpack
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.service.frames import Message, pack
from engine.service.options import EngineOptions
from tests.service.raw_client import RawClient

TOKEN = "a-token-of-ann"


class Ingress:
    """Lets clients with a known token in; `heard` is every message that came, `calls` every upgrade that was asked."""

    def __init__(self, engine: EngineOptions, tls: ssl.SSLContext | None = None, **welcome: Any) -> None:
        self.engine = engine
        self.tls = tls
        self.welcome = {"protocol": 1, "memory": False, "max_bytes": 16_777_216} | welcome
        self.tokens = {TOKEN}
        self.refusal: tuple[HTTPStatus, dict[str, str], str] | None = None
        self.heard: list[Message] = []
        self.calls: list[str | None] = []
        self.sockets: set[ServerConnection] = set()
        self.port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Ingress:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        """Listen, at the port of the first time."""
        self._server = await serve(self._serve, "127.0.0.1", self.port, process_request=self._let_in, ssl=self.tls)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def shut(self) -> None:
        """As if its process were killed: no goodbyes."""
        server, self._server = self._server, None
        if server is not None:
            for socket in list(self.sockets):
                socket.transport.abort()
            server.close(close_connections=False)
            await server.wait_closed()

    async def close_all(self, code: int, reason: str = "") -> None:
        """Hang up on everybody, with a code."""
        await asyncio.gather(*(socket.close(code, reason) for socket in list(self.sockets)))

    async def tell_all(self, **message: Any) -> None:
        """Say something that nobody asked for."""
        self.welcome |= message
        for socket in self.sockets:
            await socket.send(msgpack.packb({"id": 0, "kind": "state"} | message))

    def kinds(self) -> list[str]:
        return [message["kind"] for message in self.heard]

    def _let_in(self, socket: ServerConnection, request: Request) -> Response | None:
        token = request.headers.get("Authorization")
        self.calls.append(token)
        status, headers, message = HTTPStatus.UNAUTHORIZED, {}, "unknown token"
        if self.refusal is not None:
            status, headers, message = self.refusal
        elif token is not None and token.removeprefix("Bearer ") in self.tokens:
            return None
        response = socket.respond(status, json.dumps({"error": "X", "message": message}))
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async def _serve(self, socket: ServerConnection) -> None:
        raw = await RawClient(self.engine).connect()
        greeting = await raw.greet()
        assert greeting is not None
        self.sockets.add(socket)
        pump = asyncio.create_task(self._replies(raw, socket))
        try:
            await socket.send(msgpack.packb({"id": 0, "kind": "welcome"} | greeting | self.welcome))
            async for body in socket:
                message = msgpack.unpackb(body)
                self.heard.append(message)
                raw.send_bytes(pack(message))
        except ConnectionClosed:
            pass
        finally:
            pump.cancel()
            self.sockets.discard(socket)
            raw.close()

    async def _replies(self, raw: RawClient, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while (message := await raw.receive(seconds=600)) is not None:
                await socket.send(msgpack.packb(message))
