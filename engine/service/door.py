"""Where clients come in: the lock that makes this engine the only one of its kind, and its listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable

from engine.errors import EngineUnavailableError, RemaskError
from engine.service.place import Lock, Place

log = logging.getLogger(__name__)

LOCK_ATTEMPTS = 4  # someone who only looks whether the lock is held holds it for an instant
BACKLOG = 512

OnConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class AlreadyRunningError(RemaskError):
    """Another engine holds the lock of this place."""


class Door:
    """Open from `open` to `close`; `token` is what a client on TCP must hold, None on a Unix socket."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.token: str | None = secrets.token_hex(32) if place.transport == "tcp" else None
        self._lock = Lock(place.lock)
        self._listener: asyncio.Server | None = None

    async def open(self, on_connection: OnConnection) -> str:
        """Take the lock and listen; returns the address.

        Raises `AlreadyRunningError`, or `EngineUnavailableError` when the folder cannot be written to.
        """
        await self._claim()
        try:
            if self.token is None:
                own = self._unix_socket()
                self._listener = await asyncio.start_unix_server(on_connection, sock=own, backlog=BACKLOG)
                return str(self.place.socket)
            self._listener = await asyncio.start_server(on_connection, "127.0.0.1", 0, backlog=BACKLOG)
            port = self._listener.sockets[0].getsockname()[1]
            self.place.write_note(port, self.token)
            return f"127.0.0.1:{port}"
        except OSError as failure:
            self.close()
            raise EngineUnavailableError(f"cannot listen in {self.place.folder}: {failure}") from None

    def close(self) -> None:
        """Let nobody in any more, and give the place free for a successor."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            for path in (self.place.socket, self.place.note):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        self._lock.release()

    async def _claim(self) -> None:
        try:
            for attempt in range(LOCK_ATTEMPTS):
                if self._lock.acquire():
                    return
                await asyncio.sleep(0.05 if attempt < LOCK_ATTEMPTS - 1 else 0.0)
        except OSError as failure:
            raise EngineUnavailableError(f"cannot write {self.place.lock}: {failure.strerror}") from None
        raise AlreadyRunningError(f"an engine with these settings is already running (process {self._lock.holder()})")

    def _unix_socket(self) -> socket.socket:
        """Bound with mode 0600 from its first moment; what lay there is stale, for the lock is ours."""
        self.place.socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(str(self.place.socket))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(mask)
        return listener


def raise_file_limit(wanted: int) -> None:
    """Room for every connection: many systems start processes with 256 or 1,024 files."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
