"""A GPU that fails never takes the engine down: it goes on on the processor, and says so.

There is no GPU here; a denoiser that believes it is on one fails in the ways a CUDA session fails.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from engine import device
from engine.caches import CachePool
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import Device, choose
from engine.errors import ModelError
from engine.kv_cache import Cache
from tests.engine.tiny import LLAMA, write_model


@pytest.fixture
def model(tmp_path) -> Checkpoint:
    return Checkpoint(write_model(tmp_path, LLAMA))


@pytest.fixture
def on_gpu(model) -> Denoiser:
    denoiser = Denoiser(model, choose("cpu"), "int8-blocks")
    denoiser.device = Device("cuda", "pretended", 1)
    return denoiser


def test_a_cuda_session_that_does_not_open_falls_back_with_the_reason(model):
    # The processor's ONNX Runtime has no CUDA provider: it opens a session on the processor instead, with a warning.
    denoiser = Denoiser(model, Device("cuda", "asked for", 2))
    assert denoiser.device.name == "cpu"
    assert "CUDA" in denoiser.device.reason
    assert denoiser.precision == "int8-blocks"
    assert denoiser.causal(denoiser.new_cache(), [5, 6, 7], 0, [2]).logits.shape == (1, 600)


def test_out_of_memory_in_a_pass_is_told_and_the_next_request_is_answered(on_gpu, model, monkeypatch):
    pool = CachePool(on_gpu)
    on_gpu.device = Device("cpu", "", 1)
    cache = pool.get([1] * 50)
    cache.tokens[0] = [1] * 50
    on_gpu.device = Device("cuda", "pretended", 1)

    class Full:
        def run_with_iobinding(self, binding):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1\nand pages of detail")

    on_gpu._session, cache.session = Full(), Full()  # type: ignore[assignment]
    monkeypatch.setattr(on_gpu, "_bind_outputs", lambda binding, rows: ({}, np.empty((rows, 600))))
    with pytest.raises(ModelError, match=r"Failed to allocate memory .* size 1\. Remask goes on on the processor"):
        on_gpu.causal(cache, [5], 50, [0])
    assert cache.tokens == [[]]
    assert on_gpu.device.name == "cpu"
    monkeypatch.undo()
    fresh = pool.get([1] * 50)
    assert fresh is not cache
    expected = Denoiser(model, choose("cpu"), "int8-blocks")
    got = on_gpu.causal(fresh, [5, 6], 0, [1]).logits
    assert np.array_equal(got, expected.causal(expected.new_cache(), [5, 6], 0, [1]).logits)


def test_no_room_for_a_cache_on_the_gpu_falls_back(on_gpu, monkeypatch):
    reserve = Cache.reserve

    def full(self, slots):
        if self._device == "cuda":
            raise RuntimeError("CUDA out of memory")
        reserve(self, slots)

    monkeypatch.setattr(Cache, "reserve", full)
    cache = on_gpu.new_cache()
    assert on_gpu.device.reason == "no room on the GPU: CUDA out of memory"
    assert on_gpu.causal(cache, [5, 6, 7], 0, [2]).logits.shape == (1, 600)


@pytest.mark.parametrize("fails", [False, True])
def test_cuda_libraries_are_loaded_once_before_a_session_needs_them_and_nothing_is_printed(monkeypatch, capsys, fails):
    loaded = []

    def load() -> None:
        loaded.append(1)
        print("Failed to load libcudnn.so.9")
        if fails:
            raise RuntimeError("no such folder")

    monkeypatch.setattr(onnxruntime, "preload_dlls", load, raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    device.load_cuda_libraries.cache_clear()
    assert choose("cpu").name == "cpu"
    assert loaded == []
    assert [choose(wanted).name for wanted in ("auto", "cuda")] == ["cuda", "cuda"]
    assert loaded == [1]
    assert capsys.readouterr().out == ""
    monkeypatch.delattr(onnxruntime, "preload_dlls")  # an older one
    device.load_cuda_libraries.cache_clear()
    assert choose("auto").name == "cuda"
    device.load_cuda_libraries.cache_clear()
