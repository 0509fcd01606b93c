"""What a real engine tells of its device, and what the worker makes of it."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from engine.core import Engine
from engine.device import Device
from engine.service.intake import job_from
from engine.service.scheduler import Job
from engine.service.worker import Worker, in_words, is_of_the_device
from tests.service.stand_in import StandIn


def job(kind: str, **fields: object) -> Job:
    return job_from({"id": 1, "kind": kind, "deadline": 20.0} | fields, "editor", lambda message: None, 0)


CODE = {"prefix": "def add(a, b):\n    return ", "suffix": "\n", "language": "python", "max_tokens": 4}


def thrown(failure: Exception, where: str) -> Exception:
    """A failure as it comes out of a module."""
    with pytest.raises(type(failure)) as caught:
        exec("raise failure", {"__name__": where, "failure": failure})
    return caught.value


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
    assert is_of_the_device(thrown(RuntimeError("Failed to allocate memory"), "engine.denoiser"))
    with pytest.raises(RuntimeError) as caught:
        onnxruntime.OrtValue.ortvalue_from_shape_and_type([-1], np.float32, "cpu", 0)
    assert is_of_the_device(caught.value)
    assert not is_of_the_device(thrown(RuntimeError("set changed size during iteration"), "engine.verified"))
    assert not is_of_the_device(RuntimeError("raised nowhere"))
    assert not any(is_of_the_device(e) for e in (IndexError("code"), RecursionError("code"), ValueError("code")))
    assert in_words(Fail("CUDA failure 2: out of memory\nand pages")) == "CUDA failure 2: out of memory"
    assert in_words(RuntimeError("code")) == "RuntimeError"


async def test_the_files_that_an_engine_remembers_go_to_the_one_that_is_loaded_in_its_place(tiny, monkeypatch):
    engines: list[Engine] = []

    def load(device: str) -> Engine:
        engines.append(Engine("cpu", memory=True, model=tiny.model))
        return engines[-1]

    worker = Worker(load, "cuda", lambda job, message: None)
    await worker.load()
    gpu = engines[0]
    await worker.run(job("remember", path="shop/cart.py", text="def total(items):\n    return sum(items)\n"))
    gpu.denoiser.device = gpu._chosen = Device("cuda", "pretended", 1)

    def lose(*arguments: object) -> None:
        raise Fail("CUDA failure 2: out of memory")

    monkeypatch.setattr(gpu, "run_complete", lose)
    assert (await worker.run(job("complete", **CODE)))["kind"] == "answer"
    assert len(engines) == 2
    stats = (await worker.run(job("stats")))["answer"]
    assert (stats["device"], stats["memory_files"]) == ("cpu", 1)
    assert engines[1].completer.memory is engines[1].memory
    assert (await worker.run(job("forget", path="shop/cart.py")))["kind"] == "answer"
    assert (await worker.run(job("stats")))["answer"]["memory_files"] == 0
    await worker.close()


async def test_an_engine_that_has_left_the_gpu_by_itself_is_not_loaded_anew():
    engine, loaded = StandIn("cuda"), []

    def load(device: str) -> StandIn:
        loaded.append(device)
        return engine

    worker = Worker(load, "cuda", lambda job, message: None)  # type: ignore[arg-type]
    await worker.load()
    engine.device = "cpu"  # between the failure of one request and the look of another that failed beside it
    worker._fall_back(engine, Fail("CUDA failure 700: an illegal address"))  # type: ignore[arg-type]
    assert loaded == ["cuda"]
    assert (await worker.run(job("complete", **CODE)))["kind"] == "answer"
    await worker.close()
