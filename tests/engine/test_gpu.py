"""The CUDA path against the processor's, wherever a GPU is: `make test-gpu`. Deselected elsewhere by name."""

from __future__ import annotations

import numpy as np
import pytest

from engine.bench import speed
from engine.calibration import draft_policy
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.sampler import Task
from engine.types import CompleteRequest
from engine.verified import DraftPolicy, VerifiedSampler
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpu(checkpoint: Checkpoint) -> Denoiser:
    found = Denoiser(checkpoint, choose("cuda"))
    assert (found.device.name, found.precision) == ("cuda", "fp16"), found.device.reason
    return found


@pytest.fixture(scope="module")
def exact(checkpoint: Checkpoint) -> Denoiser:
    return Denoiser(checkpoint, choose("cpu"), "fp32")


@pytest.fixture(scope="module")
def windows(checkpoint: Checkpoint, vocabulary: Vocabulary) -> list[list[int]]:
    builder = WindowBuilder(vocabulary, checkpoint.config.reserved, Budget(total=checkpoint.config.context))
    return [builder.build(c.prefix, c.suffix, heal=False).ids for c in speed.cursors(12)]


def test_fp16_says_nearly_what_fp32_says(gpu, exact, windows):
    for ids in windows[:4]:
        rows = range(len(ids) - 64, len(ids))
        a, b = (d.causal(d.new_cache(), ids, 0, rows) for d in (gpu, exact))
        assert np.abs((a.logits - a.base[:, None]) - (b.logits - b.base[:, None])).max() < 0.5
        assert np.abs(a.top_logprobs[:, 0] - b.top_logprobs[:, 0]).max() < 0.1
        assert np.abs(np.asarray(a.entropy) - np.array([b.entropy[i] for i in range(len(rows))])).max() < 0.1
        assert (a.top_ids[:, 0] == b.top_ids[:, 0]).mean() > 0.95


def test_a_block_over_a_cache_is_that_of_one_pass(gpu, windows):
    ids = windows[0]
    whole = gpu.causal(gpu.new_cache(), ids, 0, range(len(ids) - 8, len(ids)))
    cache = gpu.new_cache()
    gpu.causal(cache, ids[:-8], 0, [0])
    parts = gpu.causal(cache, ids[-8:], len(ids) - 8, range(8))
    assert np.abs(whole.top_logprobs[:, 0] - parts.top_logprobs[:, 0]).max() < 0.1


def test_recorded_passes_say_what_plain_ones_say(gpu, windows):
    assert gpu.recordings is not None, gpu.no_graphs
    caches, n = [gpu.new_cache(), gpu.new_cache()], len(windows[0]) - 64
    for cache in caches:
        gpu.causal(cache, windows[0][:n], 0, [0])
    for start in range(n, n + 60, 5):  # recorded once, replayed eleven times, padded from 5 rows to 8
        said = []
        for cache, paused in zip(caches, (True, False), strict=True):
            gpu.recordings.paused = paused
            said.append(gpu.causal(cache, windows[0][start : start + 5], start, range(5)))
        assert np.abs(said[0].top_logprobs[:, 0] - said[1].top_logprobs[:, 0]).max() < 0.1
        assert np.abs(said[0].logits - said[1].logits).max() < 0.5
    assert gpu.recordings is not None, gpu.no_graphs


def written(denoiser: Denoiser, vocabulary: Vocabulary, ids: list[int], policy: DraftPolicy) -> list[int]:
    sampler = VerifiedSampler(denoiser, vocabulary, policy)
    return sampler.run(denoiser.new_cache(), Task(ids, max_tokens=24, least=24)).tokens


def test_drafting_with_many_groups_writes_what_one_token_a_pass_writes(gpu, vocabulary, windows):
    # Sums of another shape round differently, so a near tie may fall the other way: most texts are the same.
    same = [
        written(gpu, vocabulary, ids, draft_policy(gpu)) == written(gpu, vocabulary, ids, DraftPolicy(0, 1.0))
        for ids in windows
    ]
    assert np.mean(same) >= 0.8


def test_the_processor_writes_the_same(gpu, exact, vocabulary, windows):
    one = DraftPolicy(0, 1.0)
    same = [written(gpu, vocabulary, ids, one) == written(exact, vocabulary, ids, one) for ids in windows]
    assert np.mean(same) >= 0.7


def test_an_engine_on_the_gpu_completes_and_says_where():
    from engine.core import load

    cursor = speed.cursors(1)[0]
    request = CompleteRequest(cursor.prefix, cursor.suffix, "python")
    with load("cuda", memory=False) as e:
        assert e.device == "cuda"
        assert e.run_complete(request).items
        assert e.stats()["device"] == "cuda"
