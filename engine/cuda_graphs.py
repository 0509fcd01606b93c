"""CUDA graphs: a pass of a few rows is recorded once, and replayed with one launch instead of several hundred.

For few rows a GPU spends less time on its kernels than the host on launching them. ONNX Runtime records what a session
does (`enable_cuda_graph` of its CUDA provider) and replays it for the same `gpu_graph_id`, on conditions that are kept
here: every address and every shape is what it was, so a recording has buffers of its own that are written in place;
rows are padded to a few sizes by repeating the last one, which writes the same keys and values once more; and one
thread alone makes the passes of such a session.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

from engine.checkpoint import Array
from engine.kv_cache import Cache
from engine.prediction import Prediction

PROVIDER_OPTIONS = {"enable_cuda_graph": "1"}
SIZES = (1, 2, 4, 8, 16, 32, 64)
MOST = 96  # recordings of a session, each some MB of the GPU: three caches with all sizes twice are 42
UNRECORDED = -1


class Recording:
    """A pass of `size` rows over one cache: its inputs and outputs on the device, and who may still read its logits."""

    def __init__(self, number: int, cache: Cache, size: int, results: dict[str, tuple[int, ...]], device: str) -> None:
        """`results` are the shapes of the outputs for one row, by name."""
        self.options = run_options(number)
        self.binding = cache.session.io_binding()
        cache.bind(self.binding)
        inputs: dict[str, Array] = {name: np.zeros((1, size), np.int64) for name in ("ids", "positions", "slots.0")} | {
            "rows": np.zeros(size, np.int64),
            "mask.0": np.zeros((1, size, cache.capacity), np.float32),
        }
        self.inputs = {n: ort.OrtValue.ortvalue_from_numpy(array, device, 0) for n, array in inputs.items()}
        self.outputs = {}
        for name, shape in results.items():
            kind = np.int64 if name == "top_ids" else np.float32
            self.outputs[name] = ort.OrtValue.ortvalue_from_shape_and_type((size, *shape), kind, device, 0)
        for name, value in self.inputs.items():
            self.binding.bind_ortvalue_input(name, value)
        for name, value in self.outputs.items():
            self.binding.bind_ortvalue_output(name, value)
        self._reader: weakref.ref[Prediction] | None = None

    @property
    def unread(self) -> Prediction | None:
        """The last pass's prediction, where somebody may yet ask it for logits, which the next pass replaces."""
        reader = self._reader() if self._reader is not None else None
        return None if reader is None or "logits" in vars(reader) else reader

    def read_by(self, prediction: Prediction) -> None:
        """Keep an eye on who may read the logits of the last pass."""
        self._reader = weakref.ref(prediction)


class Recordings:
    """What a session has recorded: passes of one sequence over a cache of its full size."""

    def __init__(self, results: dict[str, tuple[int, ...]], device: str = "cuda") -> None:
        """`device` is where the buffers are: on "cpu" nothing is recorded, and all else is the same."""
        self.paused = False  # make plain passes
        self._results = results
        self._device = device
        self._made = 0
        self._by_cache: weakref.WeakKeyDictionary[Cache, dict[tuple[int, int], list[Recording]]] = (
            weakref.WeakKeyDictionary()
        )
        self._thread = ThreadPoolExecutor(1, "cuda-graphs")
        self._plain = run_options(UNRECORDED)

    def run(self, session: ort.InferenceSession, binding: ort.IOBinding, options: ort.RunOptions | None = None) -> None:
        """A pass on the thread that makes all of them; without `options` it is not recorded."""
        self._thread.submit(session.run_with_iobinding, binding, options or self._plain).result()

    def take(self, cache: Cache, length: int, rows: int) -> Recording | None:
        """A recording for a pass of `length` rows of which `rows` are read; None where it has to be a plain one."""
        size = next((s for s in SIZES if s >= max(length, rows)), None)
        if size is None or self.paused:
            return None
        found = self._by_cache.setdefault(cache, {}).setdefault((cache.capacity, size), [])
        for recording in found:
            if recording.unread is None:
                return recording
        # Two in turns: who asks for the next pass usually still has the last one's prediction, and no older one.
        if len(found) < 2 and self._made < MOST:
            self._made += 1
            found.append(Recording(self._made, cache, size, self._results, self._device))
            return found[-1]
        if found:
            found.append(found.pop(0))
            if (reader := found[-1].unread) is not None:
                _ = reader.logits
            return found[-1]
        return None

    def replay(
        self, session: ort.InferenceSession, recording: Recording, inputs: dict[str, Array]
    ) -> tuple[dict[str, Array], Callable[[], Array]]:
        """Make the pass: `inputs` by name, as the graph has them; gives the outputs, and a way to the logits."""
        count = len(inputs["rows"])
        for name, buffer in recording.inputs.items():
            axis = 0 if name == "rows" else 1
            buffer.update_inplace(padded(inputs[name], buffer.shape()[axis], axis))
        self.run(session, recording.binding, recording.options)
        outputs = {name: self._read(value)[:count] for name, value in recording.outputs.items() if name != "logits"}
        return outputs, lambda: self._read(recording.outputs["logits"])[:count]

    def _read(self, value: ort.OrtValue) -> Array:
        """What an output holds now: off a GPU it is a copy anyway."""
        array: Array = value.numpy()
        return array.copy() if self._device == "cpu" else array


def run_options(number: int) -> ort.RunOptions:
    """Options of a pass that is recorded under a number."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(number))
    return options


def padded(array: Array, size: int, axis: int) -> Array:
    """`array` made `size` long by repeating its last entry, or zeros where it has none."""
    missing = size - array.shape[axis]
    if not missing:
        return np.ascontiguousarray(array)
    widths: Sequence[tuple[int, int]] = [(0, missing if a == axis else 0) for a in range(array.ndim)]
    return np.pad(array, widths, mode="edge" if array.shape[axis] else "constant")
