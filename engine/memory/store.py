"""Token ids of workspace files on disk, keyed by the hash of their text, so that a restart need not tokenise again.

One SQLite file in the cache folder, readable by the user alone. It is a cache and nothing more: whatever goes wrong
with it (read-only folder, full disk, damage) costs time and is otherwise ignored.
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

from engine.memory.folding import Tokens

log = logging.getLogger(__name__)

MAX_BYTES = 100_000_000
WRITE_EVERY = 64  # files a transaction


class TokenStore:
    """Shared by all engines of a user: SQLite's own locks keep two of them apart."""

    def __init__(self, file: Path, model: str) -> None:
        """`model` names the tokenizer: ids of another one are never read."""
        self.model = model
        self._lock = threading.Lock()
        self._pending: list[tuple[bytes, bytes, float]] = []
        self.file = file
        self._connection: sqlite3.Connection | None = None
        self._opened = False

    def tokens(self, text: str, encode: Callable[[str], list[int]]) -> Tokens:
        """Token ids of `text`, from the cache where it has them."""
        key = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16, salt=self.model.encode()[:16]).digest()
        with self._lock:
            if not self._opened:  # an engine that remembers nothing leaves no file
                self._open(self.file)
            found = self._read(key)
            if found is None:
                ids = np.array(encode(text), dtype=np.uint32)
                self._pending.append((key, ids.tobytes(), time.time()))
                if len(self._pending) >= WRITE_EVERY:
                    self._write()
                return ids
        return found

    def close(self) -> None:
        """Write what is pending, drop what was not used for longest beyond the size limit."""
        with self._lock:
            self._write()
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._shrink(self._connection)
                self._connection.close()
                self._connection = None

    def _open(self, file: Path) -> None:
        self._opened = True
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            os.chmod(file, 0o600)
            self._connection = sqlite3.connect(file, timeout=1.0, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=OFF")
            self._connection.execute("CREATE TABLE IF NOT EXISTS files (hash BLOB PRIMARY KEY, ids BLOB, used REAL)")
        except (OSError, sqlite3.Error) as failure:
            log.warning("the memory's cache %s cannot be used: %s", file, failure)
            self._connection = None

    def _read(self, key: bytes) -> Tokens | None:
        if self._connection is None:
            return None
        try:
            row = self._connection.execute("SELECT ids FROM files WHERE hash = ?", (key,)).fetchone()
        except sqlite3.Error as failure:
            self._give_up(failure)
            return None
        return np.frombuffer(row[0], dtype=np.uint32) if row and len(row[0]) % 4 == 0 else None

    def _write(self) -> None:
        rows, self._pending = self._pending, []
        if self._connection is None or not rows:
            return
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
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

    def _give_up(self, failure: sqlite3.Error) -> None:
        log.warning("the memory's cache failed and is left alone from now on: %s", failure)
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
        self._connection = None
