"""What the speed benchmarks share: real cursors, the K = 1 pass that every table names, and ways to print and keep."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from rich.console import Console
from rich.table import Table

from engine.denoiser import Denoiser
from engine.errors import BadRequestError

# Files of the standard library: on every machine, and not written for this project.
MODULES = (
    "argparse",
    "csv",
    "difflib",
    "fractions",
    "heapq",
    "json.decoder",
    "shlex",
    "tarfile",
    "textwrap",
    "zipfile",
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a real file: what is before it, what follows, and what stood between."""

    prefix: str
    suffix: str
    middle: str


def cursors(count: int, seed: int = 1, shortest: int = 2_500) -> list[Cursor]:
    """Cursors at the start of a statement, in files long enough that the window is full."""
    rng = random.Random(seed)
    texts = [inspect.getsource(importlib.import_module(name)) for name in MODULES]
    found: list[Cursor] = []
    while len(found) < count:
        lines = rng.choice(texts).splitlines(keepends=True)
        row = rng.randrange(len(lines) // 4, len(lines) - 12)
        line = lines[row]
        indent = len(line) - len(line.lstrip())
        if not 20 <= len(line.strip()) <= 90 or line.strip()[0] in "#\"'":
            continue
        cut = indent + rng.randrange(len(line.strip()) // 2)
        prefix = "".join(lines[:row]) + line[:cut]
        if len(prefix) >= shortest:
            found.append(Cursor(prefix, "\n" + "".join(lines[row + 1 :]), line[cut:].rstrip("\n")))
    return found


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every speed benchmark."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def timed(what: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each of `times` calls, after one that does not count."""
    what()
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        what()
        spent.append((time.perf_counter() - start) * 1e3)
    return spent


def one_row_ms(denoiser: Denoiser, context: int = 448, times: int = 25) -> float:
    """Median milliseconds of a pass of one row behind `context` tokens."""
    cache = denoiser.new_cache()
    fill(denoiser, cache, context)
    return statistics.median(timed(lambda: denoiser.causal(cache, [100], context, [0]), times))


def fill(denoiser: Denoiser, cache: Any, context: int, chunk: int = 64) -> None:
    """Prefill made-up tokens: what they say costs nothing more or less."""
    for start in range(0, context, chunk):
        n = min(chunk, context - start)
        denoiser.causal(cache, [100 + (start + i) * 37 % 20_000 for i in range(n)], start, [0])


def facts(denoiser: Denoiser) -> dict[str, Any]:
    """What a figure means nothing without."""
    return {
        "model": denoiser.checkpoint.name,
        "device": denoiser.device.name,
        "threads": denoiser.device.threads,
        "precision": denoiser.precision,
        "onnxruntime": onnxruntime.__version__,
        "one_row_ms": round(one_row_ms(denoiser), 2),
    }


def wide(columns: int = 130) -> Console:
    """A console that keeps the lines of a table of so many columns whole, piped into a file as well."""
    return Console(width=max(Console().width, columns))


def show(console: Console, title: str, about: dict[str, Any], columns: list[str], rows: list[list[Any]]) -> None:
    """A table under a title that names model, device and the K = 1 pass."""
    line = (
        f"{about['model']} on {about['device']} ({about['precision']}, {about['threads']} threads), "
        f"K = 1 pass {about['one_row_ms']:.1f} ms"
    )
    table = Table(title=f"{title}\n{line}", title_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(
            *((f"{v:.2f}" if abs(v) >= 1 or v == 0 else f"{v:.4f}") if isinstance(v, float) else str(v) for v in row)
        )
    console.print(table)


def write(path: Path | None, figures: dict[str, Any]) -> None:
    """Keep the figures as JSON, if a file was named."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def pyplot() -> Any:
    """matplotlib's, drawing to files; asked for before anything is measured. `BadRequestError` where it is missing."""
    try:
        import matplotlib
    except ImportError:
        raise BadRequestError("--plot needs matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
