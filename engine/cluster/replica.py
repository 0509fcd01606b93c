"""One replica: the embedded engine's own queue, worker thread and model, with Ray's calls in place of a socket."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

from engine.cluster.metrics import ReplicaMetrics, outcome
from engine.cluster.options import ClusterOptions
from engine.cluster.wire import packed
from engine.errors import ModelError, RemaskError
from engine.service import messages, process
from engine.service.dispatch import Dispatcher
from engine.service.frames import Message, unpack
from engine.service.intake import job_from
from engine.service.server import resident_bytes
from engine.service.worker import Loader

log = logging.getLogger("ray.serve")

TELL_SECONDS = 1.0


class EngineReplica:
    """Answers one request a call; Serve makes one of these in each replica's process."""

    def __init__(self, args: dict[str, Any]) -> None:
        self.options = ClusterOptions.from_args(args)
        os.environ["REMASK_THREADS"] = str(self.options.threads)
        process.set_up()
        self.metrics = ReplicaMetrics()
        self.dispatcher = Dispatcher(engine_loader(self.options), self.options.device, self._on_state)
        self._loaded = asyncio.Event()
        self._work = asyncio.create_task(self.dispatcher.run())
        self._tell = asyncio.create_task(self._tell_waiting())

    async def answer(self, owner: str, body: bytes, seconds: float) -> AsyncIterator[tuple[bool, bytes]]:
        """Replies to a packed request of a connection (`owner`), `seconds` before it is late: (is the last, packed).

        Never raises for what the request says. When the caller leaves, its job ends after the current forward pass.
        """
        replies: asyncio.Queue[Message] = asyncio.Queue()
        message = unpack(body)
        message["deadline"] = seconds
        id = message["id"]
        try:
            job = job_from(message, owner, replies.put_nowait, len(body))
            self.dispatcher.submit(job)
        except RemaskError as error:
            yield True, packed({"id": id} | messages.error_to_wire(error))
            return
        reply: Message = {}
        try:
            while reply.get("kind") not in ("answer", "error"):
                reply = await replies.get()
                if reply["kind"] == "trace":
                    yield False, packed(reply)
            self.metrics.ended(job.kind, outcome(reply, job.fate), reply.get("answer"))
            yield True, packed(reply)
        finally:
            if not reply or reply["kind"] == "trace":
                self.dispatcher.cancel(owner, id)
                self.metrics.ended(job.kind, "cancelled", None)

    async def describe(self) -> Message:
        """The model that runs here, and where."""
        worker = self.dispatcher.worker
        model = worker.model or ""
        return {
            "state": self.dispatcher.state,
            "message": self.dispatcher.message or worker.note,
            "model": worker.model,
            "digest": model.rpartition("@")[2] or None,
            "device": worker.device,
            "pid": os.getpid(),
        }

    async def check_health(self) -> None:
        """Called by Serve; raises when this replica is of no use (any more).

        The first check is part of the start, so nothing is sent here before the model is loaded.
        """
        await self._loaded.wait()
        if self.dispatcher.state == "failed":
            raise ModelError(self.dispatcher.message)
        if self._work.done():
            raise RuntimeError("the engine's loop has ended")
        if self.dispatcher.stuck:
            raise RuntimeError(self.dispatcher.stuck)

    def _on_state(self) -> None:
        log.info("%s: %s on %s", self.dispatcher.state, self.dispatcher.worker.model, self.dispatcher.worker.device)
        self._loaded.set()

    async def _tell_waiting(self) -> None:
        while True:
            self.metrics.waiting.set(len(self.dispatcher.scheduler))
            self.metrics.resident.set(resident_bytes() or 0)
            await asyncio.sleep(TELL_SECONDS)


def engine_loader(options: ClusterOptions) -> Loader:
    """What loads the engine: the same as the embedded one, without memory and with more prefix caches."""

    def load(device: str) -> Any:
        from engine.core import Engine

        engine = Engine(device, memory=False, model=options.model_folder, lanes=options.lanes)
        engine.caches.limit = options.caches
        process.keep_loaded()
        return engine

    return load
