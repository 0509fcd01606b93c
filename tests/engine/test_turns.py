"""Requests on threads that share passes: the same answers, nobody waits for one that left, faults reach everyone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from engine.cancellation import CancelToken
from engine.core import Engine
from engine.errors import CancelledError, ModelError
from engine.kv_cache import Rows
from engine.turns import Turns
from engine.types import CompleteRequest, RepairRequest
from tests.engine.answers import without_steps

SECONDS = 120.0


class Passes:
    """Runs passes over anything, and remembers who shared which."""

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []
        self.fault: Exception | None = None

    def __call__(self, shares: Sequence[Rows]) -> list[Any]:
        self.seen.append(list(shares))
        time.sleep(0.02)  # the other requests come in meanwhile
        if self.fault is not None:
            raise self.fault
        return [f"answer {share}" for share in shares]


def together(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Results, or exceptions, of functions that run on threads of their own."""
    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(work) for work in works]
        assert not wait(futures, SECONDS).not_done, "a request hangs"
        return [future.exception() or future.result() for future in futures]


def request(turns: Turns, gate: threading.Barrier, names: list[str]) -> list[Any]:
    gate.wait(SECONDS)
    with turns.request():
        return [turns.forward(name) for name in names]  # type: ignore[arg-type]


def test_requests_share_passes_and_leave_when_they_are_done():
    passes = Passes()
    turns, gate = Turns(passes, 3), threading.Barrier(3)
    names = [["a1"], ["b1", "b2", "b3"], ["c1", "c2"]]
    results = together([lambda n=n: request(turns, gate, n) for n in names])
    assert results == [[f"answer {name}" for name in n] for n in names]
    assert sorted(chain(*passes.seen)) == sorted(chain(*names))
    assert len(passes.seen) < 6
    assert turns.served == sum(len(p) for p in passes.seen if len(p) > 1)


def test_no_more_requests_are_under_way_than_there_are_lanes():
    passes = Passes()
    turns, gate = Turns(passes, 2), threading.Barrier(5)
    results = together([lambda n=n: request(turns, gate, [f"{n}.{i}" for i in range(4)]) for n in range(5)])
    assert all(len(r) == 4 for r in results)
    assert max(map(len, passes.seen)) <= 2


def test_a_pass_that_fails_is_told_to_everyone_in_it_and_harms_no_later_one():
    passes = Passes()
    turns, gate = Turns(passes, 2), threading.Barrier(2)
    passes.fault = ModelError("out of memory")
    results = together([lambda n=n: request(turns, gate, [n]) for n in "ab"])
    assert [type(r) for r in results] == [ModelError, ModelError]
    passes.fault = None
    assert together([lambda: request(turns, threading.Barrier(1), ["c"])]) == [["answer c"]]


def test_other_work_comes_between_passes():
    turns, order = Turns(Passes(), 2), []
    inside = threading.Event()

    def other() -> None:
        inside.wait(SECONDS)
        with turns.alone():
            order.append("other")

    def slow() -> None:
        with turns.request():
            inside.set()
            order.append("request")
            turns.forward("x")  # type: ignore[arg-type]
            order.append("request")

    together([other, slow])
    assert sorted(order) == ["other", "request", "request"]


@pytest.fixture(scope="module")
def engines():
    with Engine("cpu", memory=False) as one, Engine("cpu", memory=False, lanes=4) as four:
        yield one, four


def requests(real_code: str) -> list[CompleteRequest]:
    places = range(300, 300 + 8 * 97, 97)
    return [CompleteRequest(real_code[:at], real_code[at + 30 :], "python") for at in places]


def test_an_engine_with_lanes_answers_as_one_without(engines, real_code):
    one, four = engines
    asked = requests(real_code)
    expected = [without_steps(one.run_complete(r)) for r in asked]
    before = four.stats()
    answers = together([lambda r=r: without_steps(four.run_complete(r)) for r in asked])
    assert answers == expected
    after = four.stats()
    assert after["shared_passes"] > before["shared_passes"]
    assert after["caches"] <= four.caches.limit


def test_completions_repairs_and_cancelled_requests_share_passes(engines, real_code):
    one, four = engines
    asked = requests(real_code)[:3]
    broken = "def total(items):\n    return sum(item.price for item in items\n\n\nprint(total([]))\n"
    cancelled = CancelToken()
    observed: list[int] = []

    def observe(trace: object) -> None:
        observed.append(1)
        if len(observed) == 2:
            cancelled.cancel()

    works: list[Callable[[], Any]] = [lambda r=r: without_steps(four.run_complete(r)) for r in asked]
    works.append(lambda: four.run_repair(RepairRequest(broken, "python")).repair)
    works.append(lambda: four.run_complete(replace(asked[0], max_tokens=48, multiline=True), cancelled, observe))
    *answers, repair, stopped = together(works)
    assert answers == [without_steps(one.run_complete(r)) for r in asked]
    assert repair == one.run_repair(RepairRequest(broken, "python")).repair
    assert isinstance(stopped, CancelledError) or len(observed) < 2
    assert without_steps(four.run_complete(asked[0])) == answers[0]
