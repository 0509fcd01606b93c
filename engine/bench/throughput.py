"""`remask bench throughput`: tokens a second, all included: one stream of completions, many rows, shared passes.

`remask bench throughput --device cuda` is the command for a GPU. The stream counts everything from text to text,
prefill and parser too; "warm" completions are asked again one key later, as an editor does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from engine.bench import speed
from engine.checkpoint import Checkpoint
from engine.core import LANES, Engine
from engine.cuda_graphs import SIZES
from engine.denoiser import Denoiser
from engine.device import choose
from engine.graph import Precision
from engine.kv_cache import causal_rows
from engine.types import CompleteRequest

BATCHES = ((1, 1), (1, 8), (1, 16), (1, 32), (1, 64), (4, 1), (4, 16), (8, 1), (8, 16), (16, 1), (16, 16))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    speed.add_common(parser)
    parser.add_argument("--cursors", type=int, default=12, metavar="N", help="completions in the stream (default 12)")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8", "int8-blocks", "int4-blocks"))
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="time for each batch (default 1)")


def run(args: argparse.Namespace) -> int:
    """Print three tables; exit 0."""
    console = Console()
    precision: Precision | None = args.precision
    denoiser = Denoiser(Checkpoint(Path(args.model) if args.model else None), choose(args.device), precision)
    about = speed.facts(denoiser)
    batches = rows_a_second(denoiser, args.seconds)
    columns = ["sequences x rows", "ms a pass", "rows/s", "times one row"]
    speed.show(console, "Rows a second, context of 256", about, columns, batches)
    recorded = recorded_passes(denoiser, args.seconds)
    if recorded:
        columns = ["rows", "ms plain", "ms replayed", "times as fast"]
        speed.show(console, "CUDA graphs, context of 256", about, columns, recorded)
    together = shared_passes(Denoiser(denoiser.checkpoint, denoiser.device, precision, lanes=LANES), args.seconds)
    columns = ["requests x rows", "ms one by one", "ms together", "times as fast"]
    speed.show(console, "Requests that share a pass, contexts of 256 and more", about, columns, together)
    stream = completions_a_second(args)
    columns = ["stream", "tokens/s", "completions/s", "ms p50", "tokens each", "tokens a pass"]
    speed.show(console, "One stream of completions, all included", about, columns, stream)
    figures = {
        "about": about,
        "batches": batches,
        "recorded": recorded,
        "together": together,
        "stream": stream,
    }
    speed.write(args.json, figures)
    return 0


def rows_a_second(denoiser: Denoiser, seconds: float) -> list[list[Any]]:
    """[sequences x rows, ms a pass, rows/s, times the first]."""
    table: list[list[Any]] = []
    context = 256
    for batch, rows in BATCHES:
        cache = denoiser.new_cache(batch)
        for start in range(0, context, 64):
            step(denoiser, cache, batch, 64, start, last=True)
        spent: list[float] = []
        began = time.perf_counter()
        while len(spent) < 4 or time.perf_counter() - began < seconds:
            at = time.perf_counter()
            step(denoiser, cache, batch, rows, context)
            spent.append((time.perf_counter() - at) * 1e3)
        ms = statistics.median(spent[1:])
        rate = batch * rows / ms * 1e3
        table.append([f"{batch} x {rows}", ms, rate, rate / (table[0][2] if table else rate)])
    return table


def recorded_passes(denoiser: Denoiser, seconds: float) -> list[list[Any]]:
    """[rows, ms of a plain pass, ms of a replayed one, ratio], the two in turns; empty where nothing is recorded."""
    recordings, table = denoiser.recordings, list[list[Any]]()
    if recordings is None:
        return table
    cache = denoiser.new_cache()
    speed.fill(denoiser, cache, 256)
    for rows in SIZES:
        spent: dict[bool, list[float]] = {True: [], False: []}
        began = time.perf_counter()
        while len(spent[True]) < 6 or time.perf_counter() - began < seconds:
            for replayed, times in spent.items():
                recordings.paused = not replayed
                at = time.perf_counter()
                step(denoiser, cache, 1, rows, 256)
                times.append((time.perf_counter() - at) * 1e3)
        plain, replay = (statistics.median(spent[replayed][3:]) for replayed in (False, True))
        table.append([rows, plain, replay, plain / replay])
    return table


def shared_passes(denoiser: Denoiser, seconds: float) -> list[list[Any]]:
    """[requests x rows, ms of passes of their own, ms of a pass together, ratio]; the two in turns."""
    shares = []
    for n in range(denoiser.lanes):
        cache = denoiser.new_cache()
        speed.fill(denoiser, cache, 256 + 8 * n)
        shares.append((cache, 256 + 8 * n))
    table: list[list[Any]] = []
    for rows, count in product((1, 4, 8, 16), range(1, denoiser.lanes + 1)):
        passes = [causal_rows(cache, [500] * rows, start, range(rows)) for cache, start in shares[:count]]
        own: list[float] = []
        together: list[float] = []
        began = time.perf_counter()
        while len(own) < 4 or time.perf_counter() - began < seconds:
            at = time.perf_counter()
            for share in passes:
                denoiser.forward(*share)
            between = time.perf_counter()
            denoiser.forward_all(passes)
            own.append((between - at) * 1e3)
            together.append((time.perf_counter() - between) * 1e3)
        one, all_ = statistics.median(own[1:]), statistics.median(together[1:])
        table.append([f"{count} x {rows}", one, all_, one / all_])
    return table


def step(denoiser: Denoiser, cache: Any, batch: int, rows: int, start: int, last: bool = False) -> None:
    """A causal pass of the same rows in each sequence; predictions for all of them, or for the last."""
    ids = np.array([[100 + 13 * (start + i) % 20_000 for i in range(rows)]] * batch)
    at = np.arange(start, start + rows)[None].repeat(batch, 0)
    sees = (np.arange(start + rows)[None] <= at[0][:, None])[None].repeat(batch, 0)
    denoiser.forward(cache, ids, at, at, sees, np.arange(batch * rows)[-1 if last else 0 :])


def completions_a_second(args: argparse.Namespace) -> list[list[Any]]:
    """[kind, tokens/s, completions/s, ms p50, tokens a completion, tokens a pass] cold and warm."""
    table = []
    with Engine(args.device, model=args.model, memory=False) as engine:
        places = speed.cursors(args.cursors, seed=3)
        engine.run_complete(CompleteRequest(places[0].prefix, places[0].suffix, "python"))
        costs: dict[str, list[tuple[float, int, int]]] = {"cold": [], "warm": []}
        for place in places:
            engine.caches.clear()
            for kind in ("cold", "warm"):
                prefix = place.prefix if kind == "cold" else place.prefix + place.middle[:1]
                at = time.perf_counter()
                answer = engine.run_complete(CompleteRequest(prefix, place.suffix, "python", multiline=True))
                costs[kind].append(((time.perf_counter() - at) * 1e3, answer.tokens, answer.steps))
    for kind, all_ in costs.items():
        ms, tokens, steps = (sum(c[i] for c in all_) for i in range(3))
        p50 = statistics.median(c[0] for c in all_)
        row = [kind, tokens / ms * 1e3, len(all_) / ms * 1e3, p50, tokens / len(all_), tokens / max(steps, 1)]
        table.append(row)
    return table
