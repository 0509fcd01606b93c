"""The engine process: listens, lets clients in, hands jobs to the one thread that owns the model, and leaves unasked.

The socket is there before the model is loaded, so that clients can wait for it and be told how far it is. Nothing here
polls: an idle engine sleeps until a frame or its idle timer wakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from engine.errors import BadRequestError, EngineUnavailableError, ModelError, RemaskError
from engine.service import messages
from engine.service.connection import Connection
from engine.service.frames import Message
from engine.service.identity import Identity, Verdict, judge, own_identity
from engine.service.options import EngineOptions
from engine.service.place import Lock, Place, find_place
from engine.service.scheduler import Job, Rank, Scheduler
from engine.service.worker import Loader, Worker
from engine.types import CompleteAnswer, CompleteRequest, RepairRequest

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 2_000
FAILED_IDLE_SECONDS = 60.0  # an engine without a model is of no use to keep
DRAIN_SECONDS = 5.0
LOCK_ATTEMPTS = 4  # someone who only looks whether the lock is held holds it for an instant


class AlreadyRunningError(RemaskError):
    """Another engine holds the lock of this place."""


def load_engine(options: EngineOptions) -> Loader:
    """What loads the model of these options, once asked, on a device."""

    def load(device: str) -> Any:
        from engine.core import Engine  # ONNX Runtime takes a while to import: the socket is there before

        return Engine(device, options.memory, options.model_folder)

    return load


class EngineServer:
    """One engine process."""

    def __init__(self, options: EngineOptions, load: Loader | None = None, user: int | None = None) -> None:
        self.options = options
        self.place: Place = find_place(options)
        self.user = user if user is not None else (os.getuid() if hasattr(os, "getuid") else -1)
        self.identity = own_identity(options)
        self.token: str | None = secrets.token_hex(32) if self.place.transport == "tcp" else None
        self.scheduler = Scheduler()
        self.large_frames = asyncio.Lock()
        self.state, self.message = "loading", "loading the model"
        self.counters: Counter[str] = Counter()
        self._worker = Worker(load or load_engine(options), options.device, self._trace)
        self._lock = Lock(self.place.lock)
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._owners: dict[str, set[Connection]] = {}  # who asked to remember a file
        self._timers: dict[Job, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._leaving: asyncio.Event = asyncio.Event()
        self._why_leaving = ""
        self._used = time.monotonic()
        self._started = time.monotonic()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def note(self, trouble: str) -> None:
        """Something that went wrong and was survived: told to whoever asks how the engine is."""
        if trouble:
            self._worker.note = trouble

    async def run(self, on_listening: Callable[[], None] | None = None) -> str:
        """Serve until it is time to leave; returns why. Raises `AlreadyRunningError`, `EngineUnavailableError`."""
        await self._claim()
        try:
            await self._listen()
            if on_listening is not None:
                on_listening()
            self._await_idleness()
            work = asyncio.create_task(self._work())
            leaving = asyncio.create_task(self._leaving.wait())
            await asyncio.wait([work, leaving], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # raises what broke the loop
            await self._drain(work)
        finally:
            self._close_door()
            self._lock.release()
        return self._why_leaving

    def leave(self, why: str) -> None:
        """Stop listening, let the running request finish, tell the clients, end."""
        if not self._leaving.is_set():
            log.info("leaving: %s", why)
            self._why_leaving = why
            self._leaving.set()

    # Listening and leaving.

    async def _claim(self) -> None:
        try:
            for attempt in range(LOCK_ATTEMPTS):
                if self._lock.acquire():
                    return
                await asyncio.sleep(0.05 * (attempt < LOCK_ATTEMPTS - 1))
        except OSError as failure:
            raise EngineUnavailableError(f"cannot write {self.place.lock}: {failure.strerror}") from None
        raise AlreadyRunningError(f"an engine with these settings is already running (process {self._lock.holder()})")

    async def _listen(self) -> None:
        raise_file_limit()
        try:
            if self.token is None:
                own = self._unix_socket()
                self._listener = await asyncio.start_unix_server(self._welcome_in, sock=own, backlog=512)
                where = str(self.place.socket)
            else:
                self._listener = await asyncio.start_server(self._welcome_in, "127.0.0.1", 0, backlog=512)
                port = self._listener.sockets[0].getsockname()[1]
                self.place.write_note(port, self.token)
                where = f"127.0.0.1:{port}"
        except OSError as failure:
            raise EngineUnavailableError(f"cannot listen in {self.place.folder}: {failure}") from None
        log.info("process %d of Remask %s listens at %s", os.getpid(), self.identity.version, where)

    def _unix_socket(self) -> socket.socket:
        """Bound with mode 0600 from its first moment; what lay there is stale, for the lock is ours."""
        self.place.socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(str(self.place.socket))
        finally:
            os.umask(mask)
        listener.listen(512)
        return listener

    async def _drain(self, work: asyncio.Task[None]) -> None:
        self._close_door()
        self._lock.release()  # a successor may start while the last request here is finished
        for job in self.scheduler:
            if job.rank is not Rank.INVOKED:
                self._end(job, "cancelled")
        if self.scheduler.running and self.scheduler.running.rank is not Rank.INVOKED:
            self.scheduler.running.end("cancelled")
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(work, DRAIN_SECONDS)
        for connection in list(self._connections):
            connection.send({"id": 0, "kind": "bye", "message": self._why_leaving})
            connection.writer.close()
        await asyncio.sleep(0.05)  # the goodbyes leave

    def _close_door(self) -> None:
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        for path in (self.place.socket, self.place.note):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _await_idleness(self) -> None:
        """Leave when nothing was asked for a while; wakes once, not once a request."""
        seconds = self.options.idle_minutes * 60.0
        if self.state == "failed":
            seconds = min(seconds, FAILED_IDLE_SECONDS) if seconds > 0 else FAILED_IDLE_SECONDS
        if seconds <= 0:
            return
        left = self._used + seconds - time.monotonic()
        if left <= 0 and not len(self.scheduler) and self.scheduler.running is None and self.state != "loading":
            self.leave(f"unused for {seconds:g} seconds" if seconds < 120 else f"unused for {seconds / 60:g} minutes")
            return
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._idle_timer = self._loop.call_later(max(left, 0.1), self._await_idleness)

    # Clients.

    async def _welcome_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        if len(self._connections) >= MAX_CONNECTIONS:
            connection.refuse(f"the engine has {MAX_CONNECTIONS:,} clients: no room for another")
            writer.close()
            return
        self._connections.add(connection)
        self.counters["connections"] += 1
        await connection.serve()

    def welcome(self) -> Message:
        """The reply to a client that is let in."""
        return {"id": 0, "kind": "welcome", "pid": os.getpid(), "version": self.identity.version} | self._state()

    async def judge(self, client: Identity) -> tuple[Verdict, str]:
        """Whether this engine may serve a client."""
        self._used = time.monotonic()
        return judge(client, self.identity)

    def forget_connection(self, connection: Connection) -> None:
        """A client left: nobody wants its work, and the files it had remembered are its own."""
        self._connections.discard(connection)
        self.scheduler.drop_all(connection)
        self._disarm_dropped()
        orphans = []
        for path in [path for path, owners in self._owners.items() if connection in owners]:
            self._owners[path].discard(connection)
            if not self._owners[path]:
                del self._owners[path]
                orphans.append(path)
        if orphans:
            self._forget(orphans)

    def _state(self) -> Message:
        message = self._worker.note or self.message
        return {"state": self.state, "message": message, "device": self._worker.device, "model": self._worker.model}

    def _become(self, state: str, message: str) -> None:
        self.state, self.message = state, message
        for connection in self._connections:
            if connection.purpose == "work":
                connection.send({"id": 0, "kind": "state"} | self._state())

    # Requests.

    def handle(self, connection: Connection, id: int, kind: str, message: Message, size: int) -> None:
        """Answer at once, or queue; raises `RemaskError`, which is the reply."""
        if kind == "ping":
            connection.send({"id": id, "kind": "answer", "answer": self._ping()})
        elif kind == "cancel":
            job = self.scheduler.find(connection, id)
            if job is not None:
                self._end(job, "cancelled")
        elif kind == "leave":
            connection.send({"id": id, "kind": "answer", "answer": None})
            self.leave(str(message.get("why", "asked to"))[:200])
        elif kind == "stats" and self.state != "ready":
            connection.send({"id": id, "kind": "answer", "answer": self._stats({})})
        else:
            self._queue(self._as_job(connection, id, kind, message, size))

    def _as_job(self, connection: Connection, id: int, kind: str, message: Message, size: int) -> Job:
        if self.scheduler.find(connection, id) is not None:
            raise BadRequestError(f"a request with id {id} is already under way")
        document = message.get("document")
        if document is not None and not isinstance(document, str):
            raise BadRequestError("document of a request must be text")
        body: Any = None
        rank = Rank.INVOKED
        if kind in ("complete", "warm"):
            body = messages.request_from_wire(CompleteRequest, message)
            rank = Rank.WARM if kind == "warm" else Rank.AUTOMATIC if message.get("automatic") else Rank.INVOKED
        elif kind == "repair":
            body, rank = messages.request_from_wire(RepairRequest, message), Rank.REPAIR
        elif kind == "remember":
            body, rank = (messages.text_field(message, "path"), messages.text_field(message, "text")), Rank.MEMORY
            self._owners.setdefault(body[0], set()).add(connection)
        elif kind == "forget":
            body, rank = [messages.text_field(message, "path")], Rank.MEMORY
            self._owners.pop(body[0], None)
        elif kind != "stats":
            raise BadRequestError(f"unknown kind of request {kind[:40]!r}")
        trace = kind == "complete" and message.get("trace") is True
        return Job(connection, id, kind, rank, body, document, messages.seconds(message), size, trace)

    def _queue(self, job: Job) -> None:
        if self.state == "failed":
            raise ModelError(self.message)
        if job.kind != "stats":
            self._used = time.monotonic()
        self.counters[job.kind] += 1
        for out in self.scheduler.add(job):
            self._disarm(out)
            self._reply_ended(out)
        # Someone who waits for an answer waits for the model too; what comes unasked is answered in time or not at all.
        if self.state == "ready" or job.rank is Rank.AUTOMATIC:
            self._arm(job)
        self._wake.set()

    def _arm(self, job: Job) -> None:
        job.deadline = time.monotonic() + job.budget
        self._timers[job] = self._loop.call_later(job.budget, self._end, job, "expired")

    def _disarm(self, job: Job) -> None:
        if timer := self._timers.pop(job, None):
            timer.cancel()

    def _disarm_dropped(self) -> None:
        for job in [job for job in self._timers if job.fate == "gone"]:
            self._disarm(job)

    def _end(self, job: Job, fate: str) -> None:
        """End a job before its time; a running one replies by itself, at its next step."""
        if fate == "expired" and job is self.scheduler.running:
            return  # the engine knows the deadline and answers with what held up
        self._disarm(job)
        if self.scheduler.drop(job, fate):
            self._reply_ended(job)

    def _reply_ended(self, job: Job) -> None:
        self.counters[job.fate] += 1
        if job.rank is Rank.AUTOMATIC and job.fate in ("expired", "crowded"):
            self._reply(job, {"kind": "answer", "answer": messages.answer_to_wire(CompleteAnswer([], 0, 0))})
        else:
            self._reply(job, {"kind": "error", "error": "CancelledError", "message": f"the request was {job.fate}"})

    def _reply(self, job: Job, message: Message) -> None:
        if isinstance(job.owner, Connection):
            job.owner.send({"id": job.id} | message)

    def _trace(self, job: Job, step: Message) -> None:
        """Called on the engine's thread."""
        message = {"id": job.id, "kind": "trace"} | step
        if isinstance(job.owner, Connection):
            self._loop.call_soon_threadsafe(job.owner.send, message)

    def _forget(self, paths: list[str]) -> None:
        if self.options.memory and self.state == "ready":
            job = Job(self, 0, "forget", Rank.MEMORY, paths)
            with contextlib.suppress(EngineUnavailableError):  # the memory is bounded: one file more does no harm
                self.scheduler.add(job)
                self._wake.set()

    # The loop around the worker.

    async def _work(self) -> None:
        await self._load()
        while True:
            job = self.scheduler.next()
            if job is None:
                if self._leaving.is_set():
                    break
                self._wake.clear()
                await self._wake.wait()
                continue
            if job.kind == "forget":  # someone may have remembered the file again since
                job.body = [path for path in job.body if path not in self._owners]
            reply = await self._worker.run(job)
            self.scheduler.finish()
            stopped = reply.get("error") == "CancelledError"
            if job.fate == "preempted" and stopped and not self._leaving.is_set():
                self.scheduler.take_up_again(job)
                continue
            self._disarm(job)
            self._finish(job, reply)
        await self._worker.close()

    async def _load(self) -> None:
        try:
            await self._worker.load()
        except RemaskError as failure:
            log.error("the model cannot be loaded: %s", failure)
            self._become("failed", str(failure))
            for job in self.scheduler:
                self.scheduler.drop(job, "cancelled")
                self._disarm(job)
                self._reply(job, messages.error_to_wire(ModelError(str(failure))))
        else:
            took = time.monotonic() - self._started
            log.info("ready after %.1f s: %s on %s", took, self._worker.model, self._worker.device)
            self._become("ready", "")
            for job in self.scheduler:
                if job not in self._timers:
                    self._arm(job)
        self._await_idleness()

    def _finish(self, job: Job, reply: Message) -> None:
        if job.fate == "gone":
            self.counters["gone"] += 1
            return
        if job.fate and reply.get("error") == "CancelledError":
            self.counters[job.fate] += 1
        if job.kind == "stats" and reply["kind"] == "answer":
            reply["answer"] = self._stats(reply["answer"])
        if job.kind != "stats":
            self._used = time.monotonic()
        self._reply(job, reply)

    def _ping(self) -> Message:
        """What can be told at once, however busy the engine is."""
        running = self.scheduler.running
        return self._state() | {
            "pid": os.getpid(),
            "version": self.identity.version,
            "waiting": len(self.scheduler),
            "running": running.kind if running else None,
            "clients": sum(1 for c in self._connections if c.purpose == "work"),
        }

    def _stats(self, engine: Message) -> Message:
        """The engine's own numbers, and the service's under `service`."""
        service = {
            "pid": os.getpid(),
            "version": self.identity.version,
            "uptime_s": round(time.monotonic() - self._started, 1),
            "resident_bytes": resident_bytes(),
            "clients": len(self._connections),
            "waiting": len(self.scheduler),
            "requests": dict(self.counters),
            "idle_minutes": self.options.idle_minutes,
            "files_remembered": len(self._owners),
        }
        return engine | self._state() | {"service": service}


def raise_file_limit() -> None:
    """Room for every connection: many systems start processes with 256 or 1,024 files."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 256
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def resident_bytes() -> int | None:
    """Physical memory of this process; None where the system does not tell cheaply."""
    try:
        with open("/proc/self/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return None
