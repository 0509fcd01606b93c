"""How large each channel's activations get, and the factors that spread them before they are rounded to int8.

A few channels of a language model are tens of times larger than the rest, and with one scale a token they leave the
rest few bits. SmoothQuant (arXiv 2211.10438) divides a channel by a factor and multiplies the weights' column by it.
Behind a norm the divisors fold into its weight, so they cost nothing when the model runs. `engine.graph` does the
folding; this is the measurement.

`python -m engine.activations FOLDER FILE...` measures a model on real code and writes `activations.safetensors` into
its folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from engine.checkpoint import Array, Checkpoint
from engine.errors import ModelError, RemaskError
from engine.graph import GraphBuilder, cache_names
from engine.vocabulary import Vocabulary

FILE = "activations.safetensors"
WINDOW = 448


def read(folder: Path) -> dict[str, Array] | None:
    """What was measured for the model in `folder`, by name of the product; None when nothing was."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as damage:
        raise ModelError(f"{path} is damaged ({damage}): remove it or measure again") from None


class ObservedGraph(GraphBuilder):
    """The fp32 graph, which also gives the largest input of every product behind a norm, channel by channel."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint, "fp32", WINDOW)
        self.observed: list[str] = []

    def linear(
        self, x: str, matrices: list[str], out: str, rows: Array | None = None, spread: Array | None = None
    ) -> str:
        """Also keep max |x|, (columns,), over all tokens but the first, whose activations are like no other's."""
        if spread is not None:
            flat = self.constant("observed.flat", [-1, self.checkpoint.shape(matrices[0])[1]])
            size = self.node("Abs", [self.node("Reshape", [x, flat], f"observed.{out}.flat")], f"observed.{out}.size")
            from_second = [self.constant(f"observed.{n}", [v]) for n, v in (("from", 1), ("to", 1 << 30), ("axis", 0))]
            rest = self.node("Slice", [size, *from_second], f"observed.{out}.rest")
            self.node("ReduceMax", [rest, "observed.axis"], f"observed.{out}", keepdims=0)
            self.observed.append(out)
        return super().linear(x, matrices, out, rows, spread)


def measure(checkpoint: Checkpoint, windows: list[list[int]]) -> dict[str, Array]:
    """The largest activation of each channel in a window, on average over `windows` of at most WINDOW token ids."""
    graph = ObservedGraph(checkpoint)
    model, weights = graph.build()
    names = [f"observed.{out}" for out in graph.observed]
    model.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names)
    options = ort.SessionOptions()
    options.add_external_initializers(list(weights), [ort.OrtValue.ortvalue_from_numpy(w) for w in weights.values()])
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    c = checkpoint.config
    largest: dict[str, Array] = {}
    for ids in windows:
        n = len(ids)
        at = np.arange(n)[None]
        mask = np.where(np.tril(np.ones((n, n), bool)), np.float32(0), np.float32(-1e30))[None]
        feed = {"ids": np.array([ids]), "positions": at, "slots.0": at, "mask.0": mask, "rows": np.arange(n)}
        empty = np.zeros((1, c.kv_heads, n, c.head_dim), np.float32)
        feed |= dict.fromkeys(cache_names(c.layers), empty)
        for out, value in zip(graph.observed, session.run(names, feed), strict=True):
            largest[out] = largest.get(out, np.float32(0)) + value / np.float32(len(windows))
    return largest


def main(arguments: list[str]) -> int:
    """Measure a model folder on files; exit code as `remask`."""
    if len(arguments) < 2:
        print("usage: python -m engine.activations FOLDER FILE...", file=sys.stderr)
        return 2
    try:
        checkpoint = Checkpoint(Path(arguments[0]))
    except RemaskError as error:
        print(f"remask: {error}", file=sys.stderr)
        return 2
    r = checkpoint.config.reserved
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    windows = []
    for name in arguments[1:]:
        ids = vocabulary.encode(Path(name).read_text(encoding="utf-8"))
        half, room = len(ids) // 2, WINDOW - 64
        # As in use: suffix, prefix, then a middle and the masks of a block behind it.
        prefix, middle, suffix = ids[max(half - room + 120, 0) : half], ids[half : half + 44], ids[half + 44 :][:120]
        windows.append([r.suffix, *suffix, r.prefix, *prefix, r.middle, *middle, *[r.mask] * 16])
    found = measure(checkpoint, windows)
    save_file(found, checkpoint.folder / FILE)
    print(f"{len(found)} products measured on {sum(map(len, windows)):,} tokens: {checkpoint.folder / FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
