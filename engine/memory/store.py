"""Token ids of workspace files on disk, keyed by the hash of their text, so that a restart need not tokenise again.

Whoever has the tokenizer can read the text from them, so only text that is on the disk anyway is given to it. One
SQLite file in the cache folder, readable by the user alone. It is a cache and nothing more: whatever goes wrong with it
(read-only folder, full disk) costs time and is otherwise ignored; a damaged file is replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from engine.memory.folding import Tokens

log = logging.getLogger(__name__)

MAX_BYTES = 100_000_000
WRITE_EVERY = 64  # files a transaction


def cache_file() -> Path:
    """The user's own."""
    return user_cache_path("remask") / "memory.sqlite"


def delete(file: Path) -> bool:
    """Delete a store; whether there was one. Raises `OSError`."""
    there = False
    for end in ("", "-wal", "-shm"):
        part = file.with_name(file.name + end)
        there |= part.exists()
        part.unlink(missing_ok=True)
    return there


class TokenStore:
    """Shared by all engines of a user: SQLite's own locks keep two of them apart."""

    def __init__(self, file: Path, model: str) -> None:
        """`model` names the tokenizer: ids of another one are never read."""
        self.model = model
        self._lock = threading.Lock()
        self._pending: list[tuple[bytes, bytes, float]] = []
        self._hits: dict[bytes, float] = {}  # when rows that are there were used
        self.file = file
        self._connection: sqlite3.Connection | None = None
        self._opened = False
        self._replaced = False

    def key(self, text: str) -> bytes:
        """Under what a text is kept."""
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16, salt=self.model.encode()[:16]).digest()

    def tokens(self, text: str, encode: Callable[[str], list[int]], size: int, key: bytes | None = None) -> Tokens:
        """Token ids of `text`, from the cache where it has them; an id that is not under `size` is damage.

        `key` is that of `text`, where the caller has it already.
        """
        key = key or self.key(text)
        with self._lock:
            if not self._opened:  # an engine that remembers nothing leaves no file
                self._open()
            ids = self._read(key, size)
            if ids is not None:
                self._hits[key] = time.time()
            else:
                ids = np.array(encode(text), dtype=np.uint32)
                self._pending.append((key, ids.tobytes(), time.time()))
            if len(self._pending) + len(self._hits) >= WRITE_EVERY:
                self._write()
        return ids

    def drop(self, key: bytes) -> None:
        """Delete a text that no file has any more."""
        with self._lock:
            self._pending = [row for row in self._pending if row[0] != key]
            self._hits.pop(key, None)
            if self._connection is not None:
                try:
                    self._connection.execute("DELETE FROM files WHERE hash = ?", (key,))
                except sqlite3.Error as failure:
                    self._give_up(failure)

    def close(self) -> None:
        """Write what is pending, drop what was not used for longest beyond the size limit."""
        with self._lock:
            self._write()
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._shrink(self._connection)
                self._connection.close()
                self._connection = None

    def _open(self) -> None:
        self._opened, file = True, self.file
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            os.chmod(file, 0o600)
            self._connection = sqlite3.connect(file, timeout=1.0, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=OFF")
            self._connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
            self._connection.execute("CREATE TABLE IF NOT EXISTS files (hash BLOB PRIMARY KEY, ids BLOB, used REAL)")
        except (OSError, sqlite3.Error) as failure:
            self._give_up(failure)

    def _read(self, key: bytes, size: int) -> Tokens | None:
        if self._connection is None:
            return None
        try:
            row = self._connection.execute("SELECT ids FROM files WHERE hash = ?", (key,)).fetchone()
        except sqlite3.Error as failure:
            self._give_up(failure)
            return None
        if row is None or not isinstance(row[0], bytes) or len(row[0]) % 4:
            return None
        ids = np.frombuffer(row[0], dtype=np.uint32)
        return ids if not len(ids) or ids.max() < size else None

    def _write(self) -> None:
        rows, self._pending = self._pending, []
        hits, self._hits = self._hits, {}
        if self._connection is None or not (rows or hits):
            return
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
            self._connection.executemany("UPDATE files SET used = ? WHERE hash = ?", [(t, k) for k, t in hits.items()])
            self._connection.execute("COMMIT")
        except sqlite3.Error as failure:
            self._give_up(failure)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        size = connection.execute("SELECT COALESCE(SUM(LENGTH(ids)), 0) FROM files").fetchone()[0]
        while size > MAX_BYTES:
            old = connection.execute("SELECT hash, LENGTH(ids) FROM files ORDER BY used LIMIT 100").fetchall()
            if not old:
                return
            connection.executemany("DELETE FROM files WHERE hash = ?", [(h,) for h, _ in old])
            size -= sum(n for _, n in old)

    def _give_up(self, failure: Exception) -> None:
        """Go on without the file; or with a new one in its place, once, when it is damaged."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
        self._connection = None
        damaged = isinstance(failure, sqlite3.DatabaseError) and not isinstance(failure, sqlite3.OperationalError)
        if not damaged or self._replaced:
            log.warning("the memory's cache %s failed and is left alone from now on: %s", self.file, failure)
            return
        log.warning("the memory's cache %s is damaged and is made anew: %s", self.file, failure)
        self._replaced = True
        try:
            delete(self.file)
        except OSError as failed:
            log.warning("it cannot be deleted: %s", failed)
            return
        self._open()
