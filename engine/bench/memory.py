"""`remask bench memory`: what the workspace's memory adds, package by package, and how its trust is fitted.

Each held-out package is a workspace: all its files are remembered, and the rest of a line is completed at seeded
cursors
of some of them. A file's own remembered copy is never asked (see `engine.memory`), so no cursor sees its own answer.
Fitting and reporting use different packages.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

import engine
from engine.core import Engine
from engine.denoiser import Denoiser
from engine.memory import Match, Memory, mixture
from engine.model.evaluation.cases import CUTTERS, Case, build_cases
from engine.model.evaluation.documents import DEV, Document, read_documents
from engine.sampler import Task, Writing
from engine.types import CompleteRequest

SMALLEST = 8  # files that make a workspace
BUCKETS = ((0, 1), (2, 3), (4, 7), (8, 15), (16, 64))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dev", type=Path, default=DEV, help=f"held-out files (default {DEV})")
    parser.add_argument("--each", type=int, default=20, help="cursors in each package (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fit", action="store_true", help="fit the trust on half of the packages and print the weights"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")


def run(args: argparse.Namespace) -> int:
    """Print the table; exit 0."""
    documents = read_documents(args.dev, seed=args.seed)
    workspaces = {k: v for k, v in _by_package(documents).items() if len(v) >= SMALLEST}
    names = sorted(workspaces)
    console = Console()
    with engine.load("auto", model=args.model) as e:
        fitting = names[::2] if args.fit else []
        reporting = names[1::2] if args.fit else names
        if args.fit:
            fit(e, [workspaces[n] for n in fitting], args.each, args.seed, console)
        rows = [r for name in reporting for r in compare(e, workspaces[name], args.each, args.seed)]
        pass_ms = one_pass(e.denoiser)
    report(console, rows, pass_ms)
    if args.json:
        args.json.write_text(json.dumps({"pass_ms": pass_ms, "cursors": [asdict(r) for r in rows]}, indent=1))
    return 0


@dataclass(frozen=True, slots=True)
class Row:
    """One cursor with and without the memory."""

    package: str
    language: str
    match: int
    exact_with: bool
    exact_without: bool
    steps_with: int
    steps_without: int
    ms_with: float
    ms_without: float


def compare(e: Engine, documents: Sequence[Document], each: int, seed: int) -> Iterator[Row]:
    """Complete every cursor of a workspace with and without its memory, in turns."""
    memory = remembered(e, documents)
    for case in line_cases(documents, each, seed):
        request = CompleteRequest(case.prefix, case.suffix, case.language, case.path, multiline=False)
        window = e.completer.windows.build(case.prefix, case.suffix)
        match = memory.view(case.language, case.path, case.prefix, case.suffix, -1).match(window.left)
        answers = {}
        for which in (memory, None):
            e.completer.memory = which
            started = time.perf_counter()
            answer = e.run_complete(request)
            answers[which is not None] = (answer, (time.perf_counter() - started) * 1e3)
        (with_, ms_with), (without, ms_without) = answers[True], answers[False]
        truth = case.middle.rstrip()
        yield Row(
            case.package,
            case.language,
            match.length,
            bool(with_.items) and with_.items[0].text.rstrip() == truth,
            bool(without.items) and without.items[0].text.rstrip() == truth,
            with_.steps,
            without.steps,
            ms_with,
            ms_without,
        )


def report(console: Console, rows: Sequence[Row], pass_ms: float) -> None:
    """Exact rest of the line and forward passes, by language and by match length."""
    table = Table(title=f"rest of the line, {len(rows)} cursors; one K = 1 pass takes {pass_ms:.1f} ms")
    for column in ("cursors", "n", "exact without", "exact with", "ratio", "passes without", "passes with", "ratio"):
        table.add_column(column, justify="left" if column == "cursors" else "right")
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups["all"].append(row)
        groups[row.language].append(row)
        low, high = next(b for b in BUCKETS if b[0] <= row.match <= b[1])
        groups[f"match of {low:>2} to {high} tokens"].append(row)
    for name, group in sorted(groups.items()):
        before, after = _share(r.exact_without for r in group), _share(r.exact_with for r in group)
        slow, fast = _share(r.steps_without for r in group), _share(r.steps_with for r in group)
        table.add_row(
            name,
            str(len(group)),
            f"{before:.3f}",
            f"{after:.3f}",
            f"{after / before:.2f}" if before else "-",
            f"{slow:.2f}",
            f"{fast:.2f}",
            f"{fast / slow:.2f}",
        )
    console.print(table)


@dataclass(frozen=True, slots=True)
class Position:
    """A token of a true middle: what the denoiser and the memory thought of it."""

    features: tuple[float, ...]
    denoiser: float  # its probability under the denoiser
    memory: float  # and under the memory
    match: int


def fit(e: Engine, workspaces: Sequence[Sequence[Document]], each: int, seed: int, console: Console) -> None:
    """Fit the trust's weights by gradient ascent on the mixture's log-likelihood, print and use them."""
    positions = [p for documents in workspaces for p in observe(e, documents, 2 * each, seed)]
    x = np.array([p.features for p in positions])
    model, memory = np.array([p.denoiser for p in positions]), np.array([p.memory for p in positions])
    weights = maximise(x, model, memory, np.array(mixture.WEIGHTS))
    console.print(f"{len(positions)} positions of {len(workspaces)} packages")
    console.print("WEIGHTS = (" + ", ".join(f"{w:.2f}" for w in weights) + ")")
    table = Table(title="by length of the match: nats a token, and the trust that was fitted")
    for column in ("match", "n", "denoiser", "memory right", "mixture", "trust"):
        table.add_column(column, justify="right")
    part = _logistic(x @ weights)
    for low, high in BUCKETS[1:]:
        at = np.array([low <= p.match <= high for p in positions])
        if at.any():
            mixed = (1 - part[at]) * model[at] + part[at] * memory[at]
            nats = [f"{-np.log(np.maximum(v, 1e-9)).mean():.3f}" for v in (model[at], mixed)]
            right = f"{(memory[at] > 0.5).mean():.3f}"
            table.add_row(f"{low}-{high}", str(at.sum()), nats[0], right, nats[1], f"{part[at].mean():.2f}")
    console.print(table)
    mixture.WEIGHTS = tuple(float(w) for w in weights)


def maximise(
    x: npt.NDArray[np.float64],
    denoiser: npt.NDArray[np.float64],
    memory: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    rounds: int = 4000,
) -> npt.NDArray[np.float64]:
    """Weights (F,) that maximise mean log((1 - trust) * denoiser + trust * memory), trust = logistic(x @ weights)."""
    scale = np.maximum(np.abs(x).max(axis=0), 1e-9)
    x, w = x / scale, weights * scale
    step, moment, square = 0.02, np.zeros_like(w), np.zeros_like(w)
    for i in range(1, rounds + 1):
        part = _logistic(x @ w)
        slope = (memory - denoiser) / np.maximum((1 - part) * denoiser + part * memory, 1e-9) * part * (1 - part)
        gradient = x.T @ slope / len(x) - 1e-4 * w
        moment = 0.9 * moment + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        w = w + step * (moment / (1 - 0.9**i)) / (np.sqrt(square / (1 - 0.999**i)) + 1e-8)
    return w / scale


def observe(e: Engine, documents: Sequence[Document], each: int, seed: int) -> Iterator[Position]:
    """Read true middles causally; give every token whose left context the memory matches."""
    memory = remembered(e, documents)
    for case in line_cases(documents, each, seed + 1):
        yield from _positions(e, memory, case)


def _positions(e: Engine, memory: Memory, case: Case) -> Iterator[Position]:
    window = e.completer.windows.build(case.prefix, case.suffix, heal=False)
    end = e.denoiser.config.reserved.end
    middle = e.vocabulary.encode(case.middle)[:32]
    w = Writing(e.denoiser, e.vocabulary, e.caches.get(window.ids), Task(window.ids))
    known = w.known[w.committed :] + middle
    prediction = e.denoiser.causal(w.cache, known, w.committed, range(len(known) - len(middle) - 1, len(known)))
    view = memory.view(case.language, case.path, case.prefix, case.suffix, end)
    line_break = e.vocabulary.encode("\n")[0]
    for i, token in enumerate([*middle, end]):
        match: Match = view.match(window.left + middle[:i])
        if not match.chances:
            continue
        # The memory says that a line ends by its line break, the denoiser by <end>: either is the end of this middle.
        chance = match.chances.get(token, 0.0) + (match.chances.get(line_break, 0.0) if token == end else 0.0)
        doubt = -float(prediction.top_logprobs[i, 0])
        yield Position(
            mixture.features(match, doubt), math.exp(prediction.logprob(i, token)), min(chance, 1.0), match.length
        )


def remembered(e: Engine, documents: Sequence[Document]) -> Memory:
    """A memory of a whole workspace."""
    memory = Memory(e.vocabulary)
    for document in documents:
        memory.remember(document.path, document.text)
    memory.settle()
    return memory


def line_cases(documents: Sequence[Document], each: int, seed: int) -> list[Case]:
    """Seeded cursors at which the rest of a line is written."""
    return build_cases(documents, {"line": CUTTERS["line"]}, each, seed)


def one_pass(denoiser: Denoiser) -> float:
    """The median milliseconds of a K = 1 forward pass behind 448 tokens."""
    cache = denoiser.new_cache()
    denoiser.causal(cache, [denoiser.config.reserved.suffix] * 448, 0, [0])
    times = []
    for _ in range(15):
        started = time.perf_counter()
        denoiser.causal(cache, [0], 448, [0])
        times.append((time.perf_counter() - started) * 1e3)
    return sorted(times)[len(times) // 2]


def _by_package(documents: Sequence[Document]) -> dict[str, list[Document]]:
    groups: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        groups[f"{document.package} ({document.language})"].append(document)
    return groups


def _share(values: Iterator[float]) -> float:
    listed = list(values)
    return sum(listed) / max(len(listed), 1)


def _logistic(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-z))
