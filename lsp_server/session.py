"""What the handlers share: documents, settings, the engine's client, and whether Remask may speak at all here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grammars
from engine.errors import RemaskError
from engine.service.client import EngineClient, EngineOptions, EngineState
from lsp_server import log, provenance
from lsp_server.counters import Counters
from lsp_server.diagnosis import Diagnosis
from lsp_server.documents import Document, Documents, Snapshot
from lsp_server.exclusions import LARGEST, Exclusions
from lsp_server.pacing import Latest, Pacing
from lsp_server.settings import Settings, resolve
from lsp_server.shown import ShownSuggestions
from lsp_server.status import Status
from lsp_server.suggest import Suggester
from lsp_server.type_along import TypeAlong
from lsp_server.workspace_memory import WorkspaceMemory

if TYPE_CHECKING:
    from engine.remote.team import TeamClient
    from lsp_server.server import Server

logger = logging.getLogger("remask.session")

UNSEEN = 0.1  # seconds: an answer that comes sooner needs no sign that it is being computed


class Session:
    """One client's session. Handlers run on one event loop: nothing here needs a lock."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.documents = Documents()
        self.settings = Settings()
        self.command_line: object = None  # settings given there, which a client's go over
        self.initial: object = None
        self.exclusions = Exclusions()
        self.type_along = TypeAlong()
        self.latest = Latest()
        self.pacing = Pacing()
        self.counters = Counters()
        self.shown = ShownSuggestions(self.counters)
        self.status = Status(server, self.pacing)
        self.suggester = Suggester(self)
        self.diagnosis = Diagnosis(self)
        self.memory = WorkspaceMemory(self)
        self.started = False  # a client wants no messages of ours before it is initialized
        self.paused: set[str] = set()  # languages; "" is all of them
        self.folders: list[str] = []
        self._here = ""  # the document that the person was last seen in
        self.ready = asyncio.Event()  # a model is loaded
        self.configured = asyncio.Event()  # the client's settings are known: an engine of the right kind can be started
        self.listens = False  # asked the client to tell of new settings
        self._client: EngineClient | TeamClient | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._complaints: set[str] = set()

    @property
    def engine(self) -> EngineClient | TeamClient:
        """The engine's client; nothing is started, or called, before the first request."""
        if self._client is None:
            self._client = self._new_client()
        return self._client

    def _new_client(self) -> EngineClient | TeamClient:
        client: EngineClient | TeamClient

        def on_state(state: EngineState) -> None:
            self._on_state(client, state)

        s = self.settings
        options = EngineOptions(
            device=s.engine.device,
            model=s.engine.model or None,
            idle_minutes=s.engine.idle_minutes,
            memory=s.memory.enable,
        )
        if s.engine.url:
            from engine.remote.team import TeamClient, TeamOptions  # only for those who have a team's engine

            team = TeamOptions(s.engine.url, s.engine.fallback == "local", s.engine.allow_plaintext)
            client = TeamClient(team, options, on_state)
        else:
            client = EngineClient(options, on_state)
        return client

    def apply(self, *sources: object) -> None:
        """Take settings from the client, and say what is wrong with them, once."""
        old, (new, problems) = self.settings, resolve(self.command_line, *sources)
        if (wrong := provenance.suspect(new.engine.url, self.folders, self.server.client_name)) is not None:
            problems.append(wrong)
            new = replace(new, engine=replace(new.engine, url=""))
        self.settings = new
        self.counters.on = new.count
        log.logger.setLevel(new.log.level.upper())
        if new.log.file != old.log.file:
            problems += [p for p in [log.to_file(new.log.file)] if p]
        if (new.exclude, new.respect_gitignore) != (old.exclude, old.respect_gitignore):
            self.set_folders(self.folders)
        for problem in problems:
            if problem not in self._complaints:
                self._complaints.add(problem)
                logger.warning("%s", problem)
                self.server.warn(problem)
        if (new.engine, new.memory.enable) != (old.engine, old.memory.enable) and self._client is not None:
            client, self._client = self._client, None
            self.spawn(client.close())
            self.ready.clear()
            self.status.engine(EngineState("stopped"))
            self.memory.engine_changed()
        if (new.completion, new.engine, new.memory.enable) != (old.completion, old.engine, old.memory.enable):
            self.type_along.clear()
        if new != old:
            self.refresh()

    def set_folders(self, folders: list[str]) -> None:
        """The workspace's folders; what is excluded depends on them."""
        self.folders = folders
        self.exclusions = Exclusions(self.settings.exclude, self.settings.respect_gitignore, folders)

    def refresh(self) -> None:
        """Settings, or what is paused, changed: look at every document anew."""
        if not self.started:
            return
        if self.paused or not (self.settings.enable and self.settings.completion.enable):
            self.latest.cancel_all()  # an answer under way would not be shown
        for document in self.documents:
            self.diagnosis.opened(document)
        if (here := self.documents.get(self._here)) is not None:
            self.silence(here)
        self.memory.refresh()
        self.status.set_off(not self.settings.enable, "" in self.paused, bool(self.paused))

    def language_on(self, language: str) -> bool:
        """Whether a language is on and not paused."""
        return self.settings.allows(language) and not self.paused & {"", language}

    def looks_at(self, snapshot: Snapshot) -> bool:
        """Whether Remask has anything to say of a document at all."""
        return self._off(snapshot) is None

    def _off(self, snapshot: Snapshot) -> str | None:
        """Why a document is not looked at."""
        if snapshot.language is None:
            return f"its language is none of {', '.join(grammars.names())}"
        if not self.settings.enable:
            return "remask.enable is off"
        if not self.settings.allows(snapshot.language.name):
            return f"remask.languages turns {snapshot.language.name} off"
        if not self.language_on(snapshot.language.name):
            return "Remask is paused"
        if len(snapshot.text) > LARGEST:
            return f"it has {len(snapshot.text):,} characters, and Remask looks at {LARGEST:,} at most"
        return None

    def _silence(self, snapshot: Snapshot) -> str | None:
        reason = self._off(snapshot)
        if reason is None and not self.settings.completion.enable:
            reason = "remask.completion.enable is off"
        reason = reason or self.excluded(snapshot)
        name = snapshot.uri.partition("#")[0].rpartition("/")[2]
        return f"no suggestions in {unquote(name)}: {reason}" if reason else None

    def excluded(self, snapshot: Snapshot) -> str | None:
        """Why a document must not be read into a window; None when it may."""
        reason = self.exclusions.reason(snapshot.kept_in) if snapshot.kept_in else None
        if self.exclusions.changed:  # and the client did not say so: what was remembered may be excluded now
            self.exclusions.changed = False
            asyncio.get_running_loop().call_soon(self.refresh)
        return reason

    def start_engine(self) -> None:
        """Have the engine load while the person reads, so that the first suggestion is not the slow one."""
        self.spawn(self._start_engine())

    async def _start_engine(self) -> None:
        await self.configured.wait()
        if self.engine.state.state == "stopped":
            await self.engine.start()

    def cursor_seen(self, document: Document, offset: int) -> None:
        """A request shows where the cursor is."""
        document.cursor = offset
        self.diagnosis.cursor_moved(document)

    def silence(self, document: Document) -> str | None:
        """Why nothing is suggested anywhere in the document that the person is in; told to the client as well."""
        self._here = document.snapshot.uri
        reason = self._silence(document.snapshot)
        self.status.silent(reason or "")
        return reason

    def left(self, uri: str) -> None:
        """A document was closed."""
        if self._here == uri:
            self._here = ""
            self.status.silent("")

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Run work in the background; what it raises is logged."""
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # what was cancelled before it began
        return task

    async def _guarded(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except RemaskError as error:
            self.engine_failed(error)
        except Exception:
            logger.exception("work in the background failed")

    def engine_failed(self, error: RemaskError) -> None:
        """Log an engine's failure; the same one not again and again."""
        text = str(error) or type(error).__name__
        level = logging.DEBUG if text in self._complaints else logging.WARNING
        self._complaints.add(text)
        logger.log(level, "%s", text)

    @contextmanager
    def thinking(self) -> Iterator[None]:
        """While an answer is being computed; the client is told when it takes long enough to be seen."""
        self.pacing.running += 1
        telling = asyncio.get_running_loop().call_later(UNSEEN, self.status.update)
        try:
            yield
        finally:
            telling.cancel()
            self.pacing.running -= 1
            self.status.update()

    def _on_state(self, client: EngineClient | TeamClient, state: EngineState) -> None:
        if client is not self._client:
            return  # the last words of one that was replaced
        self.status.engine(state)
        if state.state == "ready":
            self.ready.set()
            self.memory.refresh()
        else:
            self.ready.clear()

    async def restart_engine(self) -> None:
        """Restart the engine process."""
        self._complaints.clear()
        self.type_along.clear()
        await self.engine.restart()

    async def close(self) -> None:
        """Cancel everything and leave the engine to others."""
        for task in list(self._tasks):
            task.cancel()
        self.counters.flush()
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()
