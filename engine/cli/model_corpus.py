"""`remask model corpus`: fetch, filter and tokenise the training corpus."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.checkpoint import Checkpoint
from engine.errors import BadRequestError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, default=Path("corpus"), metavar="FOLDER", help="default: corpus/")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="instead of the packaged manifest")
    parser.add_argument(
        "--downloads", type=Path, metavar="FOLDER", help="where archives are kept; default OUT/downloads"
    )
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="whose tokenizer; default the packaged model")
    parser.add_argument("--registry", action="append", choices=["pypi", "npm", "interpreter"], help="only these")
    parser.add_argument("--workers", type=int, default=2, help="processes that filter and tokenise; default 2")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when every package of the manifest is in, 1 when some had to be left out."""
    from engine.model import corpus

    if args.workers < 1:
        raise BadRequestError(f"--workers is {args.workers}: give at least 1")
    packages = corpus.read_manifest(args.manifest)
    if args.registry:
        packages = [p for p in packages if p.registry in args.registry]
    console = Console(highlight=False)
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bars:
        tasks = {}

        def tell(stage: str, done: int, total: int, note: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, note="")
            bars.update(tasks[stage], completed=done, note=note[:60])

        report = corpus.build(
            args.out, Checkpoint(args.model).tokenizer_file, packages, args.downloads, args.workers, args.seed, tell
        )
    for name, count in report.tokens.items():
        console.print(f"{name:>18}  {count / 1e6:7.2f} M tokens in {report.files[name]:,} files")
    console.print("dropped: " + ", ".join(f"{why} {n:,}" for why, n in report.dropped.items()))
    for why in report.refused.values():
        console.print(f"[red]left out[/red]  {why}", soft_wrap=True)
    return 1 if report.refused else 0
