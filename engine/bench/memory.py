"""`remask bench memory`: what the workspace's memory adds, package by package, and how its trust is fitted.

Each held-out package is a workspace: all its files are remembered, and code is completed at seeded cursors of some of
them, without the memory and with it; beside them stands the likeliest line that the memory has,
whatever the denoiser says. A file's own remembered copy is never asked (see `engine.memory`), so no cursor sees its own
answer. Fitting and reporting use different packages.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import engine
from engine.bench import speed
from engine.bench.memory_fit import BUCKETS, fit, remembered
from engine.core import Engine
from engine.errors import BadRequestError
from engine.memory import View, chance_of_line, rests_of_line
from engine.model.evaluation.cases import CUTTERS, Case, build_cases
from engine.model.evaluation.documents import DEV, Document, read_documents
from engine.model.evaluation.measures import edit_similarity, mcnemar, paired_interval
from engine.types import CompleteAnswer, CompleteRequest

SMALLEST = 8  # files that make a workspace
KINDS = ("line", "inside", "block")
BINS = 5  # of the calibration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dev", type=Path, default=DEV, help=f"held-out files (default {DEV})")
    parser.add_argument("--each", type=int, default=20, help="cursors in each package (default 20)")
    parser.add_argument("--kind", choices=KINDS, default="line", help="the rest of a line, inside of one, or a block")
    parser.add_argument("--seed", default="0", metavar="N,N,…", help="draws of cursors, reported together (default 0)")
    parser.add_argument(
        "--fit", action="store_true", help="fit the trust on half of the packages and print the weights"
    )
    parser.add_argument("--unfitted", action="store_true", help="only the packages that --fit does not use")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw predicted chances against what came true")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")


def run(args: argparse.Namespace) -> int:
    """Print the tables; exit 0."""
    try:
        seeds = [int(text) for text in args.seed.split(",")]
    except ValueError:
        raise BadRequestError(f"--seed takes whole numbers with commas between, not {args.seed!r}") from None
    drawing = speed.pyplot() if args.plot else None
    draws = [(seed, _workspaces(args.dev, seed)) for seed in seeds]
    packages = sorted({w[0].package for _, workspaces in draws for w in workspaces})
    fitting = set(packages[::2]) if args.fit or args.unfitted else set()
    console = speed.wide()
    with engine.load("auto", memory=False, model=args.model) as e:
        if args.fit:
            seed, workspaces = draws[0]
            fit(e, [w for w in workspaces if w[0].package in fitting], args.each, seed, console)
        reporting = [(seed, w) for seed, workspaces in draws for w in workspaces if w[0].package not in fitting]
        rows = [r for seed, w in reporting for r in compare(e, w, args.kind, args.each, seed)]
        pass_ms = speed.one_row_ms(e.denoiser)
    report(console, rows, f"{args.kind}, {len(rows)} cursors; one K = 1 pass takes {pass_ms:.1f} ms")
    calibration(console, rows)
    if drawing is not None:
        plot(drawing, rows, args.plot)
    if args.json:
        args.json.write_text(json.dumps({"pass_ms": pass_ms, "cursors": [asdict(r) for r in rows]}, indent=1))
    return 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer: exact or not, how similar, how confident, and what it took."""

    exact: bool
    similar: float
    confidence: float
    steps: int
    ms: float


@dataclass(frozen=True, slots=True)
class Row:
    """One cursor; `match` is the longest match of the tokens left of it, `chance` that of the memory's best line."""

    package: str
    language: str
    match: int
    without: Outcome
    with_memory: Outcome
    line_exact: bool
    chance: float


def compare(e: Engine, documents: Sequence[Document], kind: str, each: int, seed: int) -> Iterator[Row]:
    """Complete every cursor of a workspace with and without its memory, in turns."""
    memory = remembered(e, documents)
    for i, case in enumerate(build_cases(documents, {kind: CUTTERS[kind]}, each, seed)):
        request = CompleteRequest(case.prefix, case.suffix, case.language, case.path, multiline=case.kind == "block")
        view = memory.view(case.language, case.path, case.prefix, case.suffix, -1)
        text, chance = _line(view, case)
        outcomes = {}
        for which in (memory, None) if i % 2 else (None, memory):
            e.completer.memory = which
            outcomes[which is not None] = _outcome(e, request, case)
        e.completer.memory = None
        yield Row(
            case.package,
            case.language,
            view.match(e.completer.windows.build(case.prefix, case.suffix).left).length,
            outcomes[False],
            outcomes[True],
            text == case.middle.rstrip(),
            chance,
        )
    memory.close()


def _line(view: View, case: Case) -> tuple[str, float]:
    """The memory's likeliest rest of the line, and its chance; ("", 0) when it has none."""
    if case.kind == "block":
        return "", 0.0
    lines = [(line.text, chance_of_line(line)) for line in rests_of_line(view, case.prefix, case.suffix)]
    return max(lines, key=lambda line: line[1], default=("", 0.0))


