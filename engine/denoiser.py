"""The denoiser on ONNX Runtime: forward passes over the rows of one request or of several, and their key-value caches.

Knows token ids, positions and slots; knows nothing of text, sampling or parsing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from engine import activations, variants
from engine.checkpoint import Array, Checkpoint, ModelConfig
from engine.device import Device
from engine.errors import ModelError
from engine.footprint import check_room
from engine.graph import TOP, Precision, cache_names

log = logging.getLogger(__name__)

BEYOND = 192  # slots behind the window: a middle of 128, and scratch for drafts
STEP = 128  # slots a cache grows by: attention costs what the cache can hold, not what it holds
HIDDEN = np.float32(-1e30)
RESULTS = ("top_ids", "top_logprobs", "logprobs_base", "end_logprobs")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class HostEntropies:
    """Entropies of rows of logits (R, vocab) with `base` (R,): H = log Z - sum(p * logit), no logs of small numbers."""

    def __init__(self, logits: Floats, base: Floats) -> None:
        self._logits = logits
        self._base = base

    def __getitem__(self, row: int) -> float:
        logits, base = self._logits[row], self._base[row]
        return float(base - np.dot(np.exp(logits - base), logits))


class Prediction:
    """What a forward pass says about each wanted row: the token that follows it (the shift is kept).

    `top_ids` and `top_logprobs` (R, TOP) best first, `base` (R,) with
    `logprob = logit - base`, `end_logprobs` (R,) of `<end>`; `logits` (R, vocab) stay on the device until asked for.
    """

    def __init__(self, end: int, outputs: dict[str, Array], logits: Callable[[], Floats]) -> None:
        self.end = end
        self.top_ids: Ints = outputs["top_ids"]
        self.top_logprobs: Floats = outputs["top_logprobs"]
        self.base: Floats = outputs["logprobs_base"]
        self.end_logprobs: Floats = outputs["end_logprobs"]
        self._outputs = outputs
        self._logits = logits

    @cached_property
    def logits(self) -> Floats:
        """All logits, copied from the device."""
        return self._logits()

    def part(self, first: int, stop: int) -> Prediction:
        """What the pass says about some of its rows; nothing is copied."""
        outputs = {name: values[first:stop] for name, values in self._outputs.items()}
        return Prediction(self.end, outputs, lambda: self.logits[first:stop])

    @cached_property
    def entropy(self) -> Floats | HostEntropies:
        """Entropies by row, in nats: from the device, or computed row by row when asked for."""
        on_device: Floats | None = self._outputs.get("entropy")
        return HostEntropies(self.logits, self.base) if on_device is None else on_device

    def base_among(self, row: int, tokens: Array) -> float:
        """The log of the sum of e^logit over some tokens: what `base` is over all of them."""
        logits = self.logits[row, tokens]
        top = float(logits.max())
        return top + float(np.log(np.exp(logits - top).sum()))

    def logprob(self, row: int, token: int) -> float:
        """The log-probability of one token at one row."""
        if token == self.end:
            return float(self.end_logprobs[row])
        if (at := np.flatnonzero(self.top_ids[row] == token)).size:
            return float(self.top_logprobs[row, at[0]])
        return float(self.logits[row, token] - self.base[row])


class Rows(NamedTuple):
    """One sequence's share of a pass: ids, positions, slots (1, T); sees bool (1, T, any S <= capacity); rows (R,)."""

    cache: Cache
    ids: Array
    positions: Array
    slots: Array
    sees: Array
    rows: Array


