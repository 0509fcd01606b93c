"""Both samplers, on the packaged model and real code."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cancellation import CancelToken
from engine.checkpoint import Checkpoint
from engine.denoise import DenoiseSampler
from engine.denoiser import Denoiser
from engine.errors import CancelledError
from engine.kv_cache import Cache
from engine.memory import as_sure
from engine.sampler import Task, best_first
from engine.scoring import Scorer
from engine.verified import DraftPolicy, VerifiedSampler
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder

MARKS = ("def quantised(", "return self._files", "raise ModelError(f", "self._check_shapes()", "for path in")


@pytest.fixture(scope="module")
def windows(vocabulary: Vocabulary, checkpoint: Checkpoint, real_code: str):
    builder = WindowBuilder(vocabulary, checkpoint.config.reserved)
    cuts = [real_code.index(mark) + len(mark) for mark in MARKS]
    return [builder.build(real_code[:at], real_code[at + 12 :]) for at in cuts]


class Drafting(DraftPolicy):
    """Always drafts from noise, whether it pays or not."""

    def __init__(self, masks: int, branches: int = 1) -> None:
        super().__init__(masks, 0.0, branches)

    def rows(self) -> int:
        return self.masks


def one_by_one(denoiser: Denoiser, ids: list[int], n: int) -> list[int]:
    """Greedy decoding with K = 1, written out."""
    cache = denoiser.new_cache()
    denoiser.causal(cache, ids[:-1], 0, [0])
    known = list(ids)
    for _ in range(n):
        p = denoiser.causal(cache, known[-1:], len(known) - 1, [0])
        known.append(int(p.top_ids[0, 0]))
        if known[-1] == denoiser.config.reserved.end:
            break
    return known[len(ids) :]


def finish(draft, end: int) -> list[int]:
    return draft.tokens + ([end] if draft.ended else [])


@pytest.fixture(scope="module")
def caches(denoiser: Denoiser, windows) -> list[Cache]:
    """One for each window, for all tests: reuse is exact, and a window's prefill takes longer than most tests."""
    return [denoiser.new_cache() for _ in windows]


@pytest.fixture(scope="module")
def greedy(denoiser: Denoiser, windows) -> list[list[int]]:
    return [one_by_one(denoiser, window.ids, 16) for window in windows]


@pytest.mark.parametrize(("masks", "branches"), [(0, 1), (3, 1), (7, 1), (3, 3)])
def test_verified_gives_exactly_what_one_token_at_a_time_gives(
    denoiser, vocabulary, windows, caches, greedy, masks, branches
):
    sampler = VerifiedSampler(denoiser, vocabulary, Drafting(masks, branches), confidence=0.2)
    for window, cache, expected in zip(windows, caches, greedy, strict=True):
        draft = sampler.run(cache, Task(window.ids, max_tokens=16))
        assert finish(draft, denoiser.config.reserved.end) == expected
        assert draft.steps <= len(expected)


def test_good_drafts_save_passes_and_bad_ones_change_nothing(denoiser, vocabulary, windows, caches, greedy):
    sampler = VerifiedSampler(denoiser, vocabulary, Drafting(0))
    ids = windows[0].ids
    expected = greedy[0]
    good = Task(ids, max_tokens=16, propose=lambda known: as_sure(expected[len(known) - len(ids) :][:6], 0.9))
    bad = Task(ids, max_tokens=16, propose=lambda known: as_sure([known[-1]] * 4, 0.9))
    plain = sampler.run(caches[0], Task(ids, max_tokens=16))
    helped = sampler.run(caches[0], good)
    misled = sampler.run(caches[0], bad)
    assert plain.tokens == helped.tokens == misled.tokens
    assert helped.steps < plain.steps / 2


@pytest.mark.parametrize("agreeing", [0, 2, 6])
def test_the_pass_that_read_remembered_lines_is_the_first_that_verifies(
    denoiser, vocabulary, windows, caches, greedy, agreeing
):
    sampler, scorer = VerifiedSampler(denoiser, vocabulary, Drafting(0)), Scorer(denoiser, vocabulary)
    for window, cache, expected in zip(windows, caches, greedy, strict=True):
        first = expected[:agreeing] + [t + 1 for t in expected[agreeing : agreeing + 3]]
        readings = scorer.read(cache, window.ids, [first, expected[4:], first[::-1]], CancelToken())
        assert (readings.steps, readings.opening.drafts) == (1, first)
        helped = sampler.run(cache, Task(window.ids, max_tokens=16, opening=readings.opening))
        plain = sampler.run(cache, Task(window.ids, max_tokens=16))
        assert helped.tokens == plain.tokens
        assert helped.steps == plain.steps - min(agreeing + 1, len(expected)), "and what it verified is not done again"


