"""An engine whose forward passes are naps: it keeps the real one's contract and lets a test see what it was doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from engine.cancellation import CancelToken
from engine.errors import CancelledError
from engine.sampler import Trace
from engine.types import CompleteAnswer, CompleteRequest, Completion, Repair, RepairAnswer, RepairRequest


class Letters:
    """A vocabulary of letters."""

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


class Files(dict[str, str]):
    """What is remembered."""

    closed = False

    def close(self) -> None:
        self.closed = True


class StandIn:
    """Takes `max_tokens` passes of `nap` seconds; answers what it was asked, so that replies can be told apart.

    While `goes_on` is not set it stays in its pass, so that a test need not be quicker than a nap.
    """

    def __init__(self, device: str = "cpu", nap: float = 0.01, lanes: int = 1) -> None:
        self.device = device
        self.trouble = ""  # why it is not on the device that was chosen
        self.model = "stand-in@0"
        self.lanes = lanes
        self.vocabulary = Letters()
        self.nap = nap
        self.passes = 0
        self.log: list[str] = []  # what ran, in order: "kind name"
        self.memory: Files = Files()
        self.completer = self  # which looks things up in the memory
        self.fault: Exception | None = None
        self.fault_in = __name__  # the module that it is raised in
        self.thread: set[int] = set()
        self.started = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.remembers = threading.Event()  # as `goes_on`, of the memory's thread
        self.remembers.set()

    def _pass(self, passes: int, cancel: CancelToken, deadline: float | None, each: Callable[[int], None]) -> int:
        for n in range(passes):
            cancel.check()
            if deadline is not None and time.monotonic() >= deadline:
                return n
            self.started.set()
            self.goes_on.wait(60)
            time.sleep(self.nap)
            self.passes += 1
            each(n)
        return passes

    def _begin(self, what: str) -> None:
        self.thread.add(threading.get_ident())
        self.log.append(what)
        if self.fault is not None:
            exec("raise fault", {"__name__": self.fault_in, "fault": self.fault})

    def run_complete(
        self,
        request: CompleteRequest,
        cancel: CancelToken,
        observe: Callable[[Trace], None] | None = None,
    ) -> CompleteAnswer:
        self._begin(f"complete {request.prefix}")

        def each(n: int) -> None:
            if observe is not None:
                observe(Trace([97] * (n + 1) + [None], "verify", [n]))

        steps = self._pass(request.max_tokens, cancel, request.deadline, each)
        return CompleteAnswer([Completion(request.prefix.upper(), 0.5, steps, steps)], steps, steps)

    def run_repair(self, request: RepairRequest, cancel: CancelToken) -> RepairAnswer:
        self._begin(f"repair {request.text}")
        steps = self._pass(request.seed, cancel, request.deadline, lambda n: None)
        return RepairAnswer(Repair([], request.text, 1, 1), steps)

    def warm(self, request: CompleteRequest, cancel: CancelToken) -> None:
        self._begin(f"warm {request.prefix}")
        try:
            self._pass(request.max_tokens, cancel, None, lambda n: None)
        except CancelledError:
            self.log.append(f"cut warm {request.prefix}")
            raise

    def remember(self, path: str, text: str, group: int = 0, store: bool = True) -> None:
        self._begin(f"remember {path}")
        self.remembers.wait(60)
        self.memory[path] = text

    def forget(self, path: str, erase: bool = True) -> None:
        self._begin(f"forget {path}")
        self.memory.pop(path, None)

    def stats(self) -> dict[str, object]:
        return {"passes": self.passes}

    def close(self) -> None:
        self.log.append("close")
