"""What CUDA graphs ask of the host: fixed buffers, padded rows, logits that outlive the next pass, ways to go on.

There is no GPU here. The buffers of a recording are the same on a processor, where each replay is a plain pass; that
replays on a GPU say what plain passes do is `make test-gpu`'s to show, and each start's (`Denoiser._rehearse`).
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

from engine import denoiser as module
from engine.checkpoint import Checkpoint
from engine.cuda_graphs import SIZES, Recordings, padded
from engine.denoiser import Denoiser
from engine.device import Device, choose
from engine.errors import ModelError
from engine.kv_cache import Cache, causal_rows
from engine.sampler import Task
from engine.verified import DraftPolicy, VerifiedSampler
from tests.engine.tiny import LLAMA, write_model


class OnProcessor(Recordings):
    """Recordings whose buffers are not on a GPU."""

    def __init__(self, results) -> None:
        super().__init__(results, "cpu")


@pytest.fixture
def recording(denoiser):
    """The packaged model as if it recorded its passes."""
    denoiser.recordings = OnProcessor(denoiser.shapes)
    yield denoiser
    denoiser.recordings = None


def full(denoiser: Denoiser) -> Cache:
    cache = denoiser.new_cache()
    cache.reserve(denoiser.capacity)
    return cache


def test_padded_and_replayed_passes_say_to_the_bit_what_plain_ones_say(recording, vocabulary, real_code):
    ids = vocabulary.encode(real_code)[:120]
    plain, replayed = full(recording), full(recording)
    start = 0
    for length in (40, 1, 2, 3, 5, 3, 8, 11, 1, 40):
        wanted = range(length) if length % 2 else [length - 1, 0]
        said = []
        for cache, paused in ((plain, True), (replayed, False)):
            recording.recordings.paused = paused
            said.append(recording.causal(cache, ids[start : start + length], start, wanted))
        assert len(said[1].top_ids) == len(wanted)
        for name in ("top_ids", "top_logprobs", "base", "end_logprobs", "logits"):
            assert np.array_equal(getattr(said[0], name), getattr(said[1], name)), (length, name)
        start += length


def test_blocks_of_masks_too(recording, vocabulary, real_code, checkpoint):
    ids, n, k = vocabulary.encode(real_code)[:64], 64, 6
    block = np.array([[ids[-1], *[checkpoint.config.reserved.mask] * (k - 1)]])
    at = np.arange(n, n + k)[None]
    said = []
    for paused in (True, False):
        recording.recordings.paused = paused
        cache = full(recording)
        recording.causal(cache, ids, 0, [0])
        said.append(recording.forward(cache, block, at, at, np.ones((1, k, n + k), bool), np.arange(k)).logits)
    assert np.array_equal(*said)


def test_logits_can_be_asked_for_after_later_passes(recording):
    cache = full(recording)
    expected, kept = [], []
    for token in range(300, 305):
        kept.append(recording.causal(cache, [token], 0, [0]))
        recording.recordings.paused = True
        expected.append(recording.causal(full(recording), [token], 0, [0]).logits)
        recording.recordings.paused = False
    for mine, theirs in zip(kept, expected, strict=True):
        assert np.array_equal(mine.logits, theirs)


def test_two_recordings_of_a_size_are_enough(recording):
    cache = full(recording)
    last = None
    for token in range(300, 310):
        last = recording.causal(cache, [token], 0, [0])
    assert last is not None
    assert recording.recordings._made == 2


def test_long_passes_and_several_sequences_are_not_recorded(recording):
    cache = full(recording)
    recording.causal(cache, [5] * (SIZES[-1] + 1), 0, [0])
    two = recording.new_cache(2)
    at = np.zeros((2, 1), np.int64)
    recording.forward(two, at + 7, at, at, np.ones((2, 1, 1), bool), np.arange(2))
    assert recording.recordings._made == 0


def test_a_cache_that_is_gone_takes_its_recordings_along(recording):
    cache = full(recording)
    recording.causal(cache, [5], 0, [0])
    assert len(recording.recordings._by_cache) == 1
    del cache
    gc.collect()
    assert len(recording.recordings._by_cache) == 0


def test_a_sampler_writes_the_same(recording, vocabulary, real_code):
    ids = vocabulary.encode(real_code)[:80]
    written = []
    for paused in (True, False):
        recording.recordings.paused = paused
        sampler = VerifiedSampler(recording, vocabulary, DraftPolicy(4, 0.1))
        written.append(sampler.run(full(recording), Task(ids, max_tokens=12, least=12)).tokens)
    assert recording.recordings._made > 0
    assert written[0] == written[1]


def test_padding_repeats_the_last_entry():
    assert padded(np.array([[1, 2]]), 4, 1).tolist() == [[1, 2, 2, 2]]
    assert padded(np.array([3]), 2, 0).tolist() == [3, 3]
    assert padded(np.zeros(0, np.int64), 2, 0).tolist() == [0, 0]


@pytest.fixture
def tiny(tmp_path) -> Denoiser:
    return Denoiser(Checkpoint(write_model(tmp_path, LLAMA)), choose("cpu"), "int8-blocks")


def test_a_start_rehearses_and_records_from_then_on(tiny, monkeypatch):
    monkeypatch.setattr(module, "Recordings", OnProcessor)
    tiny._rehearse()
    assert tiny.recordings is not None
    assert tiny.recordings._made == 1
    assert not tiny.recordings.paused


def test_replays_that_say_something_else_are_noticed(tiny, monkeypatch):
    class Stale(OnProcessor):
        """As if a replay read the tokens of the pass that was recorded."""

        recorded = None

        def replay(self, session, recording, inputs):
            self.recorded = self.recorded or inputs
            return super().replay(session, recording, dict(inputs, ids=self.recorded["ids"]))

    monkeypatch.setattr(module, "Recordings", Stale)
    with pytest.raises(ModelError, match="another result"):
        tiny._rehearse()


def test_a_recorded_pass_that_fails_goes_on_without_graphs_on_the_same_device(tiny, monkeypatch):
    tiny.recordings = OnProcessor(tiny.shapes)
    cache = full(tiny)
    cache.tokens[0] = [1, 2]

    def full_card(*_):
        raise RuntimeError("CUDA error 2: out of memory\npages")

    started = []
    monkeypatch.setattr(tiny.recordings, "run", full_card)
    monkeypatch.setattr(tiny, "_start", lambda device: started.append(device) or setattr(tiny, "recordings", None))
    tiny.device = Device("cuda", "pretended", 1)
    with pytest.raises(ModelError, match=r"out of memory\. Remask goes on without CUDA graphs: ask again"):
        tiny.forward(*causal_rows(cache, [5], 2, [0]))
    assert started == [tiny.device]
    assert tiny.device.name == "cuda"
    assert cache.tokens == [[]]
    tiny.device = Device("cpu", "", 1)
    assert tiny.causal(cache, [5], 0, [0]).logits.shape == (1, 600)


def test_a_session_that_cannot_record_opens_without(tiny, monkeypatch):
    opened = []
    open_ = tiny._open

    def refuses(device, lanes, cuda=None):
        opened.append(cuda)
        if cuda:
            raise RuntimeError("This session cannot use the graph capture feature\nmore")
        return open_(Device("cpu", "", 1), lanes)

    monkeypatch.setattr(tiny, "_open", refuses)
    tiny._start(Device("cuda", "pretended", 1))
    assert opened == [{"enable_cuda_graph": "1"}, None]
    assert tiny.no_graphs == "This session cannot use the graph capture feature"
    assert tiny.recordings is None
