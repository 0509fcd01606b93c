"""Drafts side by side: each is what it would be alone, seeds decide samples, and only masks are written anew."""

from __future__ import annotations

import pytest

from engine.denoise import DenoiseSampler
from engine.repair_batch import BLOCK, Batch, Branch
from engine.sampler import Task
from engine.window import Budget, WindowBuilder

BEFORE = "def area(width, height):\n    return width * height\n\n\ndef total(items):\n    result = 0\n"
DAMAGED = "    for item in items\n        result += item.price"
AFTER = "\n    return result\n"
RIGHT = "    for item in items:\n        result += item.price"
ROUNDING = 1e-3  # nats over a middle: keys in other slots are summed in another order


@pytest.fixture(scope="module")
def ids(vocabulary, checkpoint) -> list[int]:
    windows = WindowBuilder(vocabulary, checkpoint.config.reserved, Budget(total=256, suffix=64))
    return windows.build(BEFORE, AFTER, broken=DAMAGED).ids


def batch(denoiser, vocabulary, ids: list[int], seed: int = 0) -> Batch:
    return Batch(denoiser, vocabulary, denoiser.new_cache(), Task(ids), seed)


def samples(vocabulary, count: int) -> list[Branch]:
    copy = vocabulary.encode(DAMAGED)
    return [Branch([], copy, 0.9 if n else 0.0, n, len(copy) + 12) for n in range(count)]


def test_a_draft_is_the_same_alone_and_among_others(exact, vocabulary, ids):
    single, several = samples(vocabulary, 1), samples(vocabulary, 4)
    alone = batch(exact, vocabulary, ids)
    alone.write(single, 40)
    batch(exact, vocabulary, ids).write(several, 40)
    assert single[0].done
    assert vocabulary.decode(single[0].written).strip("\n") == RIGHT
    assert several[0].written == single[0].written
    assert several[0].logprob == pytest.approx(single[0].logprob, abs=ROUNDING)
    assert alone.steps < len(single[0].written), "several tokens are verified in a pass"


def test_proposed_tokens_change_the_number_of_passes_not_the_draft(exact, vocabulary, ids):
    # Greedy ones: a draw may turn on the rounding of keys in other slots.
    with_copy, without = samples(vocabulary, 1), samples(vocabulary, 1)
    for branch in without:
        branch.copy = []
    quick, slow = batch(exact, vocabulary, ids), batch(exact, vocabulary, ids)
    quick.write(with_copy, 60)
    slow.write(without, 60)
    assert [b.written for b in with_copy] == [b.written for b in without]
    assert quick.steps < slow.steps


def test_a_likelihood_is_that_of_one_causal_pass(exact, vocabulary, ids, checkpoint):
    branches = samples(vocabulary, 3)
    batch(exact, vocabulary, ids).write(branches, 60)
    for branch in branches:
        assert branch.done
        behind = [*branch.written, checkpoint.config.reserved.end]
        rows = range(len(ids) - 1, len(ids) + len(behind) - 1)
        alone = exact.causal(exact.new_cache(), ids + behind[:-1], 0, rows)
        assert branch.logprob == pytest.approx(sum(alone.logprob(i, t) for i, t in enumerate(behind)), abs=ROUNDING)


def test_a_seed_decides_the_samples(exact, vocabulary, ids):
    drawn = []
    for seed in (3, 3, 4):
        branches = samples(vocabulary, 4)
        batch(exact, vocabulary, ids, seed).write(branches, 60)
        drawn.append([b.written for b in branches])
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[0][0] == drawn[2][0], "the likeliest draft is no sample"


def test_lines_that_are_kept_stand_before_a_draft(exact, vocabulary, ids):
    first, second = DAMAGED.split("\n")
    branch = Branch(vocabulary.encode(first + ":"), vocabulary.encode("\n" + second), most=30)
    batch(exact, vocabulary, ids).write([branch], 40)
    assert branch.done
    assert vocabulary.decode(branch.tokens).strip("\n") == RIGHT


def test_only_masks_are_written_anew_as_the_denoising_sampler_would(exact, vocabulary, ids):
    draft = vocabulary.encode(RIGHT.replace("result += item", "result += = item"))
    suspects = {BLOCK, BLOCK + 1, BLOCK + 2}
    masked = [None if i in suspects else t for i, t in enumerate(draft)]
    shorter = [t for i, t in enumerate(masked) if i != BLOCK]
    branch = Branch([], [])
    branch.tokens = list(draft)
    found = batch(exact, vocabulary, ids).renoise([(branch, list(masked)), (branch, shorter)], 20)
    assert [b.done for b in found] == [True, True]
    alone = DenoiseSampler(exact, vocabulary).renoise(exact.new_cache(), Task(ids), draft, suspects)
    assert found[0].tokens == alone.tokens
    for result, wanted in zip(found, (masked, shorter), strict=True):
        assert all(t == w for t, w in zip(result.tokens, wanted, strict=True) if w is not None)
        assert all(t not in (None, exact.config.reserved.mask) for t in result.tokens)


def test_a_batch_stops_at_its_passes_and_says_what_was_not_finished(exact, vocabulary, ids):
    branches = samples(vocabulary, 2)
    cut = batch(exact, vocabulary, ids)
    cut.write(branches, 1)
    assert cut.steps == 1
    assert not any(b.done for b in branches)
