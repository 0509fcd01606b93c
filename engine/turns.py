"""Requests that share forward passes: each on a thread of its own, and only one of them at a time anywhere else.

A request runs until it needs a pass. When all requests that are under way need one, the last of them runs a single
pass for all (`Denoiser.forward_all`), and they go on one after another, so that nothing but the denoiser ever sees two
of them at once. That is batching at the level of iterations (Orca, OSDI 2022) without a loop that would have to know
how a sampler works: requests come and go between any two passes. Alone, a request never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from engine.kv_cache import Rows
from engine.prediction import Prediction

Pass = Callable[[Sequence[Rows]], list[Prediction]]  # `Denoiser.forward_all`


@dataclass(slots=True)
class _Waiting:
    """A request that needs a pass, and what came of it."""

    share: Rows
    done: bool = False
    prediction: Prediction | None = None
    failure: Exception | None = None


class Turns:
    """Whose turn it is, and who waits for a pass; at most `lanes` requests are under way."""

    def __init__(self, run: Pass, lanes: int = 1) -> None:
        self._run = run
        self._lanes = threading.Semaphore(lanes)
        self._turn = threading.Condition(threading.Lock())
        self._counting = threading.Lock()
        self._under_way = 0
        self._waiting: list[_Waiting] = []
        self.shared = 0  # passes that served more than one request
        self.served = 0  # requests that those served
        self.busy_seconds = 0.0  # with any request under way
        self._began = 0.0

    @property
    def busy(self) -> bool:
        """Whether any request is under way."""
        return self._under_way > 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around a whole request: the other requests' turn comes only while this one waits for a pass."""
        with self._lanes:
            self._count(1)  # before its turn comes: the others' next pass waits for it
            with self._turn:
                try:
                    yield
                finally:
                    self._count(-1)
                    self._turn.notify_all()  # the others may all be waiting now

    def _count(self, change: int) -> None:
        with self._counting:
            if not self._under_way:
                self._began = time.perf_counter()
            self._under_way += change
            if not self._under_way:
                self.busy_seconds += time.perf_counter() - self._began

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Around anything else that touches the engine: between the passes of the requests under way."""
        with self._turn:
            yield

    def forward(self, share: Rows) -> Prediction:
        """A pass, shared with whoever is under way; raises what `Denoiser.forward` does. Call inside `request`."""
        if self._under_way <= 1:
            return self._run([share])[0]
        mine = _Waiting(share)
        self._waiting.append(mine)
        while not mine.done:
            if len(self._waiting) == self._under_way:
                self._pass()
            else:
                self._turn.wait()
        if mine.failure is not None:
            raise mine.failure
        assert mine.prediction is not None
        return mine.prediction

    def _pass(self) -> None:
        """The pass that everyone under way is waiting for."""
        waiting, self._waiting = self._waiting, []
        try:
            predictions = self._run([w.share for w in waiting])
        except Exception as failure:
            for w in waiting:
                w.failure = failure
        else:
            for w, prediction in zip(waiting, predictions, strict=True):
                w.prediction = prediction
        for w in waiting:
            w.done = True
        if len(waiting) > 1:
            self.shared += 1
            self.served += len(waiting)
        self._turn.notify_all()
