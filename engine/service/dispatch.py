"""From queued jobs to replies: keeps deadlines, feeds the worker, takes preempted jobs up again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Literal

from engine.errors import ModelError, RemaskError
from engine.service import messages
from engine.service.frames import Message
from engine.service.scheduler import Job, Rank, Scheduler
from engine.service.worker import Loader, Worker
from engine.types import CompleteAnswer

log = logging.getLogger(__name__)

State = Literal["loading", "ready", "failed"]

STUCK_SECONDS = 30.0  # past its deadline, and a running job hangs: in a forward pass, for one


class Dispatcher:
    """Owns the queue and the worker; every method is called from the event loop's thread."""

    def __init__(
        self,
        load: Loader,
        device: str,
        on_state: Callable[[], None],
        on_stuck: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`on_stuck` is called, with a reason, when a job hangs: nothing here can end it."""
        self.state: State = "loading"
        self.message = "loading the model"
        self.scheduler = Scheduler()
        self.worker = Worker(load, device, self._trace)
        self.counters: Counter[str] = Counter()
        self.used = time.monotonic()  # when something was last asked or answered
        self._on_state = on_state
        self._on_stuck = on_stuck
        self._timers: dict[Job, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._device: str | None = None  # that clients were told of
        self._takes = 0.0  # seconds that an automatic completion takes, a running average
        self._draining = False
        self._loop = asyncio.get_running_loop()

    @property
    def idle(self) -> bool:
        """Nothing runs, nothing waits, nothing loads."""
        return self.state != "loading" and not len(self.scheduler) and not self.scheduler.running

    @property
    def stuck(self) -> str:
        """Why this engine will never answer again; empty while all is well."""
        late = time.monotonic() - STUCK_SECONDS
        kinds = [job.kind for job in self.scheduler.running if job.deadline is not None and job.deadline < late]
        return f"a request ({kinds[0]}) hangs" if kinds else ""

    def submit(self, job: Job) -> None:
        """Queue a job, or raise the `RemaskError` that is the reply."""
        if self.state == "failed":
            raise ModelError(self.message)
        if job.kind != "stats":
            self.used = time.monotonic()
        self.counters[job.kind] += 1
        job.arrived = time.monotonic()
        for out in self.scheduler.add(job):
            self._disarm(out)
            self._reply_ended(out)
        # Someone who waits for an answer waits for the model too; what comes unasked is answered in time or not at all.
        if self.state == "ready" or job.rank is Rank.AUTOMATIC:
            self._arm(job)
        self._wake.set()

    def cancel(self, owner: Hashable, id: int) -> None:
        """End a client's request; one that is over already, or never was, does no harm."""
        job = self.scheduler.find(owner, id)
        if job is not None:
            self._end(job, "cancelled")

    def drop_all(self, owner: Hashable) -> None:
        """A client left: nobody wants its work."""
        for job in self.scheduler.drop_all(owner):
            self._disarm(job)
            self.counters["gone"] += 1

    def drain(self) -> None:
        """Finish what people wait for, then let `run` return.

        The rest gets no reply: when the connection ends, its client asks the next engine.
        """
        self._draining = True
        for job in [*self.scheduler, *self.scheduler.running]:
            if job.rank is not Rank.INVOKED:
                self._end(job, "leaving")
        self._wake.set()

    async def run(self) -> None:
        """Load the model, then work until drained."""
        await self._load()
        work: set[asyncio.Task[None]] = set()
        try:
            while True:
                job = self.scheduler.next(time.monotonic(), self._takes)
                if job is not None:
                    work.add(task := asyncio.create_task(self._work(job)))
                    task.add_done_callback(lambda _: self._wake.set())
                    continue
                if self._draining and not self.scheduler.running:
                    break
                self._wake.clear()
                await self._wake.wait()
                for task in [task for task in work if task.done()]:
                    work.remove(task)
                    task.result()  # raises what broke
        finally:
            for task in work:
                task.cancel()
        await self.worker.close()

    async def _work(self, job: Job) -> None:
        """Run one job and reply; or put it back, when it gave way."""
        began = time.monotonic()
        # Not one of `_timers`: a job whose client gave up, or has left, is in everybody else's way all the same.
        ends = began + job.budget if job.deadline is None else max(job.deadline, began)
        watch = self._loop.call_later(ends + STUCK_SECONDS + 0.1 - began, self._look_whether_stuck)
        try:
            reply = await self.worker.run(job)
        finally:
            watch.cancel()
            self.scheduler.finish(job)
            self._follow_device()
        if job.rank is Rank.AUTOMATIC and not job.fate:
            self._takes += 0.2 * (time.monotonic() - began - self._takes)
        stopped = reply.get("error") == "CancelledError"
        if job.fate == "preempted" and stopped and not self._draining:
            if job.deadline is not None and time.monotonic() >= job.deadline:
                job.fate = "expired"  # its timer went off while it ran: nothing would end its wait
                self._disarm(job)
                self._reply_ended(job)
                return
            self.counters["preempted"] += 1
            self.scheduler.take_up_again(job)
            return
        self._disarm(job)
        if job.kind != "stats":
            self.used = time.monotonic()
        if job.fate == "gone" or (job.fate == "leaving" and stopped):
            return
        if stopped:
            self.counters[job.fate or "cancelled"] += 1
        try:
            job.send({"id": job.id} | reply)
        except RemaskError as error:  # an answer that fits into no frame
            job.send({"id": job.id} | messages.error_to_wire(error))

    def _follow_device(self) -> None:
        """A GPU that was lost changes how many may run at once, and what clients show."""
        self.scheduler.lanes = self.worker.lanes
        if self.worker.failed and self.state != "failed":
            self._fail(self.worker.failed)
        elif self.worker.device not in (None, self._device):
            self._device = self.worker.device
            self._on_state()

    async def _load(self) -> None:
        started = time.monotonic()
        try:
            await self.worker.load()
        except RemaskError as failure:
            self._fail(str(failure))
            return
        took = time.monotonic() - started
        log.info("ready after %.1f s: %s on %s", took, self.worker.model, self.worker.device)
        self.scheduler.lanes = self.worker.lanes
        self._device = self.worker.device
        self.state, self.message = "ready", ""
        self._on_state()
        for job in self.scheduler:
            if job not in self._timers:
                self._arm(job)

    def _fail(self, why: str) -> None:
        """There is no model: tell everybody who waits."""
        log.error("the model cannot be loaded: %s", why)
        self.state, self.message = "failed", why
        self._on_state()
        reply = messages.error_to_wire(ModelError(why))
        for job in self.scheduler:
            self.scheduler.drop(job, "cancelled")
            self._disarm(job)
            job.send({"id": job.id} | reply)

    def _look_whether_stuck(self) -> None:
        if why := self.stuck:
            log.error("%s", why)
            self._on_stuck(why)

    def _arm(self, job: Job) -> None:
        job.deadline = time.monotonic() + job.budget
        self._timers[job] = self._loop.call_later(job.budget, self._end, job, "expired")

    def _disarm(self, job: Job) -> None:
        if timer := self._timers.pop(job, None):
            timer.cancel()

    def _end(self, job: Job, fate: str) -> None:
        """End a job before its time; a running one replies by itself, at its next step."""
        if fate == "expired" and job in self.scheduler.running:
            return  # the engine knows the deadline and answers with what held up
        self._disarm(job)
        if self.scheduler.drop(job, fate):
            self._reply_ended(job)

    def _reply_ended(self, job: Job) -> None:
        self.counters[job.fate] += 1
        if job.fate == "leaving":
            return
        if job.rank is Rank.AUTOMATIC and job.fate in ("expired", "crowded"):
            nothing = messages.answer_to_wire(CompleteAnswer([], 0, 0))
            job.send({"id": job.id, "kind": "answer", "answer": nothing})
        else:
            job.send({"id": job.id, "kind": "error", "error": "CancelledError", "message": REASONS[job.fate]})

    def _trace(self, job: Job, step: Message) -> None:
        """Called on one of the engine's threads."""
        self._loop.call_soon_threadsafe(job.send, {"id": job.id, "kind": "trace"} | step)


REASONS = {
    "superseded": "a newer request of the same document took its place",
    "cancelled": "the request was cancelled",
    "expired": "its deadline passed before its turn came",
    "crowded": "too many requests were waiting",
}
