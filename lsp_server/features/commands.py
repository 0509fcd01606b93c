"""workspace/executeCommand: pausing, the engine's restart, counters (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.uris import from_fs_path

import grammars
from engine.errors import RemaskError
from lsp_server import counters
from lsp_server.features import rewrite
from lsp_server.positions import Lines
from lsp_server.sources import origins

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

logger = logging.getLogger("remask.commands")

ACCEPTED = "remask.accepted"


def register(server: Server) -> None:
    """Register all commands; each takes what it needs from its arguments and ignores the rest."""
    for name, command in COMMANDS.items():
        server.command(name)(_guarded(server, name, command))


def _guarded(server: Server, name: str, command: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def run(*arguments: Any) -> object:
        try:
            return await command(server.session, *arguments)
        except asyncio.CancelledError:
            raise
        except RemaskError as error:
            server.session.engine_failed(error)
            return {"error": str(error)}
        except Exception as failure:
            logger.exception("%s failed", name)
            return {"error": f"{name} failed ({type(failure).__name__}): see the log"}

    return run


async def pause(session: Session, language: object = None, *_: object) -> object:
    """No suggestions and no problems until resumed; in one language only, if one is named."""
    name = _language(language)
    if name is None:
        return _unknown(language)
    session.paused.add(name)
    session.refresh()
    return session.status.now()


async def resume(session: Session, language: object = None, *_: object) -> object:
    """The contrary; without a language, everything goes on."""
    name = _language(language)
    if name is None:
        return _unknown(language)
    session.paused = session.paused - {name} if name else set()
    session.refresh()
    return session.status.now()


async def restart_engine(session: Session, *_: object) -> object:
    """A new engine process, for all editors."""
    await session.restart_engine()
    return session.status.now()


async def stats(session: Session, *_: object) -> object:
    """Counts of this session and of all, by language, and what the engine says of itself."""
    session.counters.flush()
    try:
        engine: object = await asyncio.wait_for(session.engine.stats(), 5)
    except (RemaskError, TimeoutError) as error:
        engine = {"error": str(error) or "the engine did not answer"}
    return {
        "session": session.counters.session(),
        "total": counters.read(session.counters.path),
        "cacheHits": session.type_along.hits,
        "medianMs": session.status.now()["medianMs"],
        "engine": engine,
    }


async def doctor(session: Session, *_: object) -> object:
    """What `remask doctor` says: facts by name, and problems. In a process of its own, for it loads a model."""
    engine = session.settings.engine
    # -P: the server may run in a workspace, and what is named `engine` there is not ours.
    command = [sys.executable, "-P", "-m", "engine.cli.main", "doctor", "--json", "--device", engine.device]
    if engine.model:
        command += ["--model", engine.model]
    if engine.url:
        command += ["--engine-url", engine.url, *(["--allow-plaintext"] if engine.allow_plaintext else [])]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said, complaint = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if not said:
        return {"facts": {}, "problems": [complaint.decode(errors="replace").strip() or "remask doctor said nothing"]}
    facts = json.loads(said)
    return {"problems": facts.pop("problems"), "facts": facts}


async def accepted(session: Session, uri: object = None, *_: object) -> object:
    """A suggestion was accepted; counted once, whether this or the changed text is seen first."""
    if isinstance(uri, str):
        session.shown.accepted(uri)
    return None


async def partly_accepted(session: Session, uri: object = None, *_: object) -> object:
    """A word or a line of a suggestion was accepted."""
    if isinstance(uri, str):
        session.shown.partly_accepted(uri)
    return None


async def source(session: Session, uri: object = None, *_: object) -> object:
    """Where the workspace says what the suggestion on show says: `{text, places: [{uri, range}]}`, or null."""
    shown = session.shown.now(uri) if isinstance(uri, str) else None
    if shown is None or not isinstance(uri, str):
        return None
    files = dict(session.engine.remembered)
    for document in session.documents:
        path = document.snapshot.path
        if path and document.snapshot.uri == uri:
            files.pop(path, None)  # the others are asked about
        elif path and not session.excluded(document.snapshot):
            files[path] = document.snapshot.text
    text, places = origins(shown.middles[0], files)
    lines = {place.path: Lines(files[place.path], session.documents.encoding) for place in places}
    return {
        "text": text,
        "places": [types.Location(str(from_fs_path(p.path)), lines[p.path].range(p.start, p.end)) for p in places],
    }


def _language(identifier: object) -> str | None:
    """The language of an LSP identifier or of a name; "" for all, None when there is none of that name."""
    if not isinstance(identifier, str) or not identifier:
        return ""
    found = grammars.language_id(identifier)
    return found.name if found else identifier if identifier in grammars.names() else None


def _unknown(language: object) -> dict[str, str]:
    return {"error": f"Remask does not know the language {language!r}; it knows {', '.join(grammars.names())}"}


COMMANDS: dict[str, Callable[..., Awaitable[object]]] = {
    "remask.pause": pause,
    "remask.resume": resume,
    "remask.restartEngine": restart_engine,
    "remask.stats": stats,
    "remask.doctor": doctor,
    "remask.source": source,
    ACCEPTED: accepted,
    "remask.partlyAccepted": partly_accepted,
    rewrite.COMMAND: rewrite.apply,
}
