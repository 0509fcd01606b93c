"""`remask bench latency`: how long a completion takes, of what, and against writing one token at a time.

Ways are interleaved cursor by cursor, so that what else the machine does weighs on all alike, and each cursor is timed
`--repeats` times, of which the fastest counts. All ways write `--tokens` tokens without stopping, and drafts come from
noise and from the window alone, so no way knows more than another.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from engine.bench import speed
from engine.bench.speed import Cursor
from engine.calibration import draft_policy
from engine.checkpoint import Checkpoint
from engine.core import Engine
from engine.denoise import DenoiseSampler
from engine.denoiser import Denoiser
from engine.device import choose
from engine.graph import Precision
from engine.kv_cache import Cache
from engine.memory import look_back
from engine.sampler import Sampler, Task
from engine.types import CompleteRequest
from engine.verified import DraftPolicy, VerifiedSampler
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

SWEEP = (128, 256, 512, 1024, 2048)
MIDDLES = (4, 8, 16, 32, 64, 128)
ROWS = (1, 2, 4, 8, 16, 32, 64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    speed.add_common(parser)
    parser.add_argument("--cursors", type=int, default=12, metavar="N", help="places in real files (default 12)")
    parser.add_argument("--tokens", type=int, default=32, metavar="N", help="length of each middle (default 32)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="timings of each, the best counts")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the sweeps (needs matplotlib)")


def run(args: argparse.Namespace) -> int:
    """Print four tables; exit 0."""
    console = Console()
    drawing = speed.pyplot() if args.plot else None
    checkpoint = Checkpoint(Path(args.model) if args.model else None)
    denoiser = Denoiser(checkpoint, choose(args.device))
    about = speed.facts(denoiser)
    figures: dict[str, Any] = {"about": about}
    figures["rows"] = rows_of_a_pass(denoiser, args.repeats)
    speed.show(console, "A pass over rows, context of 448", about, ["rows", "ms", "times K = 1"], figures["rows"])
    figures["ways"] = ways(checkpoint, denoiser, args)
    columns = ["way", "ms a middle", "tokens/s", "tokens a pass", "times fastest K = 1", "same text as first"]
    speed.show(console, f"Ways to write {args.tokens} tokens, context cached", about, columns, figures["ways"])
    figures |= sweeps(checkpoint, args)
    speed.show(console, "Context, 16 tokens each", about, SWEEP_COLUMNS, figures["contexts"])
    speed.show(console, "Length of the middle", about, MIDDLE_COLUMNS, figures["middles"])
    figures["breakdown"] = breakdown(args)
    speed.show(console, "A request in this process, ms p50", about, ["part", "cold", "warm"], figures["breakdown"])
    speed.write(args.json, figures)
    if args.plot:
        draw(drawing, args.plot, figures)
    return 0


def rows_of_a_pass(denoiser: Denoiser, repeats: int) -> list[list[Any]]:
    """[rows, ms, times one row]: predictions wanted at every row, as verification does."""
    cache = denoiser.new_cache()
    speed.fill(denoiser, cache, 448)
    table: list[list[Any]] = []
    for n in ROWS:
        ids = [200 + i for i in range(n)]
        ms = min(speed.timed(partial(denoiser.causal, cache, ids, 448, range(n)), 10 * repeats))
        table.append([n, ms, ms / (table[0][1] if table else ms)])
    return table


@dataclass(slots=True)
class Way:
    """One way to write: a sampler on a denoiser, with or without proposals from the window."""

    name: str
    denoiser: Denoiser
    sampler: Sampler
    looks_back: bool = False
    one_by_one: bool = False


def ways(checkpoint: Checkpoint, denoiser: Denoiser, args: argparse.Namespace) -> list[list[Any]]:
    """[way, ms a middle, tokens/s, tokens a pass, times the fastest K = 1, share of middles like the first way's]."""
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    builder = WindowBuilder(vocabulary, checkpoint.config.reserved, Budget(total=checkpoint.config.context))
    candidates = [Way(f"K = 1, {denoiser.precision}", denoiser, single(denoiser, vocabulary), one_by_one=True)]
    others: tuple[Precision, ...] = ("int8-blocks", "int4-blocks") if denoiser.device.name == "cpu" else ()
    for precision in (p for p in others if p != denoiser.precision):
        other = Denoiser(checkpoint, denoiser.device, precision)
        candidates.append(Way(f"K = 1, {precision}", other, single(other, vocabulary), one_by_one=True))
    plain = VerifiedSampler(denoiser, vocabulary, draft_policy(denoiser))
    candidates += [
        Way("verified", denoiser, plain),
        Way("verified, window as draft", denoiser, plain, looks_back=True),
        Way("denoise, K = 8", denoiser, DenoiseSampler(denoiser, vocabulary)),
    ]
    spent: dict[str, list[float]] = defaultdict(list)
    steps: dict[str, int] = defaultdict(int)
    tokens: dict[str, int] = defaultdict(int)
    texts: dict[str, list[list[int]]] = defaultdict(list)
    for cursor in speed.cursors(args.cursors):
        ids = builder.build(cursor.prefix, cursor.suffix, heal=False).ids
        caches = {way.name: way.denoiser.new_cache() for way in candidates}
        best: dict[str, float] = {}
        for _ in range(args.repeats):
            for way in candidates:
                draft, ms = write_one(way, caches[way.name], ids, args.tokens)
                best[way.name] = min(best.get(way.name, ms), ms)
        for way in candidates:
            draft, _ = write_one(way, caches[way.name], ids, args.tokens)
            spent[way.name].append(best[way.name])
            steps[way.name] += draft.steps
            tokens[way.name] += len(draft.tokens)
            texts[way.name].append(draft.tokens)
    first = candidates[0].name
    rate = {way.name: tokens[way.name] / sum(spent[way.name]) * 1e3 for way in candidates}
    fastest = max(rate[way.name] for way in candidates if way.one_by_one)
    return [
        [
            name := way.name,
            statistics.mean(spent[name]),
            rate[name],
            tokens[name] / steps[name],
            rate[name] / fastest,
            float(np.mean([a == b for a, b in zip(texts[name], texts[first], strict=True)])),
        ]
        for way in candidates
    ]


def single(denoiser: Denoiser, vocabulary: Vocabulary) -> Sampler:
    """K = 1: the autoregressive model that the denoiser came from."""
    return VerifiedSampler(denoiser, vocabulary, DraftPolicy(masks=0, row_cost=1.0))


def write_one(way: Way, cache: Cache, ids: list[int], tokens: int) -> tuple[Any, float]:
    """A middle of `tokens` tokens that cannot end early, behind a cached context; its milliseconds."""
    task = Task(ids, max_tokens=tokens, least=tokens, propose=look_back if way.looks_back else None)
    start = time.perf_counter()
    draft = way.sampler.run(cache, task)
    return draft, (time.perf_counter() - start) * 1e3 - draft.prefill_ms


SWEEP_COLUMNS = ["context", "prefill ms", "K = 1 pass ms", "K = 8 pass ms", "verified ms", "K = 1 ms", "ratio"]
MIDDLE_COLUMNS = ["tokens", "verified ms", "K = 1 ms", "ratio"]


def sweeps(checkpoint: Checkpoint, args: argparse.Namespace) -> dict[str, list[list[Any]]]:
    """Costs by context and by length of the middle, verified beside K = 1."""
    denoiser = Denoiser(checkpoint, choose(args.device), capacity=SWEEP[-1] + 256)
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    verified, plain = VerifiedSampler(denoiser, vocabulary, draft_policy(denoiser)), single(denoiser, vocabulary)
    text = speed.cursors(1, shortest=24_000)[0]
    contexts: list[list[Any]] = []
    for size in SWEEP:
        ids = window_of(checkpoint, vocabulary, text, size)
        n = len(ids)
        prefill = min(speed.timed(partial(prefill_anew, denoiser, n), args.repeats))
        cache = denoiser.new_cache()
        speed.fill(denoiser, cache, n)
        passes = [min(speed.timed(partial(denoiser.causal, cache, [200] * k, n, range(k)), 10)) for k in (1, 8)]
        a, b = both(verified, plain, denoiser, ids, 16, args.repeats)
        contexts.append([n, prefill, *passes, a, b, b / a])
    ids = window_of(checkpoint, vocabulary, text, checkpoint.config.context)
    middles = []
    for size in MIDDLES:
        a, b = both(verified, plain, denoiser, ids, size, args.repeats)
        middles.append([size, a, b, b / a])
    return {"contexts": contexts, "middles": middles}


def prefill_anew(denoiser: Denoiser, tokens: int) -> None:
    """Prefill an empty cache."""
    speed.fill(denoiser, denoiser.new_cache(), tokens)


def both(
    verified: Sampler, plain: Sampler, denoiser: Denoiser, ids: list[int], tokens: int, repeats: int
) -> tuple[float, float]:
    """Best milliseconds of each way, interleaved."""
    pair = [Way("verified", denoiser, verified, looks_back=True), Way("K = 1", denoiser, plain)]
    caches = [denoiser.new_cache(), denoiser.new_cache()]
    best = [float("inf")] * 2
    for _ in range(repeats + 1):
        for i, way in enumerate(pair):
            best[i] = min(best[i], write_one(way, caches[i], ids, tokens)[1])
    return best[0], best[1]


def window_of(checkpoint: Checkpoint, vocabulary: Vocabulary, cursor: Cursor, size: int) -> list[int]:
    """A window of about `size` tokens."""
    budget = Budget(total=size, suffix=min(160, size // 3))
    return WindowBuilder(vocabulary, checkpoint.config.reserved, budget).build(cursor.prefix, cursor.suffix).ids


OUTSIDE = "outside the model"  # all but ONNX Runtime's passes: window, tokens, sampling, ends, parser


def breakdown(args: argparse.Namespace) -> list[list[Any]]:
    """[part, cold, warm]: medians of what the engine reports, and of its wall-clock time."""
    parts: dict[str, dict[str, list[float]]] = {"cold": defaultdict(list), "warm": defaultdict(list)}
    with Engine(args.device, model=args.model, memory=False) as engine:
        for cursor in speed.cursors(args.cursors, seed=2):
            engine.caches.clear()
            for kind in ("cold", "warm"):
                # Warm is one key later, as typing asks.
                prefix = cursor.prefix if kind == "cold" else cursor.prefix + cursor.middle[:1]
                start = time.perf_counter()
                answer = engine.run_complete(CompleteRequest(prefix, cursor.suffix, "python"))
                wall = (time.perf_counter() - start) * 1e3
                for part, ms in answer.timings_ms.items():
                    parts[kind][part].append(ms)
                parts[kind]["wall clock"].append(wall)
                parts[kind][OUTSIDE].append(wall - answer.timings_ms["passes"])
    return [[n, *(statistics.median(parts[kind][n]) for kind in parts)] for n in parts["cold"]]


def draw(pyplot: Any, path: Path, figures: dict[str, Any]) -> None:
    """Rows, contexts and middles as one picture."""
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(13, 4))
    left.plot([r[0] for r in figures["rows"]], [r[1] for r in figures["rows"]], marker="o")
    left.set(title="a pass over rows", xlabel="rows", ylabel="ms")
    for column, label in ((2, "K = 1 pass"), (3, "K = 8 pass"), (1, "prefill")):
        middle.plot(
            [r[0] for r in figures["contexts"]], [r[column] for r in figures["contexts"]], marker="o", label=label
        )
    middle.set(title="by context", xlabel="tokens", ylabel="ms", yscale="log")
    for column, label in ((1, "verified"), (2, "K = 1")):
        right.plot([r[0] for r in figures["middles"]], [r[column] for r in figures["middles"]], marker="o", label=label)
    right.set(title="by length of the middle", xlabel="tokens", ylabel="ms")
    for axes in (left, middle, right):
        axes.set_ylim(bottom=None if axes is middle else 0)
    middle.legend()
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
