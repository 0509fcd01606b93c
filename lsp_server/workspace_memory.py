"""Feeds the engine's memory: open documents as they change, the workspace's files once and when they change on disk.

Excluded files never get there. An engine that was restarted is told again by its client, not by us.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING

import grammars
from engine.errors import RemaskError
from lsp_server import source_files
from lsp_server.documents import Document
from lsp_server.exclusions import NEVER_WALKED

if TYPE_CHECKING:
    from lsp_server.session import Session

logger = logging.getLogger("remask.memory")
SETTLE = 2.0  # seconds without a change before a document's text is sent
MOST_SEEN = 200_000  # files and folders that one walk looks at: some seconds
MOST_FOUND = 50_000
PAUSE = 0.02  # seconds between two files, so that a person's request finds the engine free


class WorkspaceMemory:
    """What of the workspace the engine was told."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settling: dict[str, asyncio.Task[object]] = {}
        self._walk: asyncio.Task[object] | None = None
        # Files whose text the engine has as it is now, as far as we were told, with the time of change that the file
        # on disk had then; None for a text that an editor had.
        self._told: dict[str, int | None] = {}
        self._changes: dict[str, bool] = {}  # files that changed on disk, and whether they are gone
        self._taking: asyncio.Task[object] | None = None

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
            # We are called again when it is. But its client tells it first, so what is excluded now must go now.
            for path in self._unwanted(session.engine.remembered, self._open_paths()):
                self._told.pop(path, None)
                session.engine.drop(path)
            return
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
        self._changes[path] = deleted
        if self._taking is None or self._taking.done():
            self._taking = self._session.spawn(self._take_changes())

    async def _take_changes(self) -> None:
        """All changes so far at once, for another branch may be thousands of files, and then those since."""
        while self._changes:
            changes, self._changes = self._changes, {}
            unwanted = await asyncio.to_thread(self._unwanted, changes, self._open_paths())
            for path, deleted in changes.items():
                if self._is_open(path):
                    continue
                if deleted or path in unwanted:
                    await self._forget(path)
                elif path in self._told or len(self._told) < self._session.settings.memory.max_files:
                    await self._read(path)

    def _open_paths(self) -> set[str | None]:
        return {document.snapshot.path for document in self._session.documents}

    def _is_open(self, path: str) -> bool:
        return path in self._open_paths()

    def _known(self) -> set[str]:
        """Files that the engine has, or that its client would tell the next one."""
        return {*self._told, *self._session.engine.remembered}

    def _engine_is_there(self) -> bool:
        return bool(self._session.status.now()["model"])

    def _wants(self, path: str | None) -> bool:
        session = self._session
        language = grammars.for_path(path) if path else None
        return (
            path is not None
            and language is not None
            and session.settings.memory.enable
            and session.settings.allows(language.name)  # what is paused goes on where it was
            and encodable(path)
            and session.exclusions.reason(path) is None
        )

    def _wants_from_disk(self, path: str) -> bool:
        """Of a file that is not open."""
        session = self._session
        return session.settings.memory.workspace and self._wants(path) and session.exclusions.walked(path)

    def _unwanted(self, paths: Collection[str], opened: Collection[str | None]) -> set[str]:
        """Those that may not be remembered. Thousands of files take a second: what can wait asks in a thread."""
        return {p for p in paths if not (self._wants(p) if p in opened else self._wants_from_disk(p))}

    async def _settle(self, document: Document) -> None:
        await asyncio.sleep(SETTLE)
        self._settling.pop(document.snapshot.uri, None)
        await self._remember_open(document)

    async def _remember_open(self, document: Document) -> None:
        """A document as it is, if it parses: half a line that ends at a cursor is nothing to learn from."""
        snapshot = document.snapshot
        is_open = self._session.documents.get(snapshot.uri) is document
        if is_open and self._session.looks_at(snapshot) and not snapshot.source.broken:
            await self._remember(snapshot.path, snapshot.clean, unsaved=True)  # as far as is known here

    async def _remember(
        self, path: str | None, text: str, changed: int | None = None, *, unsaved: bool = False
    ) -> None:
        if path is None or not self._wants(path):
            return
        # Only an engine that is there: feeding is no reason to start one. The next is told what this one was not.
        if not self._engine_is_there():
            self._told.pop(path, None)
            return
        self._told[path] = changed
        try:
            await self._session.engine.remember(path, text, unsaved)
        except RemaskError as error:  # of this file: the others go on
            self._told.pop(path, None)
            self._session.engine_failed(error)

    async def _forget(self, path: str) -> None:
        engine = self._session.engine
        known = path in self._told or path in engine.remembered
        self._told.pop(path, None)
        if not known:
            return
        if not self._engine_is_there():
            engine.drop(path)
            return
        try:
            await engine.forget(path)
        except RemaskError as error:
            self._session.engine_failed(error)

    async def _read(self, path: str) -> None:
        """Remember a file as it is on disk; one that can no longer be read as source is forgotten."""
        if not self._engine_is_there():
            self._told.pop(path, None)
            return
        changed, text = time_of_change(path), source_files.read(path)
        if text is None:
            await self._forget(path)
        else:
            await self._remember(path, text, changed)

    async def _feed(self) -> None:
        session = self._session
        known = self._known()
        unwanted = await asyncio.to_thread(self._unwanted, known, self._open_paths())
        for path in known:
            if path in unwanted:
                await self._forget(path)
            elif path not in self._told and not self._is_open(path):
                await self._read(path)  # it changed, or was deleted, while there was no engine
        for document in session.documents:
            await self._remember_open(document)
        if not (session.settings.memory.enable and session.settings.memory.workspace):
            return
        found: dict[str, int] = {}
        stop = threading.Event()
        try:
            for folder in session.folders:
                found |= await asyncio.to_thread(self._walk_folder, folder, stop)
        finally:
            stop.set()  # a thread does not hear that its task was cancelled
        most = session.settings.memory.max_files
        chosen = dict(islice(found.items(), most))
        for path in self._known() - chosen.keys():
            if self._is_open(path):
                continue
            if path in found:
                await self._forget(path)
            elif (changed := time_of_change(path)) is None or changed != self._told.get(path):
                await self._read(path)  # gone, with its folder perhaps, or where the walk does not come
        for path, changed in chosen.items():
            if self._told.get(path) != changed and not self._is_open(path):
                await self._read(path)
                await asyncio.sleep(PAUSE)
        if len(found) > most:
            logger.info("the memory holds %d files, the most that remask.memory.maxFiles allows", most)
        elif session.folders:
            logger.info("the memory was fed %d files", len(found))

    def _walk_folder(self, folder: str, stop: threading.Event) -> dict[str, int]:
        """Source files of a folder, newest first, and when they changed: what changed lately is what is worked on."""
        found: list[tuple[int, str]] = []
        seen, exclusions = 0, self._session.exclusions
        for where, folders, files in os.walk(folder):
            seen += len(folders) + len(files)
            folders[:] = [
                f
                for f in folders
                if f not in NEVER_WALKED and not f.startswith(".") and not exclusions.prunes(os.path.join(where, f))
            ]
            for name in files:
                if stop.is_set():
                    return {}
                path = os.path.join(where, name)
                if self._wants_from_disk(path) and (changed := time_of_change(path)) is not None:
                    found.append((changed, path))
            if stop.is_set() or seen > MOST_SEEN or len(found) > MOST_FOUND:
                break
        if seen > MOST_SEEN:
            logger.info("a folder of the workspace has more than %d entries: not all were looked at", MOST_SEEN)
        return {path: changed for changed, path in sorted(found, reverse=True)}


def time_of_change(path: str) -> int | None:
    """When a file was changed, in nanoseconds; None when it is not there."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def encodable(path: str) -> bool:
    """Whether a path can be sent: names are bytes, and some are no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
