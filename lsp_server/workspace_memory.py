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
        self._told: set[str] = set()

    def engine_changed(self) -> None:
        """Another engine, which knows nothing of this workspace yet."""
        self._told.clear()

    def refresh(self) -> None:
        """Tell the engine of everything that it may know, and drop what it may no longer."""
        session = self._session
        if self._walk is not None:
            self._walk.cancel()
            self._walk = None
        if not session.status.now()["model"]:
            return  # the engine is not there yet: we are called again when it is
        self._walk = session.spawn(self._feed())

    def changed(self, document: Document) -> None:
        """A document's text is new; it is sent once it settles."""
        uri = document.snapshot.uri
        if uri in self._settling:
            self._settling.pop(uri).cancel()
        if self._wants(document.snapshot.path):
            self._settling[uri] = self._session.spawn(self._settle(document))

    def file_changed(self, path: str, deleted: bool) -> None:
        """A file changed on disk. What an editor has open is fed from there."""
        if any(document.snapshot.path == path for document in self._session.documents):
            return
        if deleted or not self._wants(path):
            self._session.spawn(self._forget(path))
        else:
            self._session.spawn(self._read(path))

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

    async def _settle(self, document: Document) -> None:
        await asyncio.sleep(SETTLE)
        await self._remember_open(document)

    async def _remember_open(self, document: Document) -> None:
        """A document as it is, if it parses: half a line that ends at a cursor is nothing to learn from."""
        snapshot = document.snapshot
        if self._session.looks_at(snapshot) and not snapshot.source.broken:
            await self._remember(snapshot.path, snapshot.clean)

    async def _remember(self, path: str | None, text: str) -> None:
        # Only an engine that is there: feeding is no reason to start one.
        if path is not None and self._wants(path) and self._session.status.now()["model"]:
            self._told.add(path)
            await self._session.engine.remember(path, text)

    async def _forget(self, path: str) -> None:
        if path in self._told:
            self._told.discard(path)
            await self._session.engine.forget(path)

    async def _read(self, path: str) -> None:
        """Remember a file as it is on disk; one that can no longer be read as source is forgotten."""
        text = source_files.read(path)
        if text is None:
            await self._forget(path)
        else:
            await self._remember(path, text)

    async def _feed(self) -> None:
        session = self._session
        for path in [p for p in self._told if not self._wants(p)]:
            await self._forget(path)
        open_paths = set()
        for document in session.documents:
            open_paths.add(document.snapshot.path)
            await self._remember_open(document)
        if not (session.settings.memory.enable and session.settings.memory.workspace):
            return
        count = 0
        for folder in session.folders:
            for path in await asyncio.to_thread(self._walk_folder, folder):
                if count >= session.settings.memory.max_files:
                    logger.info("the memory holds %d files, the most that remask.memory.maxFiles allows", count)
                    return
                if path not in open_paths and path not in self._told:
                    await self._read(path)
                    await asyncio.sleep(PAUSE)
                count += 1
        if session.folders:
            logger.info("the memory was fed %d files", count)

    def _walk_folder(self, folder: str) -> list[str]:
        """Source files of a folder, newest first: what was changed lately is what is worked on."""
        found: list[tuple[float, str]] = []
        for where, folders, files in os.walk(folder):
            folders[:] = [f for f in folders if f not in NEVER_WALKED and not f.startswith(".")]
            for name in files:
                path = os.path.join(where, name)
                if self._wants(path):
                    try:
                        found.append((os.stat(path).st_mtime, path))
                    except OSError:
                        continue
            if len(found) > 50_000:
                break
        return [path for _, path in sorted(found, reverse=True)]