@pytest.mark.parametrize("name", ["verified", "denoise"])
def test_a_warm_cache_changes_nothing_but_the_prefill(denoiser, vocabulary, windows, name):
    sampler = (VerifiedSampler if name == "verified" else DenoiseSampler)(denoiser, vocabulary)
    ids = windows[1].ids
    cold_cache, warm_cache = denoiser.new_cache(), denoiser.new_cache()
    cold = sampler.run(cold_cache, Task(ids, max_tokens=12))
    sampler.run(warm_cache, Task(ids[:-20] + windows[2].ids[-20:], max_tokens=12))
    warm = sampler.run(warm_cache, Task(ids, max_tokens=12))
    assert warm.tokens == cold.tokens
    assert warm.logprobs == cold.logprobs
    assert cold.cached == 0
    assert warm.cached >= len(ids) - 21


@pytest.mark.parametrize("rule", ["confidence", "entropy"])
def test_denoise_fills_a_block_in_fewer_passes_when_it_may_be_less_sure(denoiser, vocabulary, windows, caches, rule):
    strict = DenoiseSampler(denoiser, vocabulary, 8, rule, 0.999 if rule == "confidence" else 0.0)
    loose = DenoiseSampler(denoiser, vocabulary, 8, rule, 0.01 if rule == "confidence" else 50.0)
    sure = [strict.run(cache, Task(w.ids, max_tokens=8)).steps for cache, w in zip(caches, windows, strict=True)]
    rash = [loose.run(cache, Task(w.ids, max_tokens=8)).steps for cache, w in zip(caches, windows, strict=True)]
    assert sum(rash) < sum(sure)
    assert max(rash) <= 3


def test_renoising_keeps_every_token_that_is_not_suspect(denoiser, vocabulary, windows, caches):
    sampler = DenoiseSampler(denoiser, vocabulary)
    ids = windows[0].ids
    tokens = vocabulary.encode("name: str) -> tuple[Array, Array]:\n        weight = self.raw(name)")
    suspects = {3, 4, 12}
    again = sampler.renoise(caches[0], Task(ids), tokens, suspects)
    assert len(again.tokens) == len(tokens)
    assert [t for i, t in enumerate(again.tokens) if i not in suspects] == [
        t for i, t in enumerate(tokens) if i not in suspects
    ]
    assert denoiser.config.reserved.mask not in again.tokens


@pytest.mark.parametrize("name", ["verified", "denoise"])
def test_healing_spells_the_cut_name_first(denoiser, vocabulary, checkpoint, real_code, name):
    at = real_code.index("return self._files") + len("return self._fi")
    window = WindowBuilder(vocabulary, checkpoint.config.reserved).build(real_code[:at], real_code[at + 3 :])
    assert window.heal
    sampler = (VerifiedSampler if name == "verified" else DenoiseSampler)(denoiser, vocabulary)
    draft = sampler.run(denoiser.new_cache(), Task(window.ids, max_tokens=6, heal=window.heal))
    assert vocabulary.decode_bytes(draft.tokens).startswith(window.heal)


def test_cancelling_stops_after_the_pass_under_way(denoiser, vocabulary, windows):
    token = CancelToken()
    seen = []

    def stop_at_second(trace):
        seen.append(trace)
        if len(seen) == 2:
            token.cancel()

    task = Task(windows[0].ids, max_tokens=32, cancel=token, observe=stop_at_second)
    with pytest.raises(CancelledError):
        VerifiedSampler(denoiser, vocabulary, Drafting(0)).run(denoiser.new_cache(), task)
    assert len(seen) == 2


def test_a_deadline_that_has_passed_gives_nothing_and_a_later_one_what_is_there(denoiser, vocabulary, windows):
    sampler = VerifiedSampler(denoiser, vocabulary, Drafting(0))
    cache = denoiser.new_cache()
    assert sampler.run(cache, Task(windows[0].ids, deadline=time.monotonic() - 1)).tokens == []
    late = Task(windows[0].ids, max_tokens=60)
    late.observe = lambda trace: setattr(late, "deadline", time.monotonic() - 1) if len(trace.tokens) >= 3 else None
    assert 3 <= len(sampler.run(cache, late).tokens) < 10


@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(1, 8))
def test_the_best_of_many_scores_are_those_of_a_stable_sort(scores: list[int], most: int):
    array = np.array(scores, dtype=np.float32)
    assert best_first(array, most).tolist() == np.argsort(-array, kind="stable")[:most].tolist()
