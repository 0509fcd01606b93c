"""The threads that jobs run on, one for each lane of the engine; one of them loads the model.

`engine.core.Engine` takes care that its callers meet only in forward passes. Nothing else ever touches it.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError, RemaskError
from engine.service import messages
from engine.service.frames import Message
from engine.service.scheduler import Job

if TYPE_CHECKING:
    from engine.core import Engine
    from engine.sampler import Trace

log = logging.getLogger(__name__)

Loader = Callable[[str], "Engine"]  # from a device's name
Tracer = Callable[[Job, Message], None]

MOST_LANES = 16  # threads; an idle one costs nothing


class Worker:
    """Runs jobs on threads of its own; every method is called from the event loop's."""

    def __init__(self, load: Loader, device: str, tell: Tracer) -> None:
        self._load = load
        self._device = device
        self._tell = tell
        self._engine: Engine | None = None
        self._loading = Lock()
        self._threads = ThreadPoolExecutor(max_workers=MOST_LANES, thread_name_prefix="engine")
        self.note = ""  # what went wrong and was survived

    @property
    def lanes(self) -> int:
        """How many jobs may run at once."""
        return self._engine.lanes if self._engine else 1

    @property
    def model(self) -> str | None:
        """The loaded model's name."""
        return self._engine.model if self._engine else None

    @property
    def device(self) -> str | None:
        """The device it runs on."""
        return self._engine.device if self._engine else None

    async def load(self) -> None:
        """Load the model; raises `RemaskError` with a reason fit to be shown."""
        await self._call(self._open)

    async def run(self, job: Job) -> Message:
        """The reply to a job, without its id."""
        return await self._call(self._answer, job)

    async def close(self) -> None:
        """Release the engine once the running jobs are over."""
        await self._call(self._close)
        self._threads.shutdown(wait=False)

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    # Below: on the engine's threads.

    def _open(self) -> None:
        try:
            self._engine = self._load(self._device)
        except RemaskError:
            raise
        except MemoryError:
            raise ModelError("there is not enough memory for the model: close something or use a smaller one") from None
        except Exception as failure:
            self._record("loading the model", failure)
            raise ModelError(f"the model cannot be loaded ({type(failure).__name__}: {failure})") from None

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _answer(self, job: Job) -> Message:
        with self._loading:
            engine = self._engine
        try:
            return {"kind": "answer", "answer": self._work(engine, job)}
        except RemaskError as error:
            return messages.error_to_wire(error)
        except Exception as failure:
            self._record(job.kind, failure)
            if self.device == "cuda" or engine is not self._engine:
                return self._fall_back(engine, job, failure)
            what = f"the engine failed on this {job.kind} ({type(failure).__name__}); its log says where"
            return messages.error_to_wire(RemaskError(what))

    def _fall_back(self, failed: Engine | None, job: Job, failure: Exception) -> Message:
        """A GPU ran out of memory, or went away: go on with the processor. The first job that fails changes over."""
        try:
            with self._loading:
                if self._engine is failed:
                    self._close()
                    reason = str(failure).splitlines()[0][:200] if str(failure) else type(failure).__name__
                    self.note = f"the GPU failed ({reason}): using the processor until the engine is restarted"
                    log.warning("%s", self.note)
                    self._device = "cpu"
                    self._open()
            return {"kind": "answer", "answer": self._work(self._engine, job)}
        except RemaskError as error:
            return messages.error_to_wire(error)

    def _work(self, engine: Engine | None, job: Job) -> Any:
        if engine is None:
            raise RemaskError("no model is loaded")
        job.cancel.check()
        if job.kind == "complete":
            request = replace(job.body, deadline=job.deadline)
            observe = self._observer(engine, job) if job.trace else None
            return messages.answer_to_wire(engine.run_complete(request, job.cancel, observe))
        if job.kind == "repair":
            return messages.answer_to_wire(engine.run_repair(replace(job.body, deadline=job.deadline), job.cancel))
        if job.kind == "rewrite":
            return messages.answer_to_wire(engine.run_rewrite(replace(job.body, deadline=job.deadline), job.cancel))
        if job.kind == "remember":
            engine.remember(*job.body)
        elif job.kind == "forget":
            for path in job.body:
                engine.forget(path)
        elif job.kind == "warm":
            engine.warm(job.body, job.cancel)
        elif job.kind == "stats":
            return engine.stats()
        return None

    def _observer(self, engine: Engine, job: Job) -> Callable[[Trace], None]:
        """Tokens as text for whoever watches; a token that ends inside a character shows a replacement character."""
        step = 0

        def observe(trace: Trace) -> None:
            nonlocal step
            step += 1
            pieces = [None if token is None else engine.vocabulary.decode([token]) for token in trace.tokens]
            self._tell(job, {"step": step, "event": trace.kind, "pieces": pieces, "changed": list(trace.changed)})

        return observe

    def _record(self, what: str, failure: Exception) -> None:
        """Where it happened, never what it said: a message may quote the user's code."""
        frames = "".join(traceback.format_tb(failure.__traceback__)[-6:])
        log.error("%s failed with %s at\n%s", what, type(failure).__name__, frames)
