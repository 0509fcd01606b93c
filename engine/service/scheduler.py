"""Which requests the engine works on next. Plain data: no sockets, no threads, no clock.

A person waiting (`INVOKED`) comes before what was asked in passing (`AUTOMATIC`), then repairs computed ahead, and
contexts prefilled ahead. Files are remembered beside all that, one at a time. Within a rank documents take turns, those
first whose author has paused: the others will ask again before their answer is there. The newest request of a document
and kind supersedes the older ones; a repair or a prefill under way gives way to anything more urgent and is taken up
again.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from engine.cancellation import CancelToken
from engine.errors import EngineUnavailableError
from engine.service.frames import Message

MAX_QUEUED = 256
MAX_QUEUED_OF_ONE = 64
MAX_QUEUED_BYTES = 64_000_000
MAX_PREEMPTIONS = 3  # then a repair runs to its end, or someone who types without pause would starve it
REMEMBERED_TURNS = 1024
SETTLED_SECONDS = 0.2  # without a newer request, and its author has paused: a key every fifth of a second is typing
PASSED_OVER = 12  # turns after which repairs count as much as what is asked in passing


class Rank(enum.IntEnum):
    """Urgency; the lowest runs first."""

    INVOKED = 0
    AUTOMATIC = 1
    MEMORY = 2
    REPAIR = 3
    WARM = 4


@dataclass(slots=True, eq=False)
class Job:
    """One request of one connection (`owner`). `fate` says why its token was cancelled: it decides the reply."""

    owner: Hashable
    id: int
    kind: str
    rank: Rank
    body: Any
    send: Callable[[Message], None]  # takes the reply
    document: str | None = None
    budget: float = 60.0  # seconds to answer in
    size: int = 0  # bytes it holds while it waits
    trace: bool = False
    files: Set[str] | None = None  # remembered ones that may speak; None is all
    arrived: float = 0.0  # this and `deadline` are `time.monotonic()` instants
    deadline: float | None = None
    cancel: CancelToken = field(default_factory=CancelToken)
    fate: str = ""  # "", "superseded", "cancelled", "preempted", "gone", "expired", "crowded", "leaving"
    preemptions: int = 0
    passed_over: int = 0

    @property
    def urgency(self) -> Rank:
        """Its rank, raised when others have gone before for too long; a prefill that comes late is worth nothing."""
        starved = self.rank is Rank.REPAIR and self.passed_over >= PASSED_OVER
        return Rank.AUTOMATIC if starved else self.rank

    @property
    def place(self) -> tuple[Hashable, str | None]:
        """The document whose turn it is."""
        return self.owner, self.document

    def end(self, fate: str) -> None:
        """Ask it to stop after the current forward pass."""
        self.fate = fate
        self.cancel.cancel()


class Scheduler:
    """A bounded queue and the jobs that are running: at most `lanes`, and one of the memory's."""

    def __init__(self, most: int = MAX_QUEUED, most_of_one: int = MAX_QUEUED_OF_ONE, lanes: int = 1) -> None:
        self.most = most
        self.most_of_one = most_of_one
        self.lanes = lanes
        self.running: list[Job] = []
        self._queue: list[Job] = []  # in order of arrival
        self._turns: OrderedDict[tuple[Hashable, str | None], int] = OrderedDict()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._queue))

    def add(self, job: Job) -> list[Job]:
        """Queue a job; returns those that left the queue for it (`fate` says why), for their owners to be told.

        Raises `EngineUnavailableError` when there is no room and nothing less urgent to give up.
        """
        stale = [other for other in self._queue if self._is_stale(other, job)]
        left = [other for other in self._queue if other not in stale]
        crowded: list[Job] = []
        while self._is_full(job, left):
            loser = self._least(job, left)
            if loser is None:  # nobody has been ended yet: a newcomer that is refused changes nothing
                raise EngineUnavailableError(
                    f"the engine is busy: {len(self._queue)} requests are waiting; try again in a moment"
                )
            left.remove(loser)
            crowded.append(loser)
        self._queue = [*left, job]
        for other in [*stale, *(other for other in self.running if self._is_stale(other, job))]:
            other.end("superseded")
        for other in crowded:
            other.end("crowded")
        self._preempt(job)
        return [*stale, *crowded]

    def next(self, now: float = 0.0, takes: float = 0.0) -> Job | None:
        """Take the most urgent job at `now` and declare it running, when one `takes` so many seconds; None if none may.

        Of equals the document that was served longest ago, and in the order in which they came; of automatic ones
        first those that can be done by their deadline and whose author has paused, the newest of them.
        """
        ready = [job for job in self._queue if self._may_run(job)]
        if not ready:
            return None

        def order(job: Job) -> tuple[Rank, bool, bool, int, float]:
            automatic = job.rank is Rank.AUTOMATIC
            late = automatic and job.deadline is not None and now + takes > job.deadline
            typing = automatic and now - job.arrived < SETTLED_SECONDS
            return job.urgency, late, typing, self._turns.get(job.place, 0), -job.arrived if automatic else 0.0

        job = min(ready, key=order)
        self._queue.remove(job)
        for other in self._queue:
            other.passed_over += 1
        self.running.append(job)
        self._turn += 1
        self._turns[job.place] = self._turn
        self._turns.move_to_end(job.place)
        while len(self._turns) > REMEMBERED_TURNS:
            self._turns.popitem(last=False)
        return job

    def finish(self, job: Job) -> None:
        """A running job is done."""
        self.running.remove(job)

    def take_up_again(self, job: Job) -> None:
        """Put a preempted job back at the head of the queue."""
        job.fate, job.cancel = "", CancelToken()
        job.preemptions += 1
        self._queue.insert(0, job)

    def drop(self, job: Job, fate: str) -> bool:
        """End one job, waiting or running; True when it was waiting, so that nobody else will reply to it."""
        if job in self._queue:
            self._queue.remove(job)
            job.end(fate)
            return True
        if job in self.running:
            job.end(fate)
        return False

    def drop_all(self, owner: Hashable) -> list[Job]:
        """End everything a connection asked for, and return it: nobody is left to tell."""
        jobs = [job for job in [*self._queue, *self.running] if job.owner == owner]
        for job in jobs:
            self.drop(job, "gone")
        for place in [place for place in self._turns if place[0] == owner]:
            del self._turns[place]
        return jobs

    def find(self, owner: Hashable, id: int) -> Job | None:
        """A job by the id that its owner gave it."""
        return next((j for j in [*self._queue, *self.running] if j.owner == owner and j.id == id), None)

    def _may_run(self, job: Job) -> bool:
        """Whether a job may run beside those that do.

        Files are remembered and forgotten in order, on a thread of their own. A repair searches for a second without a
        pass, and nobody else's pass comes meanwhile: it waits until no completion is under way, unless it has waited
        for long.
        """
        if job.rank is Rank.MEMORY:
            return all(other.rank is not Rank.MEMORY for other in self.running)
        if self._full:
            return False
        return job.urgency is not Rank.REPAIR or all(other.rank > Rank.AUTOMATIC for other in self.running)

    @property
    def _full(self) -> bool:
        """Whether no lane is free."""
        return sum(job.rank is not Rank.MEMORY for job in self.running) >= self.lanes

    def _preempt(self, job: Job) -> None:
        """Stop what is in the way of `job`: repairs, if somebody waits for it, else the least where no lane is free."""
        out = []
        if job.rank <= Rank.AUTOMATIC and job.kind != "stats":  # which needs no pass, and so no repair's end
            out = [other for other in self.running if other.rank is Rank.REPAIR and self._gives_way(other, job)]
        if not out and job.rank is not Rank.MEMORY and self._full:
            least = max((other for other in self.running if other.rank is not Rank.MEMORY), key=lambda j: j.rank)
            out = [least] if self._gives_way(least, job) else []
        for other in out:
            other.end("preempted")

    def _gives_way(self, running: Job, job: Job) -> bool:
        """Whether the running job stops for `job`; a prefill loses nothing by it, a repair starts anew."""
        if running.fate or running.rank < Rank.REPAIR or running.rank <= job.rank:
            return False
        return running.rank is Rank.WARM or running.preemptions < MAX_PREEMPTIONS

    def _is_stale(self, other: Job, job: Job) -> bool:
        """Whether `job` is a newer request of the same kind for the same document."""
        if job.document is None or job.rank is Rank.MEMORY:
            return False
        return other.place == job.place and other.kind == job.kind

    def _is_full(self, job: Job, queue: list[Job]) -> bool:
        of_one = sum(1 for other in queue if other.owner == job.owner)
        too_much = bool(queue) and sum(other.size for other in queue) + job.size > MAX_QUEUED_BYTES
        return len(queue) >= self.most or of_one >= self.most_of_one or too_much

    def _least(self, job: Job, queue: list[Job]) -> Job | None:
        """The oldest of the least urgent jobs that may be given up for `job`; memory is never given up."""
        of_one = [other for other in queue if other.owner == job.owner]
        where = of_one if len(of_one) >= self.most_of_one else queue
        lesser = [o for o in where if o.rank not in (Rank.INVOKED, Rank.MEMORY) and o.rank >= job.rank]
        return max(lesser, key=lambda o: o.rank, default=None)
