"""`remask model eval`: quick (minutes on two cores) or full, one model or two side by side."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.core import Engine, load
from engine.errors import BadRequestError
from engine.model.evaluation.cases import CUTTERS, Case, build_cases
from engine.model.evaluation.damage import build_damage
from engine.model.evaluation.documents import DEV, Document, read_documents
from engine.model.evaluation.ends import ENDS_COLUMNS, run_ends
from engine.model.evaluation.holes import build_holes
from engine.model.evaluation.report import as_json, comparison_table, table_of, write_json
from engine.model.evaluation.runner import COLUMNS, Progress, Results, run_completions, run_holes, run_repairs

OUT = Path("runs/evaluation")


@dataclass(frozen=True, slots=True)
class Size:
    """Cases in all languages together: of each kind of cursor, of each kind of hole, and damaged files."""

    cursors: int
    holes: int
    repairs: int

    def each(self, languages: int) -> Size:
        """The share of one language, at least one of everything."""
        return Size(*(max(1, total // languages) for total in (self.cursors, self.holes, self.repairs)))


QUICK = Size(cursors=12, holes=5, repairs=8)
FULL = Size(cursors=240, holes=80, repairs=120)
PARTS = (*CUTTERS, "holes", "repair")
LEAST_WINDOW = 256  # tokens, of which 160 may be the suffix's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--against", metavar="FOLDER", help="a second model, compared with the first case by case")
    parser.add_argument("--dev", type=Path, default=DEV, metavar="FILE", help=f"held-out documents (default {DEV})")
    parser.add_argument("--languages", nargs="+", default=[], metavar="NAME", help="only these")
    parser.add_argument("--full", action="store_true", help="many more cases: the better part of an hour, not minutes")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--ends", action="store_true", help="only the table of how the end of the middle is chosen")
    parser.add_argument("--cursors", type=int, metavar="N", help="cursors of each kind and language")
    parser.add_argument(
        "--window",
        nargs="+",
        type=int,
        metavar="N",
        help="tokens of a window, of both models or of each (default: theirs)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"where all figures go (default in {OUT}/)")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when measured; 2 for bad input."""
    if args.cursors is not None and args.cursors < 1:
        raise BadRequestError(f"--cursors must be at least 1, not {args.cursors}")
    documents = read_documents(args.dev, args.languages, args.seed)
    size = (FULL if args.full else QUICK).each(len({d.language for d in documents}))
    if args.cursors is not None:
        size = Size(args.cursors, size.holes, size.repairs)
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file has room for whole lines
    folders = [args.model] + ([args.against] if args.against else [])
    windows = _windows(args.window, len(folders))
    runs: list[tuple[str, str, Results, float]] = []
    for folder, window in zip(folders, windows, strict=True):
        started = time.perf_counter()
        with (
            load(args.device, memory=False, model=folder, window=window) as engine,
            _progress(console, engine.model) as tick,
        ):
            measure = _ends if args.ends else _all
            results = measure(engine, documents, size, args.only, args.seed, tick)
            name = engine.model if window is None else f"{engine.model}-window-{window}"
            runs.append((name, engine.device, results, time.perf_counter() - started))
    what = "full" if args.full else "quick"
    packages = len({d.package for d in documents})
    title = f"{runs[0][0]} on {runs[0][1]}: {what} evaluation, {packages} held-out packages, seed {args.seed}"
    if len(runs) == 1:
        console.print(table_of(runs[0][2], title, ENDS_COLUMNS if args.ends else COLUMNS))
    else:
        names = (runs[0][0], runs[1][0])
        console.print(comparison_table(runs[0][2], runs[1][2], names, f"{names[1]} against {names[0]}", args.seed))
    content: dict[str, Any] = {
        "seed": args.seed,
        "dev": str(args.dev),
        "packages": sorted({d.package for d in documents}),
        "models": [{"model": m, "device": d, "seconds": round(s, 1), **as_json(r)} for m, d, r, s in runs],
    }
    name = "-against-".join(reversed([m for m, *_ in runs]))
    path = args.json or OUT / f"{name}-{'ends' if args.ends else what}.json"
    write_json(path, content)
    seconds = ", ".join(f"{s:.0f} s" for *_, s in runs)
    console.print(f"{seconds}; every answer is in {path}", style="dim")
    return 0


def _windows(asked: list[int] | None, models: int) -> list[int | None]:
    """Tokens of a window for each model; None for its own."""
    if asked is None:
        return [None] * models
    if len(asked) not in (1, models) or min(asked) < LEAST_WINDOW:
        raise BadRequestError(f"--window takes a number from {LEAST_WINDOW} on, or one for each model, not {asked}")
    return [*asked] * (models // len(asked))


def _all(
    engine: Engine, documents: list[Document], size: Size, only: Sequence[str], seed: int, tick: Progress
) -> Results:
    results = Results()
    run_completions(engine, _cases(documents, size, only, seed), seed, results, tick)
    if "holes" in only:
        run_holes(engine, build_holes(documents, size.holes, seed), results, tick)
    if "repair" in only:
        run_repairs(engine, build_damage(documents, size.repairs, seed), results, tick)
    return results


def _ends(
    engine: Engine, documents: list[Document], size: Size, only: Sequence[str], seed: int, tick: Progress
) -> Results:
    results = Results()
    run_ends(engine, _cases(documents, size, only, seed), results, tick)
    return results


def _cases(documents: list[Document], size: Size, only: Sequence[str], seed: int) -> list[Case]:
    cutters = {kind: cutter for kind, cutter in CUTTERS.items() if kind in only}
    return build_cases(documents, cutters, size.cursors, seed)


@contextmanager
def _progress(console: Console, model: str) -> Iterator[Progress]:
    """What is being measured, on a terminal; silence in a pipe."""
    done = 0
    with console.status(f"{model}: starting") as status:

        def tick(what: str) -> None:
            nonlocal done
            done += 1
            status.update(f"{model}: {what}, case {done}")

        yield tick
