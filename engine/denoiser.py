"""The denoiser on ONNX Runtime: forward passes over the rows of one request or of several.

Knows token ids, positions and slots; knows nothing of text, sampling or parsing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np
import onnxruntime as ort

from engine import activations, variants
from engine.checkpoint import Array, Checkpoint
from engine.cuda_graphs import PROVIDER_OPTIONS, Recordings
from engine.device import Device
from engine.errors import ModelError
from engine.footprint import check_room
from engine.graph import TOP, Precision
from engine.kv_cache import Cache, Rows, causal_rows
from engine.lanes import Lanes
from engine.prediction import Floats, Prediction

log = logging.getLogger(__name__)

BEYOND = 192  # slots behind the window: a middle of 128, and scratch for drafts
STEP = 128  # slots a cache grows by: attention costs what the cache can hold, not what it holds
HIDDEN = np.float32(-1e30)
RESULTS = ("top_ids", "top_logprobs", "logprobs_base", "end_logprobs")


class Denoiser:
    """A session, its device and its shapes. Not thread-safe: one forward pass at a time."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: Device,
        precision: Precision | None = None,
        capacity: int | None = None,
        lanes: int = 1,
        graphs: bool = True,
    ) -> None:
        """`lanes` is how many requests may share a pass (`forward_all`); more than one costs a second session.

        `graphs` is whether a GPU may record its short passes (`engine/cuda_graphs.py`).
        """
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.capacity = capacity or -(-(checkpoint.config.context + BEYOND) // STEP) * STEP
        self.device = device
        self.lanes = lanes
        self.recordings: Recordings | None = None
        self.no_graphs = "" if graphs else "not wanted"  # why a GPU records nothing
        self.shapes: dict[str, tuple[int, ...]] = {}  # of the outputs that are read, for one row
        self.share: Callable[[Rows], Prediction] | None = None  # where `forward` goes to be shared with other requests
        self.passes = 0
        self.seconds = 0.0  # in passes
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
        self.recordings = None
        if device.name == "cuda" and not self.no_graphs:
            try:
                self._session = self._open(device, 1, PROVIDER_OPTIONS)
                if self._session.get_providers()[0] == "CUDAExecutionProvider":
                    self._rehearse()
            except Exception as failure:
                self.recordings = None
                self.no_graphs = first_line(failure)
                log.warning("no CUDA graphs: %s", self.no_graphs)
        if self.recordings is None:
            self._session = self._open(device, 1)
        self._together: Lanes | None = None
        if self.lanes > 1:
            self._together = Lanes(self._open(device, self.lanes), self.lanes, self._empty(1))

    def _rehearse(self) -> None:
        """Record passes from now on; `ModelError` where recorded ones do not say what plain ones do."""
        self.recordings = Recordings(self.shapes)
        caches = [self._empty(1), self._empty(1)]
        for cache in caches:
            cache.reserve(self.capacity)
        for n in range(4):  # the second is recorded, and the others are replays of it
            said = []
            for cache, plain in zip(caches, (True, False), strict=True):
                self.recordings.paused = plain
                share = causal_rows(cache, range(3 * n, 3 * n + 3), 3 * n, [0, 2])
                said.append(self._pass(share, self._mask(share)).top_logprobs)
            if not np.allclose(said[0], said[1], atol=0.1):
                raise ModelError("a recorded pass gave another result than a plain one")

    def _open(self, device: Device, lanes: int, cuda: dict[str, str] | None = None) -> ort.InferenceSession:
        model, weights = variants.build(self.checkpoint, self.precision, self.capacity, self._activations, lanes)
        self.checkpoint.release()
        results = RESULTS + (("entropy",) if self.precision == "fp16" else ())
        self.shapes = {name: (TOP,) if name.startswith("top") else () for name in results}
        self.shapes["logits"] = (self.config.vocab,)
        options = ort.SessionOptions()
        options.intra_op_num_threads = device.threads
        options.log_severity_level = 3
        # Threads that sleep between two nodes wake too late to share the next one; between passes they must not spin,
        # or an idle editor would keep a processor busy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        values = [ort.OrtValue.ortvalue_from_numpy(w) for w in weights.values()]
        options.add_external_initializers(list(weights), values)
        how = [cuda or {} if p.startswith("CUDA") else {} for p in device.providers]
        return ort.InferenceSession(model, options, providers=device.providers, provider_options=how)

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
        then forgotten, and the next pass runs without CUDA graphs, or on the processor.
        """
        share = Rows(cache, ids, positions, slots, sees, rows)
        return self._alone(share) if self.share is None or len(ids) > 1 else self.share(share)

    def _alone(self, share: Rows) -> Prediction:
        mask = self._mask(share)
        try:
            return self._pass(share, mask)
        except Exception as failure:
            self._failed([share.cache], failure)

    def _pass(self, share: Rows, mask: Floats) -> Prediction:
        """A pass for one sequence, replayed where it is recorded; raises what the runtime does."""
        cache, ids, positions, slots, _, rows = share
        recordings = self.recordings if len(ids) == 1 else None
        recording = recordings.take(cache, ids.shape[1], len(rows)) if recordings is not None else None
        if recordings is None or recording is None:
            bind_lane(cache.binding, 0, slots, mask)
            return self._run(self._session, cache.binding, ids, positions, rows)
        inputs = {"ids": ids, "positions": positions, "rows": rows, "slots.0": slots, "mask.0": mask}
        began = time.perf_counter()
        prediction = self._prediction(*recordings.replay(self._session, recording, inputs))
        self.seconds += time.perf_counter() - began
        recording.read_by(prediction)
        return prediction

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
            bind_lane(binding, n, lane.slots, self._mask(lane))
        self._together.bind(lanes)
        binding.bind_cpu_input("lengths", lengths)
        ids, positions = (np.concatenate([lane[i] for lane in lanes], axis=1) for i in (1, 2))
        rows = np.concatenate([start + lane.rows for start, lane in zip(starts, lanes, strict=False)])
        try:
            whole = self._run(self._together.session, binding, ids, positions, rows)
        except Exception as failure:
            self._failed([share.cache for share in shares], failure)
        ends = np.cumsum([len(lane.rows) for lane in lanes])
        parts = {id(lane.cache): whole.part(end - len(lane.rows), end) for end, lane in zip(ends, lanes, strict=True)}
        return [parts[id(share.cache)] for share in shares]

    def _mask(self, share: Rows) -> Floats:
        """What the rows of a pass see of their cache, (B, T, capacity), with room in it for their slots."""
        cache, slots, sees = share.cache, share.slots, share.sees
        needed = max(sees.shape[2], int(slots.max()) + 1)
        cache.reserve(min(-(-needed // STEP) * STEP, self.capacity))
        mask = np.full((*slots.shape, cache.capacity), HIDDEN, dtype=np.float32)
        mask[:, :, : sees.shape[2]][sees] = 0.0
        return mask

    def _run(
        self, session: ort.InferenceSession, binding: ort.IOBinding, ids: Array, positions: Array, rows: Array
    ) -> Prediction:
        for name, array in (("ids", ids), ("positions", positions), ("rows", rows)):
            binding.bind_cpu_input(name, np.ascontiguousarray(array, dtype=np.int64))
        outputs, logits = self._bind_outputs(binding, len(rows))
        began = time.perf_counter()
        if self.recordings is not None and session is self._session:
            self.recordings.run(session, binding)
        else:
            session.run_with_iobinding(binding)
        self.seconds += time.perf_counter() - began
        return self._prediction(outputs, logits)

    def _prediction(self, outputs: dict[str, Array], logits: Callable[[], Floats]) -> Prediction:
        self.passes += 1
        return Prediction(self.config.reserved.end, outputs, logits)

    def _failed(self, caches: Sequence[Cache], failure: Exception) -> NoReturn:
        """After a pass that failed: make sure of what is left to run on, and say so as a `ModelError`."""
        for cache in caches:
            cache.tokens = [[] for _ in cache.tokens]
        if self.device.name != "cuda":
            raise ModelError(f"ONNX Runtime failed in a pass: {first_line(failure)}") from failure
        if self.recordings is not None:  # they take memory and set conditions: perhaps it is they that failed
            self._stop_recording(first_line(failure))
            raise ModelError(f"{self.no_graphs}. Remask goes on without CUDA graphs: ask again") from failure
        self._fall_back(f"CUDA failed in a pass: {first_line(failure)}")
        raise ModelError(f"{self.device.reason}. Remask goes on on the processor: ask again") from failure

    def _stop_recording(self, reason: str) -> None:
        """Go on on the GPU with plain passes, or on the processor where that fails, too."""
        self.no_graphs = f"a pass failed: {reason}"
        log.warning("no CUDA graphs any more: %s", self.no_graphs)
        try:
            self._start(self.device)
        except Exception as failure:
            self._fall_back(f"CUDA failed: {first_line(failure)}")

    def _bind_outputs(self, binding: ort.IOBinding, rows: int) -> tuple[dict[str, Array], Callable[[], Floats]]:
        """Room for what the pass gives: asking the binding for its outputs would wrap every key and value anew."""
        outputs: dict[str, Array] = {}
        for name, shape in self.shapes.items():
            if name != "logits":
                outputs[name] = np.empty((rows, *shape), np.int64 if name == "top_ids" else np.float32)
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


def bind_lane(binding: ort.IOBinding, lane: int, slots: Array, mask: Floats) -> None:
    """Where the rows of a lane are written, and what they see."""
    binding.bind_cpu_input(f"slots.{lane}", np.ascontiguousarray(slots, dtype=np.int64))
    binding.bind_cpu_input(f"mask.{lane}", mask)


def first_line(failure: Exception) -> str:
    """What an exception says first: ONNX Runtime adds pages."""
    return (str(failure).splitlines() or [type(failure).__name__])[0]
