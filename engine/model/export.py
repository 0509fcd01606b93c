"""From a checkpoint to a model folder as the package ships it: int8 rows in two safetensors shards.

A matrix is stored as int8 with one fp32 scale a row (`weight = int8 × scale`), everything else as fp32, under the
Hugging Face Llama names: what `engine.checkpoint` reads and `MatMulNBits` computes with.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from engine import activations
from engine.checkpoint import Array, Checkpoint, to_int8
from engine.errors import BadRequestError, ModelError
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

MAX_SHARD = 95_000_000
MAX_TOTAL = 140_000_000
CALIBRATION_FILES = 12
CALIBRATION_MIDDLE, CALIBRATION_BLOCK = 44, 16  # tokens
INT4_BLOCK = 32  # weights that share a scale, as MatMulNBits has it
CHECKPOINTS = ("", "checkpoint", "weights", "model")


def find_checkpoint(run: Path) -> Checkpoint:
    """The checkpoint of a training run, or of a model folder; `ModelError` says where it was looked for."""
    if not run.is_dir():
        raise ModelError(f"no folder at {run}: name a training run's folder or a model folder")
    for inner in CHECKPOINTS:
        if (run / inner / "config.json").is_file():
            return Checkpoint(run / inner)
    places = ", ".join(str(run / inner) for inner in CHECKPOINTS)
    raise ModelError(f"no checkpoint with a config.json in {places}: train first, `remask model train {run}`")


def refuse_taken(out: Path) -> None:
    """`BadRequestError` where a folder to be made would meet what is there."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadRequestError(f"{out} exists and is not an empty folder: name a new one")