class Cache:
    """Keys and values of a batch of sequences, an input and output of the graph at once.

    `tokens` are the committed ids of each sequence: slot i holds the exact causal keys and values of token i. What lies
    beyond is scratch. `capacity` slots are allocated, and more when `reserve` is told to.
    """

    def __init__(self, session: ort.InferenceSession, config: ModelConfig, batch: int, dtype: type, device: str):
        self.session = session
        self.binding = session.io_binding()
        self.tokens: list[list[int]] = [[] for _ in range(batch)]
        self.capacity = 0
        self._layers = config.layers
        self._shape = (batch, config.kv_heads, 0, config.head_dim)
        self._dtype = dtype
        self._device = device
        self._values: list[ort.OrtValue] = []

    def reserve(self, slots: int) -> None:
        """Make room for `slots`, keeping what is there."""
        if slots <= self.capacity:
            return
        batch, heads, _, dim = self._shape
        grown = []
        for i in range(2 * self._layers):
            array: Array = np.zeros((batch, heads, slots, dim), self._dtype)
            if self._values:
                array[:, :, : self.capacity] = self._values[i].numpy()
            grown.append(ort.OrtValue.ortvalue_from_numpy(array, self._device, 0))
        self._values, self.capacity = grown, slots
        self.bind(self.binding)

    def bind(self, binding: ort.IOBinding, lane: int = 0) -> None:
        """Make a lane of a graph read and write this cache."""
        for name, value in zip(cache_names(self._layers, lane), self._values, strict=True):
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name + ".out", value)

    @property
    def bytes(self) -> int:
        """Memory the keys and values take."""
        return len(self._values) * int(np.prod(self._shape[:2])) * self.capacity * self._shape[3] * self._itemsize

    @property
    def _itemsize(self) -> int:
        return int(np.dtype(self._dtype).itemsize)


class Lanes:
    """The session that several requests share, and which cache was bound to which of its lanes last."""

    def __init__(self, session: ort.InferenceSession, count: int, spare: Cache) -> None:
        """`spare` is a cache that lanes without a request write into."""
        self.session = session
        self.binding = session.io_binding()
        one, sees = np.zeros((1, 1), dtype=np.int64), np.ones((1, 1, 1), dtype=bool)
        self._nobody = Rows(spare, one, one, one, sees, np.zeros(0, dtype=np.int64))
        self._bound: list[tuple[Cache, int] | None] = [None] * count

    def seat(self, shares: Sequence[Rows]) -> list[Rows]:
        """What each lane is to do: a cache keeps the lane that it has."""
        seats: list[Rows | None] = [None] * len(self._bound)
        new = []
        for share in shares:
            lane = next((n for n, bound in enumerate(self._bound) if bound and bound[0] is share.cache), None)
            if lane is None:
                new.append(share)
            else:
                seats[lane] = share
        for share in new:
            seats[seats.index(None)] = share
        return [self._nobody if seat is None else seat for seat in seats]

    def bind(self, lanes: Sequence[Rows]) -> None:
        """Bind the caches that are not bound yet, or have grown."""
        for n, lane in enumerate(lanes):
            if self._bound[n] != (lane.cache, lane.cache.capacity):
                lane.cache.bind(self.binding, n)
                self._bound[n] = (lane.cache, lane.cache.capacity)


