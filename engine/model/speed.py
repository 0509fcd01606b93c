"""How fast training could be, and how fast it is: operations counted, and the rate that plain products reach here.

A multiplication and an addition count as two operations; a backward pass as two forward passes.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time

import torch

from engine.checkpoint import ModelConfig
from engine.model.architecture import linear_parameters
from engine.model.batches import Batch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h

# Dense bf16 peaks by the makers' data sheets, in operations a second.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12, "B200": 2250e12}


def operations(config: ModelConfig, batch: Batch) -> float:
    """Operations of one forward and backward pass: layers, attention that is not masked away, and the head.

    Where the context is only read, its rows have no backward pass.
    """
    b, t = batch.ids.shape
    heads = 2 * 2 * config.heads * config.head_dim * config.layers
    layers = 2.0 * linear_parameters(config)
    head = 2.0 * config.vocab * config.hidden * (len(batch.clean_rows) + len(batch.noised_rows))
    if batch.learns is None:
        pairs = batch.clean * (batch.clean + 1) / 2 + (t - batch.clean) * t
        return 3.0 * (layers * b * t + heads * pairs * b + head)
    starts, stops, counts = (column.double() for column in batch.learns.unbind(1))
    read, learning = float(starts.max()), stops - starts + counts
    reading = layers * read * b + heads * read * (read + 1) / 2 * b
    return reading + 3.0 * (layers * float(learning.sum()) + heads * float((learning * stops).sum()) + head)


def product_rate(config: ModelConfig, device: torch.device, rows: int, seconds: float = 2.0) -> float:
    """Operations a second (see `clock`) of the model's own bf16 (or fp32) products, run alone, on this device."""
    dtype = low_precision(device) or torch.float32
    wide = (config.heads + 2 * config.kv_heads) * config.head_dim
    shapes = [
        (config.hidden, wide),
        (config.heads * config.head_dim, config.hidden),
        (config.hidden, 2 * config.intermediate),
        (config.intermediate, config.hidden),
    ]
    pairs = [
        (torch.randn(rows, k, device=device, dtype=dtype), torch.randn(n, k, device=device, dtype=dtype))
        for k, n in shapes
    ]
    done, total = 0, 2.0 * rows * sum(k * n for k, n in shapes)
    for a, b in pairs:
        torch.mm(a, b.T)
    _finish(device)
    started, worked = time.perf_counter(), clock(device)
    while time.perf_counter() - started < seconds:
        for a, b in pairs:
            torch.mm(a, b.T)
        done += 1
        if device.type == "cuda" and done % 50 == 0:
            _finish(device)
    _finish(device)
    return done * total / (clock(device) - worked)


def clock(device: torch.device) -> float:
    """Seconds to count work against: on the wall for a GPU, of cores at work for a processor (others use it too)."""
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(device: torch.device) -> float | None:
    """The data sheet's dense bf16 rate of a known card."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((rate for key, rate in PEAKS.items() if key in name), None)


def low_precision(device: torch.device) -> torch.dtype | None:
    """bf16 where the device computes it in hardware, None where autocasting would only slow things down."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as f:
            flags = next((line for line in f if line.startswith("flags")), "")
    except OSError:
        return None
    return torch.bfloat16 if "avx512_bf16" in flags or "amx_bf16" in flags else None


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next: mapping its arrays anew costs one part in twenty of a step."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
