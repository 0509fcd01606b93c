"""What a real engine tells of its device, and what the worker makes of it."""

from __future__ import annotations

from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from engine.core import Engine
from engine.device import Device
from engine.service.worker import Worker, in_words, is_of_the_device


async def test_an_engine_whose_gpu_is_lost_says_that_it_is_on_the_processor_and_why(tiny):
    with Engine("cpu", memory=False, model=tiny.model) as engine:
        worker = Worker(lambda device: engine, "cuda", lambda job, message: None)
        await worker.load()
        engine.denoiser.device = engine._chosen = Device("cuda", "pretended", 1)
        assert (worker.device, worker.note) == ("cuda", "")
        engine.denoiser._fall_back("CUDA failed in a pass: device lost")
        assert (worker.device, engine.stats()["device"]) == ("cpu", "cpu")
        assert worker.note == "CUDA failed in a pass: device lost: using the processor until the engine is restarted"


def test_only_what_onnx_runtime_raises_counts_as_the_devices_and_only_its_words_are_kept():
    assert is_of_the_device(Fail("CUDA failure 2: out of memory"))
    assert is_of_the_device(RuntimeError("Failed to allocate memory"))
    assert not any(is_of_the_device(e) for e in (IndexError("code"), RecursionError("code"), ValueError("code")))
    assert in_words(Fail("CUDA failure 2: out of memory\nand pages")) == "CUDA failure 2: out of memory"
    assert in_words(RuntimeError("code")) == "RuntimeError"
