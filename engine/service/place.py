"""Where an engine lives: the user's own runtime folder, in it one socket, one lock and one note for each engine.

The folder is 0700 and owned by the user, or it is not used. The lock is held by a running engine and freed by the
system however it dies, so a socket without a held lock is stale.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from engine.errors import BadRequestError, EngineUnavailableError
from engine.service.identity import PROTOCOL
from engine.service.options import EngineOptions

FOLDER_VARIABLE = "REMASK_RUNTIME_DIR"
MAX_SOCKET_PATH = 100  # bytes; systems allow 104 to 108


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one engine."""

    folder: Path
    key: str
    transport: Literal["unix", "tcp"]

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        return self.folder / f"engine-{self.key}.sock"

    @property
    def lock(self) -> Path:
        """Held by the engine that runs here; holds its process id."""
        return self.folder / f"engine-{self.key}.lock"

    @property
    def note(self) -> Path:
        """Port and token of an engine on TCP."""
        return self.folder / f"engine-{self.key}.json"

    def write_note(self, port: int, token: str) -> None:
        """Publish port and token, for the user's eyes only, in one step."""
        temporary = self.note.with_suffix(f".{os.getpid()}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            json.dump({"port": port, "token": token}, f)
        os.replace(temporary, self.note)

    def read_note(self) -> tuple[int, str]:
        """Port and token; `FileNotFoundError` when no engine published any, or only damage is left."""
        try:
            raw = json.loads(self.note.read_text(encoding="utf-8"))
            return int(raw["port"]), str(raw["token"])
        except (ValueError, KeyError, TypeError):
            raise FileNotFoundError(f"{self.note} holds no port and token") from None


def find_place(options: EngineOptions) -> Place:
    """The place of the engine that these options ask for; makes the runtime folder.

    Raises `EngineUnavailableError` when there is no folder that only the user can enter.
    """
    transport = choose_transport(options)
    return Place(runtime_folder(options), options.key(PROTOCOL, transport), transport)


def all_places(options: EngineOptions) -> list[Place]:
    """Every engine that has left a lock file in the runtime folder, running or not."""
    folder = runtime_folder(options)
    places = []
    for lock in sorted(folder.glob("engine-*.lock")):
        key = lock.stem.removeprefix("engine-")
        tcp = (folder / f"engine-{key}.json").exists()
        places.append(Place(folder, key, "tcp" if tcp else "unix"))
    return places


def choose_transport(options: EngineOptions) -> Literal["unix", "tcp"]:
    """Unix sockets where the system has them, else TCP; `BadRequestError` for a transport that is not there."""
    has_unix = hasattr(socket, "AF_UNIX") and sys.platform != "win32"
    if options.transport == "auto":
        return "unix" if has_unix else "tcp"
    if options.transport not in ("unix", "tcp"):
        raise BadRequestError(f"unknown transport {options.transport!r}: choose auto, unix or tcp")
    if options.transport == "unix" and not has_unix:
        raise BadRequestError("this system has no Unix sockets: use the transport tcp")
    return options.transport


def runtime_folder(options: EngineOptions) -> Path:
    """The first folder that is the user's own and short enough for a socket's path."""
    troubles = []
    for folder in _candidates(options):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_private(folder)
        except OSError as failure:
            troubles.append(f"{folder}: {failure.strerror or failure}")
            continue
        if choose_transport(options) == "unix" and len(os.fsencode(folder)) + 24 > MAX_SOCKET_PATH:
            troubles.append(f"{folder}: too long for a Unix socket's path")
            continue
        if not os.access(folder, os.W_OK | os.X_OK):
            troubles.append(f"{folder}: not writable")
            continue
        return folder
    raise EngineUnavailableError(
        f"no private folder for the engine's socket ({'; '.join(troubles)}): "
        f"set {FOLDER_VARIABLE} to a short path that you can write to"
    )


def _candidates(options: EngineOptions) -> Iterator[Path]:
    if options.runtime_folder:
        yield Path(options.runtime_folder).absolute()
        return
    if chosen := os.environ.get(FOLDER_VARIABLE):
        yield Path(chosen).absolute()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set; we check ourselves
        yield Path(platformdirs.user_runtime_dir("remask", appauthor=False))
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    yield Path(tempfile.gettempdir()) / f"remask-{user}"


def make_private(folder: Path) -> None:
    """See to it that only the user can enter; `OSError` when the folder is someone else's or a link."""
    if sys.platform == "win32":
        return  # %LOCALAPPDATA% is the user's own by its access list
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        raise OSError(0, "is not a folder of its own")
    if found.st_uid != os.getuid():
        raise OSError(0, f"belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        folder.chmod(0o700)


class Lock:
    """An advisory lock on a file, freed when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock and note this process's id in it; False when another process has it."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(handle)
        except OSError:
            os.close(handle)
            return False
        self._handle = handle
        with contextlib.suppress(OSError):  # a full disk: the id is a courtesy, the lock is what counts
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        return True

    def release(self) -> None:
        """Free the lock; the file stays, for removing it would let two processes lock two files of one name."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def holder(self) -> int | None:
        """The id of the process that has the lock, 0 if it left none; None when nobody has the lock."""
        if not self.path.exists():
            return None
        handle = os.open(self.path, os.O_RDWR)
        try:
            _lock(handle)
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                return int(self.path.read_text() or 0)
            return 0
        finally:
            os.close(handle)
        return None


def end_holder(lock: Path, process: int | None) -> bool:
    """Kill the engine that holds a lock and does not answer; False when it is not `process`, or not to be known."""
    if not process or Lock(lock).holder() != process:
        return False
    try:
        os.kill(process, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    except OSError:
        return False
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        # A byte far behind the process id, which must stay readable.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
