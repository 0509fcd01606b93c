"""The threads that jobs run on, one for each lane of the engine, one of which loads the model; and the memory's.

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
from engine.service.scheduler import Job, Rank

if TYPE_CHECKING:
    from engine.core import Engine
    from engine.memory import Memory
    from engine.sampler import Trace

log = logging.getLogger(__name__)

Loader = Callable[[str], "Engine"]  # from a device's name
Tracer = Callable[[Job, Message], None]

MOST_LANES = 16  # each has a thread


class Worker:
    """Runs jobs on threads of its own; every method is called from the event loop's."""

    def __init__(self, load: Loader, device: str, tell: Tracer) -> None:
        self._load = load
        self._device = device
        self._tell = tell
        self._engine: Engine | None = None
        self._loading = Lock()
        self._threads = _pool(1)
        self._background = ThreadPoolExecutor(1, "memory", initializer=_step_back)
        self._lost = ""  # how the GPU was lost, when another engine was loaded for it
        self.failed = ""  # why there is no engine any more: the processor could not take over

    @property
    def lanes(self) -> int:
        """How many jobs may run at once."""
        engine = self._engine  # read once: the engine's threads may change it between two looks
        return engine.lanes if engine else 1

    @property
    def model(self) -> str | None:
        """The loaded model's name."""
        engine = self._engine
        return engine.model if engine else None

    @property
    def device(self) -> str | None:
        """The device it runs on."""
        engine = self._engine
        return engine.device if engine else None

    @property
    def note(self) -> str:
        """What went wrong with the device and was survived."""
        engine = self._engine
        trouble = self._lost or (engine.trouble if engine else "")
        return f"{trouble}: using the processor until the engine is restarted" if trouble else ""

    async def load(self) -> None:
        """Load the model; raises `RemaskError` with a reason fit to be shown."""
        await self._call(self._open)
        # No more threads than lanes: a pool that may would start another for each job that comes before the last one's
        # thread has put itself down as idle.
        if self.lanes > 1:
            self._threads.shutdown(wait=False)
            self._threads = _pool(self.lanes)

    async def run(self, job: Job) -> Message:
        """The reply to a job, without its id."""
        threads = self._background if job.rank is Rank.MEMORY else self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, self._answer, job)

    async def close(self) -> None:
        """Release the engine once the running jobs are over."""
        await self._call(self._background.shutdown)  # once a file that is being remembered is
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
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _answer(self, job: Job) -> Message:
        engine, device = self._now()
        reply, failure = self._try(engine, job)
        if failure is None:
            # An engine that was given up meanwhile may have handed its memory over just before.
            if job.rank is Rank.MEMORY and (now := self._now()[0]) is not engine:
                return self._try(now, job)[0]
            return reply
        try:
            if device == "cuda" and is_of_the_device(failure):
                self._fall_back(engine, failure)
        except RemaskError as error:
            return messages.error_to_wire(error)
        now, device_now = self._now()
        if now is engine and device_now == device:
            return reply
        return self._try(now, job)[0]  # the GPU was lost, here or by a request beside this one

    def _now(self) -> tuple[Engine | None, str | None]:
        """The engine, once nobody is changing over to another, and the device it runs on."""
        with self._loading:
            return self._engine, self.device

    def _try(self, engine: Engine | None, job: Job) -> tuple[Message, Exception | None]:
        """The reply to a job, and what it failed with."""
        try:
            return {"kind": "answer", "answer": self._work(engine, job)}, None
        except RemaskError as error:
            return messages.error_to_wire(error), error
        except Exception as failure:
            self._record(job.kind, failure)
            what = f"the engine failed on this {job.kind} ({type(failure).__name__}); its log says where"
            return messages.error_to_wire(RemaskError(what)), failure

    def _fall_back(self, failed: Engine | None, failure: Exception) -> None:
        """A GPU ran out of memory, or went away: go on with the processor. The first job that fails changes over.

        An engine that has itself gone on to the processor meanwhile stays.
        """
        with self._loading:
            if failed is None or self._engine is not failed or self.device != "cuda":
                return
            memory, failed.memory = failed.memory, None  # clients will not tell their files again
            try:
                self._close()
            except Exception as stuck:  # no reason to go without the processor
                self._record("closing the engine", stuck)
            self._lost = f"the GPU failed ({in_words(failure)})"
            log.warning("%s", self.note)
            self._device = "cpu"
            try:
                self._open()
            except RemaskError as error:
                self.failed = f"{self._lost}, and the processor cannot take over: {error}"
                raise ModelError(self.failed) from None
            if memory is not None and self._engine is not None:
                self._hand_over(memory, self._engine)

    def _hand_over(self, memory: Memory, engine: Engine) -> None:
        """Give the files that were remembered to an engine that has just been loaded."""
        if engine.memory is not None:
            engine.memory.close()
        engine.memory = engine.completer.memory = memory

    def _work(self, engine: Engine | None, job: Job) -> Any:
        if engine is None:
            raise ModelError(self.failed or "no model is loaded")
        job.cancel.check()
        if job.kind == "complete":
            request = replace(job.body, deadline=job.deadline, files=job.files)
            observe = self._observer(engine, job) if job.trace else None
            return messages.answer_to_wire(engine.run_complete(request, job.cancel, observe))
        if job.kind == "repair":
            return messages.answer_to_wire(engine.run_repair(replace(job.body, deadline=job.deadline), job.cancel))
        if job.kind == "rewrite":
            request = replace(job.body, deadline=job.deadline, files=job.files)
            return messages.answer_to_wire(engine.run_rewrite(request, job.cancel))
        if job.kind == "remember":
            engine.remember(*job.body)
        elif job.kind in ("forget", "release"):  # of a file that is gone, or of a client that is
            for path in job.body:
                engine.forget(path, job.kind == "forget")
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


def _step_back() -> None:
    """The lowest priority, for the memory's thread."""
    from engine.memory.index import step_back

    step_back()


def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix="engine")


def is_of_the_device(failure: Exception) -> bool:
    """Whether the processor may do better: ONNX Runtime's own errors, and the bare RuntimeError of its allocators.

    That one has no class of its own: it counts where ONNX Runtime, or what calls it, was at work.
    """
    return _is_onnxruntimes(failure) or (type(failure) is RuntimeError and _was_at_the_device(failure))


def in_words(failure: Exception) -> str:
    """A failure for a note: ONNX Runtime says what is wrong with the GPU, anything else may quote the user's code."""
    said = str(failure).splitlines() if _is_onnxruntimes(failure) else []
    return said[0][:200] if said else type(failure).__name__


def _is_onnxruntimes(failure: Exception) -> bool:
    return type(failure).__module__.partition(".")[0] == "onnxruntime"


def _was_at_the_device(failure: Exception) -> bool:
    """Whether it was raised in ONNX Runtime, or in the module that alone calls it."""
    frames = [frame for frame, _ in traceback.walk_tb(failure.__traceback__)]
    module = str(frames[-1].f_globals.get("__name__", "")) if frames else ""
    return module == "engine.denoiser" or module.partition(".")[0] == "onnxruntime"
