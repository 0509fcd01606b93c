"""Built graphs, kept in the user's cache folder: rounding the weights anew at every start costs a second.

A file is named by all that it depends on: the model's digest, the precision, the code that builds it, ONNX Runtime and
the kind of weights that this processor multiplies exactly. It is written beside its place and renamed, so that two
engines that start at once, or one that is killed, leave a whole file or none. Where nothing can be written (a full
disk, a read-only folder) the graph is built at every start, and the log says why.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from pathlib import Path

import numpy as np
import onnxruntime as ort
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from engine import checkpoint, graph, products
from engine.checkpoint import Array, Checkpoint
from engine.graph import GraphBuilder, Precision

log = logging.getLogger(__name__)

KEPT = 3  # files: each is as large as the weights
GRAPH = "graph.onnx"
CACHED: tuple[Precision, ...] = (
    "int8",
    "int4-blocks",
)  # the others are a copy of the checkpoint, and no faster to read


def folder() -> Path:
    """Where variants are kept."""
    return user_cache_path("remask", appauthor=False) / "graphs"


def build(
    model: Checkpoint,
    precision: Precision,
    positions: int,
    activations: dict[str, Array] | None,
    lanes: int = 1,
) -> tuple[bytes, dict[str, Array]]:
    """The serialised graph and its weights by name: from the cache, or built and cached."""
    path = folder() / f"{_key(model, precision, positions, lanes)}.safetensors" if precision in CACHED else None
    if path is not None and (found := _read(path)) is not None:
        return found
    log.info("building the %s graph of %s", precision, model.name)
    proto, weights = GraphBuilder(model, precision, positions, activations, lanes).build()
    model.release()
    serialised: bytes = proto.SerializeToString()
    if path is not None:
        _write(path, serialised, weights)
    return serialised, weights


def _key(model: Checkpoint, precision: Precision, positions: int, lanes: int) -> str:
    h = hashlib.sha256(f"{ort.__version__} {positions} {lanes} {products.zero_point().dtype}".encode())
    for module in (checkpoint, graph, products):
        if module.__file__ is not None:
            h.update(Path(module.__file__).read_bytes())
    return f"{model.digest}-{precision}-{h.hexdigest()[:12]}"


def _read(path: Path) -> tuple[bytes, dict[str, Array]] | None:
    try:
        with safe_open(str(path), framework="numpy") as f:
            arrays = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
        os.utime(path)
        return arrays.pop(GRAPH).tobytes(), arrays
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, KeyError) as damage:
        log.warning("%s cannot be read (%s): building it again", path, damage)
        return None


def _write(path: Path, serialised: bytes, weights: dict[str, Array]) -> None:
    part = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        save_file(weights | {GRAPH: np.frombuffer(serialised, np.uint8)}, part)
        part.replace(path)
        _prune(path.parent)
    except (OSError, SafetensorError) as refusal:
        log.warning("the built graph cannot be kept in %s (%s): it is built at every start", path.parent, refusal)
        try:
            part.unlink(missing_ok=True)
        except OSError:
            return


def _prune(where: Path) -> None:
    """Keep the most recently used; also clears what a killed writer left behind."""
    files = sorted(where.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
    whole = [p for p in files if p.suffix == ".safetensors"]
    newest = whole[0].stat().st_mtime if whole else 0.0
    stale = [p for p in files if p.suffix != ".safetensors" and p.stat().st_mtime < newest - 3600]
    for path in [*whole[KEPT:], *stale]:
        path.unlink(missing_ok=True)
