"""The engine process: lets clients in, hands their requests to the dispatcher, and leaves unasked when unused.

The socket is there before the model is loaded, so that clients can wait for it and be told how far it is. Nothing here
polls: an idle engine sleeps until a frame or its idle timer wakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from engine.errors import BadRequestError, EngineUnavailableError
from engine.service.connection import Connection
from engine.service.dispatch import Dispatcher
from engine.service.door import AlreadyRunningError, Door, raise_file_limit
from engine.service.frames import Message
from engine.service.identity import Identity, Verdict, judge, own_identity
from engine.service.intake import job_from
from engine.service.options import EngineOptions
from engine.service.place import find_place
from engine.service.process import keep_loaded
from engine.service.scheduler import Job, Rank
from engine.service.worker import Loader

__all__ = ["AlreadyRunningError", "EngineServer"]

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 2_000
FAILED_IDLE_SECONDS = 60.0  # an engine without a model is of no use to keep
DRAIN_SECONDS = 5.0


class EngineServer:
    """One engine process. `user` is whom a Unix socket is open to: by default the one who runs this."""

    def __init__(self, options: EngineOptions, load: Loader | None = None, user: int | None = None) -> None:
        self.options = options
        self.user = user if user is not None else (os.getuid() if hasattr(os, "getuid") else -1)
        self.identity = own_identity(options)
        self.large_frames = asyncio.Lock()
        self.door = Door(find_place(options))
        self.dispatcher = Dispatcher(load or engine_loader(options), options.device, self._on_state, self.leave)
        self._connections: set[Connection] = set()
        self._owners: dict[str, set[Connection]] = {}  # who asked to remember a file; the inverse of `Connection.files`
        self._leaving = asyncio.Event()
        self._why_leaving = ""
        self._trouble = ""
        self._started = time.monotonic()
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def token(self) -> str | None:
        """What a client must hold; None on a Unix socket."""
        return self.door.token

    def note(self, trouble: str) -> None:
        """Something that went wrong and was survived: told to whoever asks how the engine is."""
        self._trouble = trouble

    async def run(self, on_listening: Callable[[], None] | None = None) -> str:
        """Serve until it is time to leave; returns why. Raises `AlreadyRunningError`, `EngineUnavailableError`."""
        raise_file_limit(MAX_CONNECTIONS + 256)
        where = await self.door.open(self._let_in)
        log.info("process %d of Remask %s listens at %s", os.getpid(), self.identity.version, where)
        try:
            if on_listening is not None:
                on_listening()
            self._watch_idleness()
            work = asyncio.create_task(self.dispatcher.run())
            leaving = asyncio.create_task(self._leaving.wait())
            await asyncio.wait([work, leaving], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # raises what broke the loop
            await self._drain(work)
        finally:
            self.door.close()
        return self._why_leaving

    def leave(self, why: str) -> None:
        """Stop listening, let what people wait for finish, tell the clients, end."""
        if not self._leaving.is_set():
            log.info("leaving: %s", why)
            self._why_leaving = why
            self._leaving.set()

    async def _drain(self, work: asyncio.Task[None]) -> None:
        self.door.close()  # a successor may start while the last request here is finished
        self.dispatcher.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(work, DRAIN_SECONDS)
        for connection in list(self._connections):
            connection.send({"id": 0, "kind": "bye", "message": self._why_leaving})
            connection.writer.close()
        await asyncio.sleep(0.05)  # the goodbyes leave

    def _watch_idleness(self) -> None:
        """Leave when nothing was asked for a while; wakes once a period, not once a request."""
        seconds = self.options.idle_minutes * 60.0
        if self.dispatcher.state == "failed":
            seconds = min(seconds or FAILED_IDLE_SECONDS, FAILED_IDLE_SECONDS)
        if seconds <= 0:
            return
        left = self.dispatcher.used + seconds - time.monotonic()
        if left <= 0 and self.dispatcher.idle:
            self.leave(f"unused for {seconds:g} seconds" if seconds < 120 else f"unused for {seconds / 60:g} minutes")
            return
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._idle_timer = asyncio.get_running_loop().call_later(max(left, 0.1), self._watch_idleness)

    # Clients.

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        if len(self._connections) >= MAX_CONNECTIONS:
            connection.refuse(f"the engine has {MAX_CONNECTIONS:,} clients: no room for another")
            writer.close()
            return
        self._connections.add(connection)
        await connection.serve()

    def judge(self, client: Identity) -> tuple[Verdict, str]:
        """Whether this engine may serve a client."""
        self.dispatcher.used = time.monotonic()
        return judge(client, self.identity)

    def welcome(self) -> Message:
        """The reply to a client that is let in."""
        return {"id": 0, "kind": "welcome", "pid": os.getpid(), "version": self.identity.version} | self._state()

    def forget_connection(self, connection: Connection) -> None:
        """A client left: its work is dropped, and the files that only it had remembered are forgotten."""
        self._connections.discard(connection)
        given_up = [
            path
            for job in self.dispatcher.scheduler
            if job.owner is connection and job.kind == "forget"
            for path in job.body
        ]
        orphans: list[str] = []
        self.dispatcher.drop_all(connection)
        for path in connection.files:
            self._owners[path].discard(connection)
            if not self._owners[path]:
                del self._owners[path]
                orphans.append(path)
        for kind, paths in (("forget", given_up), ("release", orphans)):
            if paths and self.dispatcher.state == "ready":
                with contextlib.suppress(EngineUnavailableError):  # the memory is bounded: some files more do no harm
                    self.dispatcher.submit(Job(self, 0, kind, Rank.MEMORY, Orphans(paths, self._owners), _nobody))

    def _on_state(self) -> None:
        for connection in self._connections:
            if connection.purpose == "work":
                connection.send({"id": 0, "kind": "state"} | self._state())
        self._watch_idleness()

    # Requests.

    def handle(self, connection: Connection, message: Message, size: int) -> None:
        """Answer at once, or queue; raises the `RemaskError` that is the reply."""
        id, kind = message["id"], message["kind"]
        if kind == "ping":
            connection.send({"id": id, "kind": "answer", "answer": self._ping()})
        elif kind == "cancel":
            self.dispatcher.cancel(connection, id)
        elif kind == "leave":
            connection.send({"id": id, "kind": "answer", "answer": None})
            self.leave(str(message.get("why", "asked to"))[:200])
        elif kind == "stats" and self.dispatcher.state != "ready":
            connection.send({"id": id, "kind": "answer", "answer": self._stats({})})
        else:
            self._queue(connection, message, size)

    def _queue(self, connection: Connection, message: Message, size: int) -> None:
        if self.dispatcher.scheduler.find(connection, message["id"]) is not None:
            raise BadRequestError(f"a request with id {message['id']} is already under way")
        send: Callable[[Message], None] = connection.send
        if message["kind"] == "stats":
            send = self._with_stats(connection)
        job = job_from(message, connection, send, size)
        job.files = connection.files
        if job.kind == "forget":
            self._forget(connection, job)
            return
        if job.kind == "remember":
            path, text, _, store = job.body
            job.body = (path, text, connection.number, store)
        self.dispatcher.submit(job)
        if job.kind == "remember":
            path = job.body[0]
            self._owners.setdefault(path, set()).add(connection)
            connection.files.add(path)

    def _forget(self, connection: Connection, job: Job) -> None:
        """A client gives a file up; it is forgotten once nobody else has it remembered."""
        (path,) = job.body
        if others := self._owners.get(path, set()) - {connection}:
            self._owners[path] = others
            connection.files.discard(path)
            job.send({"id": job.id, "kind": "answer", "answer": None})
            return
        job.body = Orphans([path], self._owners)
        self.dispatcher.submit(job)
        self._owners.pop(path, None)
        connection.files.discard(path)

    def _with_stats(self, connection: Connection) -> Callable[[Message], None]:
        """The engine's numbers go out with the service's."""

        def send(message: Message) -> None:
            if message["kind"] == "answer":
                message["answer"] = self._stats(message["answer"])
            connection.send(message)

        return send

    def _state(self) -> Message:
        worker = self.dispatcher.worker
        message = self.dispatcher.message or worker.note or self._trouble
        return {"state": self.dispatcher.state, "message": message, "device": worker.device, "model": worker.model}

    def _ping(self) -> Message:
        """What can be told at once, however busy the engine is."""
        return self._state() | {
            "pid": os.getpid(),
            "version": self.identity.version,
            "waiting": len(self.dispatcher.scheduler),
            "running": [job.kind for job in self.dispatcher.scheduler.running],
            "clients": sum(1 for c in self._connections if c.purpose == "work"),
        }

    def _stats(self, engine: Message) -> Message:
        """The engine's own numbers, and the service's under `service`."""
        service = {
            "pid": os.getpid(),
            "version": self.identity.version,
            "uptime_s": round(time.monotonic() - self._started, 1),
            "resident_bytes": resident_bytes(),
            "clients": sum(1 for c in self._connections if c.purpose == "work"),
            "waiting": len(self.dispatcher.scheduler),
            "requests": dict(self.dispatcher.counters),
            "idle_minutes": self.options.idle_minutes,
            "files_remembered": len(self._owners),
        }
        return engine | self._state() | {"service": service}


class Orphans:
    """Paths whose last owner left, less those that somebody remembered again by the time it is looked at."""

    def __init__(self, paths: list[str], owners: dict[str, set[Connection]]) -> None:
        self._paths = paths
        self._owners = owners

    def __iter__(self) -> Any:
        return iter([path for path in self._paths if path not in self._owners])


def _nobody(message: Message) -> None:
    """Nobody waits for this reply."""


def engine_loader(options: EngineOptions) -> Loader:
    """What loads the model of these options, once asked, on a device."""

    def load(device: str) -> Any:
        from engine.core import Engine  # ONNX Runtime takes a while to import: the socket is there before

        engine = Engine(device, options.memory, options.model_folder)
        keep_loaded()
        return engine

    return load


def resident_bytes() -> int | None:
    """Physical memory of this process; None where the system does not tell cheaply."""
    try:
        with open("/proc/self/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return None
