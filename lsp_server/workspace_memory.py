"""Feeds the engine's memory: open documents as they change, the workspace's files once and when they change on disk.

Excluded files never get there. An engine that was restarted is told again by its client, not by us.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

import grammars
from lsp_server import source_files
from lsp_server.documents import Document
from lsp_server.exclusions import NEVER_WALKED

if TYPE_CHECKING:
    from lsp_server.session import Session

logger = logging.getLogger("remask.memory")
SETTLE = 2.0  # seconds without a change before a document's text is sent
PAUSE = 0.02  # seconds between two files, so that a person's request finds the engine free


class WorkspaceMemory:
    """What of the workspace the engine was told."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settling: dict[str, asyncio.Task[object]] = {}
        self._walk: asyncio.Task[object] | None = None
        self._told: set[str] = set()  # files whose text the engine has as it is now, as far as we were told

    def engine_changed(self) -> None:
        """Another engine, which knows nothing of this workspace yet."""
        self._told.clear()

    def refresh(self) -> None:
        """Tell the engine of everything that it may know, and drop what it may no longer."""
        session = self._session
        if self._walk is not None:
            self._walk.cancel()
            self._walk = None
        if not self._engine_is_there():
            return  # we are called again when it is
        self._walk = session.spawn(self._feed())

    def changed(self, document: Document) -> None:
        """A document's text is new; it is sent once it settles."""
        uri = document.snapshot.uri
        if uri in self._settling:
            self._settling.pop(uri).cancel()
        if self._wants(document.snapshot.path):
            self._settling[uri] = self._session.spawn(self._settle(document))

    def closed(self, document: Document) -> None:
        """A document was closed: what was typed and not saved is no more, and its file is as any other."""
        settling = self._settling.pop(document.snapshot.uri, None)
        if settling is not None:
            settling.cancel()
        if document.snapshot.path is not None:
            self.file_changed(document.snapshot.path, deleted=False)

    def file_changed(self, path: str, deleted: bool) -> None:
        """A file changed on disk. What an editor has open is fed from there."""
        if self._is_open(path):
            return
        if deleted or not self._wants_from_disk(path):
            self._session.spawn(self._forget(path))
        else:
            self._session.spawn(self._read_one_more(path))

    def _is_open(self, path: str) -> bool:
        return any(document.snapshot.path == path for document in self._session.documents)

    def _known(self) -> set[str]:
        """Files that the engine has, or that its client would tell the next one."""
        return self._told | set(self._session.engine.remembered)

    def _engine_is_there(self) -> bool:
        return bool(self._session.status.now()["model"])

    def _wants(self, path: str | None) -> bool:
        session = self._session
        language = grammars.for_path(path) if path else None
        return (
            path is not None
            and language is not None
            and session.settings.memory.enable
            and session.language_on(language.name)
            and session.exclusions.reason(path) is None
        )

    def _wants_from_disk(self, path: str) -> bool:
        """Of a file that is not open."""
        session = self._session
        return session.settings.memory.workspace and self._wants(path) and session.exclusions.walked(path)

    async def _settle(self, document: Document) -> None:
        await asyncio.sleep(SETTLE)
        self._settling.pop(document.snapshot.uri, None)
        await self._remember_open(document)

    async def _remember_open(self, document: Document) -> None:
        """A document as it is, if it parses: half a line that ends at a cursor is nothing to learn from."""
        snapshot = document.snapshot
        is_open = self._session.documents.get(snapshot.uri) is document
        if is_open and self._session.looks_at(snapshot) and not snapshot.source.broken:
            await self._remember(snapshot.path, snapshot.clean)

    async def _remember(self, path: str | None, text: str) -> None:
        if path is None or not self._wants(path):
            return
        # Only an engine that is there: feeding is no reason to start one. The next is told what this one was not.
        if not self._engine_is_there():
            self._told.discard(path)
            return
        self._told.add(path)
        await self._session.engine.remember(path, text)

    async def _forget(self, path: str) -> None:
        known = self._engine_is_there() and path in self._known()
        self._told.discard(path)
        if known:
            await self._session.engine.forget(path)

    async def _read_one_more(self, path: str) -> None:
        if path in self._told or len(self._told) < self._session.settings.memory.max_files:
            await self._read(path)

    async def _read(self, path: str) -> None:
        """Remember a file as it is on disk; one that can no longer be read as source is forgotten."""
        if not self._engine_is_there():
            self._told.discard(path)
            return
        text = source_files.read(path)
        if text is None:
            await self._forget(path)
        else:
            await self._remember(path, text)

    async def _feed(self) -> None:
        session = self._session
        for path in self._known():
            is_open = self._is_open(path)
            if not (self._wants(path) if is_open else self._wants_from_disk(path)):
                await self._forget(path)
            elif path not in self._told and not is_open:
                await self._read(path)  # it changed, or was deleted, while there was no engine
        for document in session.documents:
            await self._remember_open(document)
        if not (session.settings.memory.enable and session.settings.memory.workspace):
            return
        found: dict[str, None] = {}
        for folder in session.folders:
            found |= dict.fromkeys(await asyncio.to_thread(self._walk_folder, folder))
        most = session.settings.memory.max_files
        chosen = list(found)[:most]
        for path in self._known().intersection(found).difference(chosen):
            if not self._is_open(path):
                await self._forget(path)
        for path in chosen:
            if path not in self._told and not self._is_open(path):
                await self._read(path)
                await asyncio.sleep(PAUSE)
        if len(found) > most:
            logger.info("the memory holds %d files, the most that remask.memory.maxFiles allows", most)
        elif session.folders:
            logger.info("the memory was fed %d files", len(found))

    def _walk_folder(self, folder: str) -> list[str]:
        """Source files of a folder, newest first: what was changed lately is what is worked on."""
        found: list[tuple[float, str]] = []
        for where, folders, files in os.walk(folder):
            folders[:] = [f for f in folders if f not in NEVER_WALKED and not f.startswith(".")]
            for name in files:
                path = os.path.join(where, name)
                if self._wants_from_disk(path):
                    try:
                        found.append((os.stat(path).st_mtime, path))
                    except OSError:
                        continue
            if len(found) > 50_000:
                break
        return [path for _, path in sorted(found, reverse=True)]