def export(checkpoint: Checkpoint, out: Path) -> dict[str, int]:
    """Write the model folder `out` and return its files' sizes in bytes.

    The folder appears in one step, so that an interrupt or a full disk leaves no half of a model. Raises
    `BadRequestError` when `out` is taken or cannot be written, `ModelError` when the model is too large to be shipped.
    """
    refuse_taken(out)
    building = out.with_name(f".{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        _write(checkpoint, building)
        sizes = {path.name: path.stat().st_size for path in sorted(building.iterdir())}
        _check_sizes(sizes)
        if out.is_dir():
            out.rmdir()
        building.rename(out)
    except (OSError, SafetensorError) as failure:
        why = getattr(failure, "strerror", None) or failure
        raise BadRequestError(f"cannot write {out}: {why}; nothing was left there") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    Checkpoint(out)  # reads every header and shape: what was written can be loaded
    return sizes


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    shards = list(_shards(_tensors(checkpoint)))
    where: dict[str, str] = {}
    total = 0
    for number, shard in enumerate(shards, 1):
        name = f"model-{number}-of-{len(shards)}.safetensors"
        save_file(shard, folder / name, {"format": "pt"})
        where |= dict.fromkeys(shard, name)
        total += sum(tensor.nbytes for tensor in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    _write_json(folder / "model.safetensors.index.json", index)
    shutil.copyfile(checkpoint.folder / "config.json", folder / "config.json")
    shutil.copyfile(checkpoint.tokenizer_file, folder / "tokenizer.json")
    save_file(activations.measure(checkpoint, calibration_windows(checkpoint)), folder / activations.FILE)
    for path in folder.glob("*.safetensors"):  # which their writer leaves to this user alone
        shutil.copymode(folder / "config.json", path)


def calibration_windows(checkpoint: Checkpoint) -> list[list[int]]:
    """Real code as the model sees it in use, a middle and the masks of a block behind it: this package's own files."""
    reserved = checkpoint.config.reserved
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    room = activations.WINDOW - CALIBRATION_BLOCK - CALIBRATION_MIDDLE
    builder = WindowBuilder(vocabulary, reserved, Budget(total=room))
    windows = []
    for path in sorted(Path(activations.__file__).parent.glob("*.py"))[:CALIBRATION_FILES]:
        text = path.read_text(encoding="utf-8")
        half = text.find("\n", len(text) // 2) + 1
        middle = vocabulary.encode(text[half:])[:CALIBRATION_MIDDLE]
        behind = text[half + len(vocabulary.decode(middle)) :]
        ids = builder.build(text[:half], behind, heal=False).ids
        windows.append([*ids, *middle, *[reserved.mask] * CALIBRATION_BLOCK])
    return windows


def _tensors(checkpoint: Checkpoint) -> Iterator[tuple[str, Array]]:
    """Every tensor of the folder to be, by name."""
    for name in checkpoint.names():
        weight = checkpoint.raw(name)
        if name.endswith(".scale"):
            continue
        if weight.ndim == 2:
            rows, scale = checkpoint.quantised(name)
            yield name, np.ascontiguousarray(rows)
            yield name.removesuffix("weight") + "scale", np.ascontiguousarray(scale)
        else:
            yield name, np.ascontiguousarray(weight.astype(np.float32))


def _shards(tensors: Iterator[tuple[str, Array]]) -> Iterator[dict[str, Array]]:
    """Two shards of about the same size, or more where two would be too large."""
    everything = list(tensors)
    total = sum(tensor.nbytes for _, tensor in everything)
    parts = max(2, math.ceil(total / (MAX_SHARD * 0.8)))
    shard: dict[str, Array] = {}
    size, full = 0, 1
    for name, tensor in everything:
        shard[name] = tensor
        size += tensor.nbytes
        if size * parts >= full * total:
            yield shard
            shard, full = {}, full + 1
    if shard:
        yield shard


def _check_sizes(sizes: dict[str, int]) -> None:
    largest = max(sizes, key=lambda name: sizes[name])
    if sizes[largest] > MAX_SHARD:
        raise ModelError(f"{largest} would have {sizes[largest]:,} bytes: at most {MAX_SHARD:,} can be shipped")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Rounded(Checkpoint):
    """A checkpoint whose matrices went through int4 blocks (`four` says which) or int8 rows and back to fp32."""

    def __init__(self, folder: Path, four: tuple[str, ...]) -> None:
        super().__init__(folder)
        self.four = four

    def raw(self, name: str) -> Array:
        """A tensor as fp32, with the rounding error of its stored form."""
        weight = super().raw(name)
        if weight.ndim != 2:
            return weight
        four = any(part in name for part in self.four)
        if weight.dtype == np.int8:
            weight = weight.astype(np.float32) * super().raw(name.removesuffix("weight") + "scale")[:, None]
        elif not four:
            rows, scale = to_int8(weight.astype(np.float32), name)
            weight = rows.astype(np.float32) * scale[:, None]
        return four_bits(weight.astype(np.float32)) if four else weight

    def bytes_stored(self, dense: bool = False) -> int:
        """What the weights would take on disk, rounded or (`dense`) as fp32."""
        total = 0
        for name in self.names():
            if name.endswith(".scale"):
                continue
            shape = self.shape(name)
            count = int(np.prod(shape))
            if dense or len(shape) != 2:
                total += 4 * count
            elif any(part in name for part in self.four):
                total += count // 2 + 2 * count // INT4_BLOCK
            else:
                total += count + 4 * shape[0]
        return total


def four_bits(weight: Array) -> Array:
    """Round to 16 levels with one scale for each block of 32 in a row, symmetric around zero, as MatMulNBits does."""
    n, k = weight.shape
    blocks = np.pad(weight, ((0, 0), (0, -k % INT4_BLOCK))).reshape(n, -1, INT4_BLOCK)
    # The value of largest magnitude becomes -8, the one level that has no positive twin.
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)
    scale = np.where(extreme == 0, 1.0, extreme / -8.0).astype(np.float16).astype(np.float32)
    scale = np.where(scale == 0, 1.0, scale)
    rounded = np.clip(np.rint(blocks / scale), -8, 7) * scale
    return np.asarray(rounded.reshape(n, -1)[:, :k], dtype=np.float32)