def _outcome(e: Engine, request: CompleteRequest, case: Case) -> Outcome:
    started = time.perf_counter()
    answer: CompleteAnswer = e.run_complete(request)
    ms = (time.perf_counter() - started) * 1e3
    text, confidence = (answer.items[0].text.rstrip(), answer.items[0].confidence) if answer.items else ("", 0.0)
    truth = case.middle.rstrip()
    return Outcome(text == truth, edit_similarity(text, truth), confidence, answer.steps, ms)


def report(console: Console, rows: Sequence[Row], title: str) -> None:
    """Exact answers and forward passes, by language, package and match length."""
    table = Table(title=title)
    columns = ("cursors", "n", "exact", "memory alone", "with", "ratio", "won", "lost")
    for column in (*columns, "similar", "with", "passes", "with", "ratio"):
        table.add_column(column, justify="left" if column == "cursors" else "right", no_wrap=True)
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups["all"].append(row)
        groups[row.language].append(row)
        groups[row.package].append(row)
        low, high = next(b for b in BUCKETS if b[0] <= row.match <= b[1])
        groups[f"match {low:>2}-{high}"].append(row)
    for name, group in sorted(groups.items(), key=lambda g: ("match" in g[0], g[0])):
        before, after = _mean(r.without.exact for r in group), _mean(r.with_memory.exact for r in group)
        slow, fast = _mean(r.without.steps for r in group), _mean(r.with_memory.steps for r in group)
        table.add_row(
            name,
            str(len(group)),
            f"{before:.3f}",
            f"{_mean(r.line_exact for r in group):.3f}",
            f"{after:.3f}",
            f"{after / before:.2f}" if before else "-",
            str(sum(r.with_memory.exact > r.without.exact for r in group)),
            str(sum(r.with_memory.exact < r.without.exact for r in group)),
            f"{_mean(r.without.similar for r in group):.3f}",
            f"{_mean(r.with_memory.similar for r in group):.3f}",
            f"{slow:.2f}",
            f"{fast:.2f}",
            f"{fast / slow:.2f}",
        )
    console.print(table)
    old, new = [r.without.exact for r in rows], [r.with_memory.exact for r in rows]
    lowest, highest = paired_interval([(float(x), 1.0) for x in old], [(float(x), 1.0) for x in new])
    console.print(
        f"exact with less without: {_mean(new) - _mean(old):+.3f} (95 % {lowest:+.3f} … {highest:+.3f}, "
        f"p {mcnemar(old, new):.3f}); either the denoiser or the memory alone is right at "
        f"{_mean(r.without.exact or r.line_exact for r in rows):.3f}; "
        f"mean ms without {_mean(r.without.ms for r in rows):.0f}, with {_mean(r.with_memory.ms for r in rows):.0f}"
    )


def plot(pyplot: Any, rows: Sequence[Row], path: Path) -> None:
    """A reliability diagram of the memory's best line: how often it was right, with standard errors, by its chance."""
    figure, axes = pyplot.subplots(figsize=(5.5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    groups = [g for g in ([r for r in rows if _bin(r) == i] for i in range(BINS)) if g]
    right = [_mean(r.line_exact for r in g) for g in groups]
    errors = [(p * (1 - p) / len(g)) ** 0.5 for p, g in zip(right, groups, strict=True)]
    axes.errorbar([_mean(r.chance for r in g) for g in groups], right, errors, marker="o", capsize=3)
    for group, share in zip(groups, right, strict=True):
        axes.annotate(
            f"n = {len(group)}", (_mean(r.chance for r in group), share), (6, -12), textcoords="offset points"
        )
    axes.set(xlim=(0, 1.1), ylim=(-0.05, 1), xlabel="predicted chance of the remembered line", ylabel="right")
    figure.savefig(path, dpi=150)


def _bin(row: Row) -> int:
    return min(int(row.chance * BINS), BINS - 1)


def calibration(console: Console, rows: Sequence[Row]) -> None:
    """How often the memory's best line is right, by the chance that was predicted."""
    table = Table(title="the memory's best line: predicted chance and how often it was right")
    for column in ("chance", "n", "predicted", "right", "denoiser right there"):
        table.add_column(column, justify="right")
    for i in range(BINS):
        group = [r for r in rows if _bin(r) == i]
        if group:
            table.add_row(
                f"{i / BINS:.1f}-{(i + 1) / BINS:.1f}",
                str(len(group)),
                f"{_mean(r.chance for r in group):.2f}",
                f"{_mean(r.line_exact for r in group):.2f}",
                f"{_mean(r.without.exact for r in group):.2f}",
            )
    console.print(table)


def _workspaces(dev: Path, seed: int) -> list[list[Document]]:
    """Packages with enough files to be workspaces, by name and language."""
    groups: dict[str, list[Document]] = defaultdict(list)
    for document in read_documents(dev, seed=seed):
        groups[f"{document.package} ({document.language})"].append(document)
    return [group for _, group in sorted(groups.items()) if len(group) >= SMALLEST]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / max(len(listed), 1)
