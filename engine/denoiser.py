"""The denoiser on ONNX Runtime: one forward pass over rows, and the key-value caches it writes into.

Knows token ids, positions and slots; knows nothing of text, sampling or parsing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from engine.checkpoint import Array, Checkpoint
from engine.device import Device
from engine.errors import ModelError
from engine.graph import GraphBuilder, Precision

log = logging.getLogger(__name__)

CAPACITY = 640  # slots: the 448-token window, a middle of 128, and scratch for drafts
HIDDEN = np.float32(-1e30)
RESULTS = ("top_ids", "top_logprobs", "entropy", "logprobs_base", "logits")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a forward pass says about each wanted row: the token that follows it (the shift is kept).

    `top_ids` and `top_logprobs` (R, TOP) best first, `entropy` (R,) in nats, `base` (R,) with
    `logprob = logit - base`, `logits` (R, vocab).
    """

    top_ids: Ints
    top_logprobs: npt.NDArray[np.float32]
    entropy: npt.NDArray[np.float32]
    base: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]

    def logprob(self, row: int, token: int) -> float:
        """The log-probability of one token at one row."""
        return float(self.logits[row, token] - self.base[row])


class Cache:
    """Keys and values of a batch of sequences, bound once to the graph as input and output.

    `tokens` are the committed ids of each sequence: slot i holds the exact causal keys and values of token i. What lies
    beyond is scratch.
    """

    def __init__(self, session: ort.InferenceSession, config_shapes: list[tuple[int, ...]], dtype: type, device: str):
        self.binding = session.io_binding()
        self.tokens: list[list[int]] = [[] for _ in range(config_shapes[0][0])]
        self._values = []
        for i in range(len(config_shapes) // 2):
            for name, shape in (("key", config_shapes[2 * i]), ("value", config_shapes[2 * i + 1])):
                value = ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype), device, 0)
                self._values.append(value)
                self.binding.bind_ortvalue_input(f"{name}.{i}", value)
                self.binding.bind_ortvalue_output(f"{name}.{i}.out", value)

    @property
    def bytes(self) -> int:
        """Memory the keys and values take."""
        return sum(int(np.prod(v.shape())) * (2 if "16" in v.data_type() else 4) for v in self._values)


class Denoiser:
    """A session, its device and its shapes. Not thread-safe: one forward pass at a time."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: Device,
        precision: Precision | None = None,
        capacity: int = CAPACITY,
        spin: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.capacity = capacity
        self.device = device
        self.precision: Precision = precision or ("fp16" if device.name == "cuda" else "int8")
        self.passes = 0
        try:
            self._session = self._open(device, spin)
        except ModelError:
            raise
        except Exception as failure:  # the CUDA provider raises many types, from missing libraries to out of memory
            if device.name != "cuda":
                raise ModelError(f"ONNX Runtime cannot run the model: {failure}") from failure
            log.warning("CUDA failed (%s), using the processor", failure)
            reason = f"CUDA failed: {str(failure).splitlines()[0]}"
            self.device = Device("cpu", reason, device.threads)
            self.precision = precision if precision in ("fp32", "int8") else "int8"
            self._session = self._open(self.device, spin)
        if device.name == "cuda" and self._session.get_providers()[0] != "CUDAExecutionProvider":
            # ONNX Runtime falls back by itself with a warning; say so, and do not run fp16 on a processor.
            self.device = Device("cpu", "ONNX Runtime could not start its CUDA provider", device.threads)
            self.precision = precision if precision in ("fp32", "int8") else "int8"
            self._session = self._open(self.device, spin)

    def _open(self, device: Device, spin: bool) -> ort.InferenceSession:
        model, weights = GraphBuilder(self.checkpoint, self.precision, self.capacity).build()
        self.checkpoint.release()
        options = ort.SessionOptions()
        options.intra_op_num_threads = device.threads
        options.log_severity_level = 3
        # Spinning threads would keep an idle editor's processor busy between keystrokes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
        values = [ort.OrtValue.ortvalue_from_numpy(w) for w in weights.values()]
        options.add_external_initializers(list(weights), values)
        return ort.InferenceSession(model.SerializeToString(), options, providers=device.providers)

    def new_cache(self, batch: int = 1) -> Cache:
        """An empty cache for `batch` sequences."""
        c = self.config
        key = (batch, c.kv_heads, c.head_dim, self.capacity)
        value = (batch, c.kv_heads, self.capacity, c.head_dim)
        dtype = np.float16 if self.precision == "fp16" else np.float32
        return Cache(self._session, [key, value] * c.layers, dtype, self.device.name)

    def forward(self, cache: Cache, ids: Array, positions: Array, slots: Array, sees: Array, rows: Array) -> Prediction:
        """One pass. ids, positions, slots (B, T); sees bool (B, T, slots up to any S <= capacity); rows (R,) of B*T."""
        mask = np.full((*ids.shape, self.capacity), HIDDEN, dtype=np.float32)
        mask[:, :, : sees.shape[2]][sees] = 0.0
        binding = cache.binding
        for name, array in (("ids", ids), ("positions", positions), ("slots", slots), ("rows", rows)):
            binding.bind_cpu_input(name, np.ascontiguousarray(array, dtype=np.int64))
        binding.bind_cpu_input("mask", mask)
        for name in RESULTS:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        self.passes += 1
        # Outputs come in the order they were first bound in: the cache's own, then these.
        top_ids, top_logprobs, entropy, base, logits = (v.numpy() for v in binding.get_outputs()[-len(RESULTS) :])
        return Prediction(top_ids, top_logprobs, entropy, base, logits)

    def causal(self, cache: Cache, ids: Sequence[int], start: int, rows: Sequence[int]) -> Prediction:
        """One sequence's tokens `ids` at positions `start`…, each seeing itself and what is before it."""
        n = len(ids)
        at = np.arange(start, start + n)
        sees = np.arange(start + n)[None, :] <= at[:, None]
        one = np.asarray(ids, dtype=np.int64)[None]
        return self.forward(cache, one, at[None], at[None], sees[None], np.asarray(rows, dtype=np.int64))
