"""Scores against the plain way: one sequence, one cache, one causal pass."""

from __future__ import annotations

import math
import time

import pytest

from engine.cancellation import CancelToken
from engine.sampler import Task
from engine.scoring import Scorer, suffix_scores
from engine.window import WindowBuilder

PREFIX, SUFFIX = "def area(width, height):\n    return multiply(", ", height)\n\n\nprint(area(2, 3))\n"
ROUNDING = 1e-3  # nats: keys in other slots are summed in another order
MIDDLES = ("width", "width, height", "self.width")


@pytest.fixture(scope="module")
def ids(vocabulary, checkpoint) -> list[int]:
    return WindowBuilder(vocabulary, checkpoint.config.reserved).build(PREFIX, SUFFIX, heal=False).ids


def alone(denoiser, ids: list[int], behind: list[int]) -> list[float]:
    """log p of each token of `behind`, one sequence in a cache of its own; then that of `<end>` before the first."""
    rows = range(len(ids) - 1, len(ids) + len(behind) - 1)
    p = denoiser.causal(denoiser.new_cache(), ids + behind[:-1], 0, rows)
    return [p.logprob(i, t) for i, t in enumerate(behind)] + [p.logprob(0, denoiser.config.reserved.end)]


def test_the_suffix_behind_many_middles_is_read_as_behind_each_alone(exact, vocabulary, ids):
    middles = [vocabulary.encode(m) for m in MIDDLES]
    suffix = vocabulary.encode(SUFFIX)[:4]
    scores, steps = suffix_scores(exact, vocabulary, exact.new_cache(), Task(ids), middles, suffix)
    assert steps == 1
    for middle, score in zip(middles, scores, strict=True):
        *read, end = alone(exact, ids + middle, suffix)
        assert score == pytest.approx(sum(read) - math.log(1 - math.exp(end)), abs=ROUNDING)


def test_an_argument_is_not_followed_by_itself(exact, vocabulary, ids):
    middles = [vocabulary.encode(m) for m in MIDDLES]
    suffix = vocabulary.encode(SUFFIX)[:4]
    scores, _ = suffix_scores(exact, vocabulary, exact.new_cache(), Task(ids), middles, suffix)
    assert scores[0] > scores[1]


def test_no_suffix_costs_no_pass(exact, vocabulary, ids):
    assert suffix_scores(exact, vocabulary, exact.new_cache(), Task(ids), [[1], [2]], []) == ([0.0, 0.0], 0)


def test_a_healed_token_that_is_spelled_otherwise_than_most_is_no_likelier_than_sure(exact, vocabulary, ids):
    middle = vocabulary.encode("served")
    assert middle[0] not in vocabulary.spelling(b"se"), "s|erved: only the whole word asks for the s"
    reading = Scorer(exact, vocabulary).read(exact.new_cache(), ids, [middle], CancelToken(), b"se").found[0]
    assert all(p <= b <= 0 for p, b in zip(reading.logprobs, reading.best, strict=True))


def test_what_there_is_no_time_for_is_not_read(exact, vocabulary, ids):
    late = time.monotonic() - 1.0
    readings = Scorer(exact, vocabulary).read(exact.new_cache(), ids, [[1], [2]], CancelToken(), b"", late)
    assert (readings.found, readings.steps) == ([], 0)


def test_candidates_are_scored_together_as_alone(exact, vocabulary, ids):
    middles = [vocabulary.encode(m) for m in MIDDLES]
    scorer = Scorer(exact, vocabulary)
    scores = scorer.read(exact.new_cache(), ids, middles, CancelToken()).logprobs
    for middle, score in zip(middles, scores, strict=True):
        *read, _ = alone(exact, ids, [*middle, exact.config.reserved.end])
        assert sum(score) == pytest.approx(sum(read), abs=ROUNDING)


def test_what_spells_the_healed_name_again_is_read_among_what_may(exact, vocabulary, checkpoint):
    window = WindowBuilder(vocabulary, checkpoint.config.reserved).build("import collections\n\nx = collec", "\n")
    middle = vocabulary.encode(window.heal.decode() + "tions.deque()")
    scorer = Scorer(exact, vocabulary)
    healed, plain = (
        scorer.read(exact.new_cache(), window.ids, [middle], CancelToken(), heal).found[0]
        for heal in (window.heal, b"")
    )
    assert len(healed.logprobs) == len(healed.best) == len(middle) + 1
    assert healed.logprobs[0] > plain.logprobs[0], "what cannot come has no part"
    assert healed.logprobs[1:] == plain.logprobs[1:]
    assert all(p <= b + 1e-5 for p, b in zip(healed.logprobs, healed.best, strict=True))
