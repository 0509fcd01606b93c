"""Which ONNX Runtime is installed, which device it can use, and why: never a crash, always a sentence."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Literal

import onnxruntime

from engine.errors import BadRequestError

Name = Literal["cpu", "cuda"]
INSTALL_GPU = "pip install 'onnxruntime-gpu[cuda,cudnn]'"


@dataclass(frozen=True, slots=True)
class Device:
    """A chosen device and the reason, fit to be shown by `remask doctor`."""

    name: Name
    reason: str
    threads: int

    @property
    def providers(self) -> list[str]:
        """ONNX Runtime's execution providers, best first."""
        return ["CUDAExecutionProvider", "CPUExecutionProvider"] if self.name == "cuda" else ["CPUExecutionProvider"]


def runtime_wheels() -> dict[str, str]:
    """Installed distributions that own the module `onnxruntime`, with their versions."""
    found = {}
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def physical_cores() -> int:
    """Cores this process may use: a thread more than that only waits. `REMASK_THREADS` says fewer."""
    if (fewer := os.environ.get("REMASK_THREADS", "")).isdecimal():
        return max(1, int(fewer))
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, (os.cpu_count() or 2) // 2)


@cache
def load_cuda_libraries() -> None:
    """Have ONNX Runtime find the CUDA and cuDNN of its own extras: their folders are on no search path.

    Before the first session. What is not there is found elsewhere or missed by the session itself, which says so.
    """
    load = getattr(onnxruntime, "preload_dlls", None)  # from 1.21 on
    if load is not None:
        with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(Exception):  # it prints what it cannot load
            load()


def choose(wanted: str = "auto") -> Device:
    """The device for `wanted` ("auto", "cpu" or "cuda"); `BadRequestError` for anything else.

    "cuda" falls back to the processor with a reason when the CUDA provider is not there: completing slowly beats not
    completing.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise BadRequestError(f"unknown device {wanted!r}: choose auto, cpu or cuda")
    threads = min(physical_cores(), 8)
    if wanted == "cpu":
        return Device("cpu", "asked for", threads)
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        load_cuda_libraries()
        return Device("cuda", "ONNX Runtime has its CUDA provider", threads)
    wheels = runtime_wheels()
    if "onnxruntime-gpu" in wheels and "onnxruntime" in wheels:
        reason = (
            "onnxruntime and onnxruntime-gpu are both installed and own the same module, and the processor's one won: "
            f"pip uninstall -y onnxruntime onnxruntime-gpu && {INSTALL_GPU}"
        )
    elif "onnxruntime-gpu" in wheels:
        reason = (
            "onnxruntime-gpu is installed but finds no CUDA: check the driver, and the CUDA and cuDNN libraries, which "
            f"come with {INSTALL_GPU}"
        )
    else:
        reason = (
            "the processor's ONNX Runtime is installed; for an NVIDIA GPU: "
            f"pip uninstall -y onnxruntime && {INSTALL_GPU}"
        )
    return Device("cpu", reason, threads)
