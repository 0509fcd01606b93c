"""The graph against a NumPy reference, and its promise that caching, chunking and batching change no bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.kv_cache import Cache, Rows
from engine.vocabulary import Vocabulary
from tests.conftest import ROOT, THREADS
from tests.engine.reference import NumpyDenoiser

CONTEXT, BLOCK = 96, 8


@pytest.fixture(scope="module")
def denoiser(checkpoint: Checkpoint) -> Denoiser:
    """On two threads, which could split sums by how many rows there are, also where tests run side by side."""
    return Denoiser(checkpoint, replace(choose("cpu"), threads=THREADS))


@pytest.fixture(scope="module")
def ids(vocabulary: Vocabulary, real_code: str) -> list[int]:
    return vocabulary.encode(real_code)[: CONTEXT + 64]


def block_arrays(ids: list[int], mask: int, start: int, size: int) -> tuple[np.ndarray, ...]:
    """A block whose first input is the token at `start`, masks after it, seeing all before and each other."""
    at = np.arange(start, start + size)[None]
    row = np.array([[ids[start], *[mask] * (size - 1)]])
    return row, at, at, np.ones((1, size, start + size), bool), np.arange(size)


@pytest.fixture(scope="module")
def expected(checkpoint: Checkpoint, ids: list[int]) -> np.ndarray:
    """Reference logits of CONTEXT causal rows, then of a block that starts at position CONTEXT."""
    mask = checkpoint.config.reserved.mask
    rows = [*ids[: CONTEXT + 1], *[mask] * (BLOCK - 1)]
    n = len(rows)
    sees = np.tril(np.ones((n, n), bool))
    sees[CONTEXT:, CONTEXT:] = True
    return NumpyDenoiser(checkpoint)(rows, list(range(n)), sees)


def test_prefill_agrees_with_the_reference_without_a_cache(exact, ids, expected):
    got = exact.causal(exact.new_cache(), ids[:CONTEXT], 0, range(CONTEXT)).logits
    assert np.abs(got - expected[:CONTEXT]).max() < 1e-3


def test_steps_and_blocks_agree_with_the_reference_over_a_cache(exact, checkpoint, ids, expected):
    cache = exact.new_cache()
    exact.causal(cache, ids[:64], 0, [0])
    rest = exact.causal(cache, ids[64:CONTEXT], 64, range(CONTEXT - 64)).logits
    assert np.abs(rest - expected[64:CONTEXT]).max() < 1e-3
    block = exact.forward(cache, *block_arrays(ids, checkpoint.config.reserved.mask, CONTEXT, BLOCK)).logits
    assert np.abs(block - expected[CONTEXT:]).max() < 1e-3


def test_the_shipped_logits_of_the_first_checkpoint_are_reproduced(exact):
    """They came with it; `python -m tests.engine.torch_reference` makes those of other weights."""
    shipped = np.load(ROOT / "tests" / "data" / "reference.npz")
    context, block = shipped["context_ids"].tolist(), shipped["block_ids"]
    cache, n, k = exact.new_cache(), len(context), len(block)
    last = exact.causal(cache, context, 0, [n - 1]).logits[0]
    assert np.abs(last - shipped["context_last_logits"]).max() < 1e-3
    at = np.arange(n, n + k)[None]
    got = exact.forward(cache, block[None], at, at, np.ones((1, k, n + k), bool), np.arange(k)).logits
    assert np.abs(got - shipped["block_logits"]).max() < 1e-3


def test_summaries_agree_with_the_logits(denoiser, ids):
    p = denoiser.causal(denoiser.new_cache(), ids[:32], 0, range(32))
    logits = p.logits.astype(np.float64)
    log_chances = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
    log_chances -= logits.max(-1, keepdims=True)
    assert (p.top_ids[:, 0] == logits.argmax(-1)).all()
    assert np.allclose(p.top_logprobs[:, 0], log_chances.max(-1), atol=1e-3)
    entropies = -(np.exp(log_chances) * log_chances).sum(-1)
    assert np.allclose([p.entropy[row] for row in range(32)], entropies, atol=1e-3)
    assert np.allclose(p.end_logprobs, log_chances[:, p.end], atol=1e-3)
    assert p.logprob(5, 7) == pytest.approx(log_chances[5, 7], abs=1e-3)


def prefilled(denoiser: Denoiser, ids: list[int], chunk: int) -> Cache:
    cache = denoiser.new_cache()
    for start in range(0, CONTEXT, chunk):
        denoiser.causal(cache, ids[start : min(start + chunk, CONTEXT)], start, [0])
    return cache


@pytest.mark.parametrize("chunk", [1, 3, 8, 16, 64])
def test_chunks_change_no_bit_of_the_quantised_graph(denoiser, checkpoint, ids, chunk):
    arrays = block_arrays(ids, checkpoint.config.reserved.mask, CONTEXT, BLOCK)
    whole = denoiser.forward(prefilled(denoiser, ids, CONTEXT), *arrays).logits.copy()
    assert np.array_equal(denoiser.forward(prefilled(denoiser, ids, chunk), *arrays).logits, whole)


def test_a_used_cache_changes_no_bit_of_the_quantised_graph(denoiser, checkpoint, ids):
    arrays = block_arrays(ids, checkpoint.config.reserved.mask, CONTEXT, BLOCK)
    cold = denoiser.forward(prefilled(denoiser, ids, CONTEXT), *arrays).logits.copy()
    warm = denoiser.new_cache()
    denoiser.causal(warm, ids[::-1], 0, [0])  # another text lived here
    denoiser.causal(warm, ids[:CONTEXT], 0, [0])
    assert np.array_equal(denoiser.forward(warm, *arrays).logits, cold)


def test_a_batch_changes_no_bit_of_the_quantised_graph(denoiser, ids):
    texts = [ids[:48], ids[20:68], ids[40:88]]
    alone = [denoiser.causal(denoiser.new_cache(), t, 0, [47]).logits[0].copy() for t in texts]
    at = np.arange(48)[None].repeat(3, 0)
    sees = np.tril(np.ones((48, 48), bool))[None].repeat(3, 0)
    together = denoiser.forward(denoiser.new_cache(3), np.array(texts), at, at, sees, np.array([47, 95, 143])).logits
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.fixture(scope="module")
def shared(checkpoint: Checkpoint, denoiser: Denoiser) -> Denoiser:
    return Denoiser(checkpoint, denoiser.device, lanes=4)


def share(denoiser: Denoiser, ids: list[int], context: int, size: int) -> Rows:
    """`size` causal rows behind a context of its own."""
    cache = denoiser.new_cache()
    denoiser.causal(cache, ids[:context], 0, [0])
    at = np.arange(context, context + size)[None]
    row = np.array([ids[context : context + size]])
    return Rows(cache, row, at, at, np.arange(context + size)[None, None] <= at[:, :, None], np.arange(size))


@pytest.mark.parametrize("sizes", [[8, 8], [1, 64, 5], [8, 3, 40, 16]])
def test_sharing_a_pass_changes_no_bit(shared, ids, sizes):
    shares = [share(shared, ids[n:], 24 * n + 40, size) for n, size in enumerate(sizes)]
    alone = [shared.forward(*s) for s in shares]
    for _ in range(2):  # the second time on lanes that are bound already
        before = shared.passes
        together = shared.forward_all(shares)
        assert shared.passes == before + 1
        for a, b in zip(alone, together, strict=True):
            assert np.array_equal(a.logits, b.logits)
            assert np.array_equal(a.top_ids, b.top_ids)
            assert np.array_equal(a.end_logprobs, b.end_logprobs)
            assert [a.entropy[0], a.logprob(0, 7)] == [b.entropy[0], b.logprob(0, 7)]
        shares.reverse()
        alone.reverse()


def test_a_shared_pass_writes_each_cache_and_lets_them_grow(shared, ids):
    first, second = share(shared, ids, 60, 8), share(shared, ids[5:], 120, 20)
    shared.forward_all([first, second])
    assert first.cache.capacity == 128
    assert second.cache.capacity == 256
    keys = [np.abs(s.cache._values[0].numpy()).sum((0, 1, 3)) > 0 for s in (first, second)]
    assert [int(k.sum()) for k in keys] == [68, 140]


def test_the_cache_is_written_in_place(denoiser, ids):
    cache = denoiser.new_cache()
    denoiser.causal(cache, ids[:10], 0, [0])
    keys = cache._values[0].numpy()
    written = np.abs(keys).sum((0, 1, 3)) > 0
    assert written[:10].all()
    assert not written[10:].any()


@pytest.mark.parametrize("slots", [256, 384, 640])
def test_room_in_the_cache_changes_no_bit_of_the_quantised_graph(denoiser, checkpoint, ids, slots):
    arrays = block_arrays(ids, checkpoint.config.reserved.mask, CONTEXT, BLOCK)
    tight = denoiser.forward(prefilled(denoiser, ids, 48), *arrays)
    roomy = denoiser.new_cache()
    denoiser.causal(roomy, ids[:48], 0, [0])
    roomy.reserve(slots)  # keeps what is there
    denoiser.causal(roomy, ids[48:CONTEXT], 48, [0])
    assert roomy.capacity == slots
    assert np.array_equal(denoiser.forward(roomy, *arrays).logits, tight.logits)


def test_a_cache_grows_as_far_as_it_is_used(denoiser, ids):
    cache = denoiser.new_cache()
    sizes = []
    for start in range(0, 160, 40):
        denoiser.causal(cache, ids[start : start + 40], start, [0])
        sizes.append(cache.capacity)
    assert sizes == [128, 128, 128, 256]
    assert cache.bytes == 2 * 30 * 3 * 256 * 64 * 4