class Denoiser:
    """A session, its device and its shapes. Not thread-safe: one forward pass at a time."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: Device,
        precision: Precision | None = None,
        capacity: int | None = None,
        lanes: int = 1,
    ) -> None:
        """`lanes` is how many requests may share a pass (`forward_all`); more than one costs a second session."""
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.capacity = capacity or -(-(checkpoint.config.context + BEYOND) // STEP) * STEP
        self.device = device
        self.lanes = lanes
        self.share: Callable[[Rows], Prediction] | None = None  # where `forward` goes to be shared with other requests
        self.passes = 0
        # Rounding activations to a scale a token needs to know which channels are large.
        self._activations = activations.read(checkpoint.folder)
        self._processor: Precision = "int8" if self._activations is not None else "int8-blocks"
        if precision is not None and precision != "fp16":
            self._processor = precision
        self.precision: Precision = precision or ("fp16" if device.name == "cuda" else self._processor)
        check_room(self.config, self.precision, self.capacity, device.name, lanes)
        try:
            self._start(device)
        except ModelError:
            raise
        except Exception as failure:  # the CUDA provider raises many types, from missing libraries to out of memory
            if device.name != "cuda":
                raise ModelError(f"ONNX Runtime cannot run the model: {failure}") from failure
            self._fall_back(f"CUDA failed: {first_line(failure)}")
        if self.device.name == "cuda" and self._session.get_providers()[0] != "CUDAExecutionProvider":
            # ONNX Runtime falls back by itself with a warning; say so, and do not run fp16 on a processor.
            self._fall_back("ONNX Runtime could not start its CUDA provider")

    def _fall_back(self, reason: str) -> None:
        """Go on on the processor. Caches made before are of no use any more: see `serves`."""
        log.warning("%s; using the processor", reason)
        self.device = Device("cpu", reason, self.device.threads)
        self.precision = self._processor
        self._start(self.device)

    def serves(self, cache: Cache) -> bool:
        """Whether `cache` belongs to the session that runs now."""
        return cache.session is self._session

    def _start(self, device: Device) -> None:
        """Open the session, and that of several lanes."""
        self._session = self._open(device, 1)
        self._together: Lanes | None = None
        if self.lanes > 1:
            self._together = Lanes(self._open(device, self.lanes), self.lanes, self._empty(1))

    def _open(self, device: Device, lanes: int) -> ort.InferenceSession:
        model, weights = variants.build(self.checkpoint, self.precision, self.capacity, self._activations, lanes)
        self.checkpoint.release()
        self._results = RESULTS + (("entropy",) if self.precision == "fp16" else ())
        options = ort.SessionOptions()
        options.intra_op_num_threads = device.threads
        options.log_severity_level = 3
        # Threads that sleep between two nodes wake too late to share the next one; between passes they must not spin,
        # or an idle editor would keep a processor busy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        values = [ort.OrtValue.ortvalue_from_numpy(w) for w in weights.values()]
        options.add_external_initializers(list(weights), values)
        return ort.InferenceSession(model, options, providers=device.providers)

    def new_cache(self, batch: int = 1) -> Cache:
        """An empty cache for `batch` sequences."""
        cache = self._empty(batch)
        try:
            # A GPU has the memory, and wants addresses that stay; a processor pays for every slot in every pass.
            cache.reserve(self.capacity if self.device.name == "cuda" else min(STEP, self.capacity))
        except Exception as failure:
            if self.device.name != "cuda":
                raise ModelError(f"no memory for a cache of {self.capacity} tokens: {first_line(failure)}") from failure
            self._fall_back(f"no room on the GPU: {first_line(failure)}")
            return self.new_cache(batch)
        return cache

    def _empty(self, batch: int) -> Cache:
        dtype = np.float16 if self.precision == "fp16" else np.float32
        return Cache(self._session, self.config, batch, dtype, self.device.name)

    def forward(self, cache: Cache, ids: Array, positions: Array, slots: Array, sees: Array, rows: Array) -> Prediction:
        """One pass. ids, positions, slots (B, T); sees bool (B, T, slots up to any S <= capacity); rows (R,) of B*T.

        Raises `ModelError` when the runtime fails, a GPU that is out of memory for example: what the cache held is
        then forgotten, and the next pass runs on the processor.
        """
        share = Rows(cache, ids, positions, slots, sees, rows)
        return self._alone(share) if self.share is None or len(ids) > 1 else self.share(share)

    def _alone(self, share: Rows) -> Prediction:
        cache, ids, positions, slots, sees, rows = share
        self._bind_lane(cache.binding, 0, cache, slots, sees)
        return self._run(self._session, cache.binding, [cache], ids, positions, rows)

    def forward_all(self, shares: Sequence[Rows]) -> list[Prediction]:
        """One pass for several sequences, each with a cache of its own, at most `lanes`; raises as `forward` does.

        Each sequence's prediction is, to the bit, what a pass of its own would have given.
        """
        if len(shares) == 1 or self._together is None or not all(self.serves(share.cache) for share in shares):
            return [self._alone(share) for share in shares]
        lanes = self._together.seat(shares)
        lengths = np.array([lane.ids.shape[1] for lane in lanes])
        starts = np.concatenate([[0], np.cumsum(lengths)])
        binding = self._together.binding
        for n, lane in enumerate(lanes):
            self._bind_lane(binding, n, lane.cache, lane.slots, lane.sees)
        self._together.bind(lanes)
        binding.bind_cpu_input("lengths", lengths)
        ids, positions = (np.concatenate([lane[i] for lane in lanes], axis=1) for i in (1, 2))
        rows = np.concatenate([start + lane.rows for start, lane in zip(starts, lanes, strict=False)])
        whole = self._run(self._together.session, binding, [share.cache for share in shares], ids, positions, rows)
        ends = np.cumsum([len(lane.rows) for lane in lanes])
        parts = {id(lane.cache): whole.part(end - len(lane.rows), end) for end, lane in zip(ends, lanes, strict=True)}
        return [parts[id(share.cache)] for share in shares]

    def _bind_lane(self, binding: ort.IOBinding, lane: int, cache: Cache, slots: Array, sees: Array) -> None:
        """Room in the cache for the slots of a pass, and what its rows see."""
        needed = max(sees.shape[2], int(slots.max()) + 1)
        cache.reserve(min(-(-needed // STEP) * STEP, self.capacity))
        mask = np.full((*slots.shape, cache.capacity), HIDDEN, dtype=np.float32)
        mask[:, :, : sees.shape[2]][sees] = 0.0
        binding.bind_cpu_input(f"slots.{lane}", np.ascontiguousarray(slots, dtype=np.int64))
        binding.bind_cpu_input(f"mask.{lane}", mask)

    def _run(
        self,
        session: ort.InferenceSession,
        binding: ort.IOBinding,
        caches: Sequence[Cache],
        ids: Array,
        positions: Array,
        rows: Array,
    ) -> Prediction:
        for name, array in (("ids", ids), ("positions", positions), ("rows", rows)):
            binding.bind_cpu_input(name, np.ascontiguousarray(array, dtype=np.int64))
        try:
            outputs, logits = self._bind_outputs(binding, len(rows))
            session.run_with_iobinding(binding)
        except Exception as failure:
            for cache in caches:
                cache.tokens = [[] for _ in cache.tokens]
            if self.device.name != "cuda":
                raise ModelError(f"ONNX Runtime failed in a pass: {first_line(failure)}") from failure
            self._fall_back(f"CUDA failed in a pass: {first_line(failure)}")
            raise ModelError(f"{self.device.reason}. Remask goes on on the processor: ask again") from failure
        self.passes += 1
        return Prediction(self.config.reserved.end, outputs, logits)

    def _bind_outputs(self, binding: ort.IOBinding, rows: int) -> tuple[dict[str, Array], Callable[[], Floats]]:
        """Room for what the pass gives: asking the binding for its outputs would wrap every key and value anew."""
        outputs: dict[str, Array] = {}
        for name in self._results:
            shape = (rows, TOP) if name.startswith("top") else (rows,)
            outputs[name] = np.empty(shape, np.int64 if name == "top_ids" else np.float32)
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(outputs[name]))
        shape = (rows, self.config.vocab)
        if self.device.name == "cpu":
            logits: Floats = np.empty(shape, np.float32)
            binding.bind_ortvalue_output("logits", ort.OrtValue.ortvalue_from_numpy(logits))
            return outputs, lambda: logits
        value = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, self.device.name, 0)
        binding.bind_ortvalue_output("logits", value)
        return outputs, value.numpy

    def causal(self, cache: Cache, ids: Sequence[int], start: int, rows: Sequence[int]) -> Prediction:
        """One sequence's tokens `ids` at positions `start`…, each seeing itself and what is before it."""
        return self.forward(*causal_rows(cache, ids, start, rows))


def causal_rows(cache: Cache, ids: Sequence[int], start: int, rows: Sequence[int]) -> Rows:
    """Tokens `ids` at positions `start`…, each seeing itself and what is before it."""
    at = np.arange(start, start + len(ids))
    sees = np.arange(start + len(ids))[None, :] <= at[:, None]
    one = np.asarray(ids, dtype=np.int64)[None]
    return Rows(cache, one, at[None], at[None], sees[None], np.asarray(rows, dtype=np.int64))


def first_line(failure: Exception) -> str:
    """What an exception says first: ONNX Runtime adds pages."""
    return (str(failure).splitlines() or [type(failure).__name__])[0]
