"""How much memory a model takes, before it takes it."""

from __future__ import annotations

from engine.checkpoint import ModelConfig
from engine.errors import ModelError
from engine.graph import Precision

WEIGHT_BYTES: dict[Precision, float] = {
    "fp32": 4.0,
    "fp16": 2.0,
    "int8": 1.0,
    "int8-blocks": 1.0625,  # a scale for 64 columns
    "int4-blocks": 0.5625,
}
AROUND = 200e6  # interpreter, ONNX Runtime, tokenizer, grammars: measured


def parameters(c: ModelConfig) -> int:
    """Numbers in the matrices that a pass multiplies with, the head included."""
    attention = c.hidden * c.head_dim * (2 * c.heads + 2 * c.kv_heads)
    return c.layers * (attention + 3 * c.hidden * c.intermediate) + c.vocab * c.hidden


def needed(c: ModelConfig, precision: Precision, capacity: int, lanes: int = 1) -> float:
    """Bytes: weights, a second table of embeddings to look rows up in, key-value caches, and what runs them.

    Requests that share passes, on `lanes`, do so in a session of its own, with weights of its own.
    """
    embedding = c.vocab * c.hidden * (1.0 if precision.startswith("int") else WEIGHT_BYTES[precision])
    cache = 2 * c.layers * c.kv_heads * c.head_dim * capacity * (2 if precision == "fp16" else 4)
    weights = parameters(c) * WEIGHT_BYTES[precision] + embedding
    return weights * (2 if lanes > 1 else 1) + (lanes + 2) * cache + AROUND


def describe(c: ModelConfig, precision: Precision, capacity: int, lanes: int = 1) -> str:
    """For people."""
    size = parameters(c) / 1e6
    return (
        f"{size:,.0f} M parameters, about {needed(c, precision, capacity, lanes) / 1e9:.1f} GB of memory as {precision}"
    )


def available() -> float | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as f:
            return next(float(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def check_room(c: ModelConfig, precision: Precision, capacity: int, device: str, lanes: int = 1) -> None:
    """`ModelError` when this machine's memory cannot hold the model. A GPU's memory is its provider's to refuse."""
    free = available()
    if device == "cpu" and free is not None and needed(c, precision, capacity, lanes) > free:
        raise ModelError(
            f"the model ({describe(c, precision, capacity, lanes)}) does not fit: {free / 1e9:.1f} GB are free. "
            "Close programs, or choose a smaller model"
        )
