"""The client's side of the greeting: connect to a place, prove who is who, and end with a `Link` or a reason."""

from __future__ import annotations

import asyncio
import os
import secrets

from engine.errors import EngineUnavailableError
from engine.service.frames import MAX_GREETING, FrameError, Message, pack, read_frame
from engine.service.identity import Identity, proof, proves
from engine.service.link import Link
from engine.service.peer import peer_user
from engine.service.place import Place
from engine.service.wire import StreamWire

GREETING_SECONDS = 5.0


class AbsentError(Exception):
    """Nobody listens here, or nobody who speaks this protocol: an engine may be started."""


class SilentError(AbsentError):
    """Somebody listens and does not answer: a hung engine, or a very busy machine."""


class OutdatedError(Exception):
    """The engine is older than this client and on its way out: start another in a moment."""


async def dial(place: Place, identity: Identity | None) -> Link:
    """A connection that the engine has accepted; without an identity, one that may only look and stop.

    Raises `AbsentError`, `SilentError`, `OutdatedError`, or `EngineUnavailableError` when the engine refuses.
    """
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            reader, writer, token = await _connect(place)
            try:
                welcome = await _greet(reader, writer, token, identity)
            except BaseException:
                writer.close()
                raise
    except TimeoutError:
        raise SilentError("it does not answer") from None
    except (OSError, FrameError) as nobody:
        raise AbsentError(f"{type(nobody).__name__}: {nobody}") from None
    return Link(StreamWire(reader, writer), welcome)


async def _connect(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str | None]:
    if place.transport == "unix":
        reader, writer = await asyncio.open_unix_connection(str(place.socket))
        user = peer_user(writer.get_extra_info("socket"))
        if user is not None and user != os.getuid():
            writer.close()
            raise EngineUnavailableError(f"{place.socket} belongs to user {user}: nothing is sent to it")
        return reader, writer, None
    port, token = place.read_note()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return reader, writer, token


async def _greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str | None, identity: Identity | None
) -> Message:
    nonce = secrets.token_hex(16)
    hello: Message = {"kind": "hello", "nonce": nonce}
    hello |= {"identity": identity.to_wire()} if identity else {"purpose": "control"}
    writer.write(pack(hello))
    reply = await _reply(reader)
    if token is not None:
        if reply["kind"] != "challenge" or not proves(token, "engine", nonce, reply.get("proof")):
            raise FrameError("whoever listens at the engine's port does not hold its token")
        writer.write(pack({"kind": "proof", "proof": proof(token, "client", str(reply.get("nonce")))}))
        reply = await _reply(reader)
    reason = str(reply.get("message", ""))
    if reply["kind"] == "outdated":
        raise OutdatedError(reason)
    if reply["kind"] == "refused":
        raise EngineUnavailableError(f"the engine refused the connection: {reason}")
    if reply["kind"] != "welcome":
        raise FrameError(f"a greeting was answered by {reply['kind']!r}")
    return reply


async def _reply(reader: asyncio.StreamReader) -> Message:
    reply = await read_frame(reader, MAX_GREETING)
    if reply is None:
        raise FrameError("the connection was closed during the greeting")
    if not isinstance(reply.get("kind"), str):
        raise FrameError("a greeting was answered by a message without a kind")
    return reply
