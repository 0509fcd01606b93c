"""When the denoiser is asked which fix was meant, and how its word is weighed against the cost of edits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.bench.repair_cases import BY_HAND, cases_by_hand
from engine.bench.repair_fit import Choice, choice
from engine.cancellation import CancelToken
from engine.core import Engine
from engine.errors import BadRequestError
from engine.repair_rank import RANKED, Ranker, Weighing

SNIPPETS = Path(__file__).parent.parent / "grammars" / "broken.py"


def test_a_fix_that_is_clearly_cheaper_needs_no_second_opinion() -> None:
    weighing = Weighing(decided=0.1, close=0.3)
    assert weighing.compared([1.0, 1.2, 1.25]) == []
    assert weighing.compared([1.0]) == []
    assert weighing.compared([1.0, 1.05, 1.2, 1.4]) == [0, 1, 2]
    assert len(weighing.compared([1.0] * 30)) == RANKED


def test_nats_are_weighed_against_cost() -> None:
    costs, scores = [1.0, 1.2], [-12.0, -10.0]
    assert Weighing(weight=4.0).order(costs, scores) == [1, 0]
    assert Weighing(weight=20.0).order(costs, scores) == [0, 1]


def test_nothing_is_ranked_by_half_of_the_readings(engine: Engine) -> None:
    r = engine.repairer
    texts = ["total = sum(items)\n", "total = sum(items,)\n"]
    for deadline, known in ((None, True), (time.monotonic() - 1, False)):
        ranker = Ranker(r.vocabulary, r.windows, r.caches, r.denoiser, CancelToken(), deadline)
        assert (ranker.scores("total = sum(items\n", texts) is not None) is known
        assert bool(ranker.steps) is known


def test_a_weighing_is_judged_by_what_it_restores() -> None:
    found = Choice([1.0, 1.05], [-9.0, -3.0], [False, True])
    assert found.exact(Weighing(decided=0.1))
    assert not found.exact(Weighing(decided=0.0))
    assert not found.exact(Weighing(decided=0.1, weight=500.0))


def test_snippets_written_by_hand_are_cases_of_the_benchmark(engine: Engine) -> None:
    cases = cases_by_hand("python", SNIPPETS)
    assert len(cases) > 40
    assert all(case.damaged.kinds == BY_HAND and case.determined for case in cases)
    found = [made for case in cases[4:9] if (made := choice(engine, case)) is not None]
    assert found
    for made in found:
        assert made.costs == sorted(made.costs)
        assert len(made.costs) == len(made.scores) == len(made.right)
        assert all(score < 0 for score in made.scores)


def test_snippets_that_are_not_there_are_named() -> None:
    with pytest.raises(BadRequestError, match="nowhere"):
        cases_by_hand("python", Path("nowhere.py"))
