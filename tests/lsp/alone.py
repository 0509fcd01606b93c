"""A session without an editor and without an engine process, for what depends on the order in which things happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as t

from engine.errors import BadRequestError
from engine.service.client import EngineOptions, EngineState
from engine.types import CompleteAnswer, CompleteRequest, RepairAnswer, RepairRequest, RewriteAnswer, RewriteRequest
from lsp_server import session as session_module
from lsp_server.features import text_sync
from lsp_server.server import Server, build
from lsp_server.session import Session

MODEL = "a model"

to_thread = asyncio.to_thread
threads: set[object] = set()  # one thing for each piece of work that runs in a thread now


async def counted_to_thread(work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    """`asyncio.to_thread`, so that a test knows whether something still runs there."""
    mark = object()
    threads.add(mark)
    try:
        return await to_thread(work, *arguments, **named)
    finally:
        threads.discard(mark)


class Client:
    """An engine's client as the session has one: notes what it is asked and says what a test has it say."""

    def __init__(self, options: EngineOptions, on_state: Callable[[EngineState], None]) -> None:
        self.options = options
        self.on_state = on_state
        self.state = EngineState("stopped")
        self.starts = 0
        self.remembered: dict[str, str] = {}
        self.completions: list[tuple[CompleteRequest, str | None, bool]] = []
        self.repairs = 0
        self.told: list[str] = []  # paths, each time
        self.unsaved: set[str] = set()  # those of them whose text is not for the disk
        self.warmed: list[CompleteRequest] = []
        self.steps: list[dict[str, Any]] = []
        self.refused: set[str] = set()  # paths that the engine takes for a bad request
        self.answer: Callable[[], CompleteAnswer] = lambda: CompleteAnswer([], 0, 0)
        self.repaired: Callable[[RepairRequest], RepairAnswer] | None = None
        self.failure: Exception | None = None
        self.rewritten: Callable[[], RewriteAnswer] | None = None
        self.busy: asyncio.Event | None = None  # completions wait for it

    def become(self, state: EngineState) -> None:
        self.state = state
        self.on_state(state)

    def ready(self) -> None:
        self.become(EngineState("ready", device="cpu", model=MODEL))

    def leave(self) -> None:
        self.become(EngineState("stopped", "unused for a while"))

    async def start(self) -> None:
        self.starts += 1
        self.ready()

    async def complete(
        self,
        request: CompleteRequest,
        *,
        document: str | None,
        automatic: bool = False,
        trace: Callable[[dict[str, Any]], None] | None = None,
    ) -> CompleteAnswer:
        self.completions.append((request, document, automatic))
        for step in self.steps if trace else ():
            trace(step)
        if self.busy is not None:
            await self.busy.wait()
        return self.answer()

    async def repair(self, request: RepairRequest, *, document: str) -> RepairAnswer:
        self.repairs += 1
        assert self.repaired is not None
        return self.repaired(request)

    async def warm(self, request: CompleteRequest, *, document: str | None) -> None:
        self.warmed.append(request)

    async def rewrite(self, request: RewriteRequest, *, document: str) -> RewriteAnswer:
        if self.rewritten is not None:
            return self.rewritten()
        assert self.failure is not None
        raise self.failure

    async def remember(self, path: str, text: str, unsaved: bool = False) -> None:
        await self._talk()
        if path in self.refused:
            raise BadRequestError(f"{path} cannot be remembered")
        self.told.append(path)
        self.remembered[path] = text
        (self.unsaved.add if unsaved else self.unsaved.discard)(path)

    async def forget(self, path: str) -> None:
        await self._talk()
        self.remembered.pop(path, None)

    def drop(self, path: str) -> None:
        self.remembered.pop(path, None)

    async def _talk(self) -> None:
        await asyncio.sleep(0)  # an answer takes a turn of the loop at least
        if self.state.state != "ready":
            await self.start()

    async def restart(self) -> None:
        self.ready()

    async def close(self) -> None:
        await asyncio.sleep(0.05)
        self.become(EngineState("stopped"))


class Alone:
    """A server whose words to the editor are kept, with handlers to be called one by one."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, settings: dict[str, Any]) -> None:
        self.clients: list[Client] = []
        patch.setattr(session_module, "EngineClient", self._client)
        patch.setattr(asyncio, "to_thread", counted_to_thread)
        self.server: Server = build()
        self.server.protocol.client_capabilities = t.ClientCapabilities()
        self.said: list[tuple[str, Any]] = []
        patch.setattr(self.server.protocol, "notify", lambda method, params=None: self.said.append((method, params)))
        self.session: Session = self.server.session
        self.folder = folder
        self.session.set_folders([str(folder)])
        self.session.started = True
        self.session.configured.set()
        self.session.apply(settings)

    def _client(self, options: EngineOptions, on_state: Callable[[EngineState], None]) -> Client:
        self.clients.append(Client(options, on_state))
        return self.clients[-1]

    @property
    def engine(self) -> Client:
        """The present client."""
        assert self.session.engine is self.clients[-1]
        return self.clients[-1]

    def path(self, name: str, text: str | None = None) -> str:
        """A file of the workspace, written anew if there is a text."""
        path = self.folder / name
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(path)

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str, uri: str | None = None) -> str:
        uri = uri or self.uri(name)
        item = t.TextDocumentItem(uri, "python", 1, text)
        text_sync.did_open(self.session, t.DidOpenTextDocumentParams(item))
        return uri

    def type(self, uri: str, at: int, new: str, remove: int = 0) -> None:
        document = self.session.documents.get(uri)
        assert document is not None
        snapshot = document.snapshot
        change = t.TextDocumentContentChangePartial(snapshot.lines.range(at, at + remove), new)
        identifier = t.VersionedTextDocumentIdentifier(snapshot.version + 1, uri)
        text_sync.did_change(self.session, t.DidChangeTextDocumentParams(identifier, [change]))

    def close(self, uri: str) -> None:
        text_sync.did_close(self.session, t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(uri)))

    async def until(self, what: Callable[[], bool], seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.01)


async def quiet() -> None:
    """Whatever goes on without waiting has gone on, in threads as well.

    In slices: a loop that was held up has its turns all the same.
    """
    calm = 0
    async with asyncio.timeout(60):
        while calm < 15:
            await asyncio.sleep(0.01)
            calm = 0 if threads else calm + 1
