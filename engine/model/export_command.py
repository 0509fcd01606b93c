"""`remask model export`: a training run's checkpoint as a model folder to ship, and what rounding costs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.caches import CachePool
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.errors import BadRequestError
from engine.graph import Precision
from engine.model.evaluation.cases import CUTTERS, Case, build_cases
from engine.model.evaluation.documents import DEV, read_documents
from engine.model.evaluation.losses import measure_loss
from engine.model.evaluation.measures import Measure, paired_interval
from engine.model.export import MAX_TOTAL, Rounded, export, find_checkpoint
from engine.model.model_card import model_card
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

MLP, EVERYTHING = ("mlp",), ("",)  # parts of names whose matrices take four bits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a training run's folder, or a model folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="the model folder to be made")
    parser.add_argument("--dev", type=Path, default=DEV, metavar="FILE", help=f"held-out documents (default {DEV})")
    parser.add_argument("--cursors", type=int, default=12, metavar="N", help="of each kind and language, for the table")
    parser.add_argument("--no-comparison", action="store_true", help="only write the folder")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the folder was written; 2 for bad input."""
    if args.cursors < 1:
        raise BadRequestError(f"--cursors must be at least 1, not {args.cursors}")
    console = Console()
    if not console.is_terminal:
        console.width = 160
    checkpoint = find_checkpoint(args.run_folder)
    compare = not args.no_comparison
    cases: list[Case] = []
    if compare:
        cases = build_cases(read_documents(args.dev, (), args.seed), CUTTERS, args.cursors, args.seed)
    sizes = export(checkpoint, args.out)
    figures: list[dict[str, Any]] = []
    if compare:
        with console.status("measuring what rounding costs"):
            measures, bytes_of = rounding_losses(checkpoint, args.out, cases, args.seed)
        table, figures = _table(measures, bytes_of, args.seed)
        console.print(table)
    card = model_card(checkpoint, Checkpoint(args.out), args.run_folder, figures)
    (args.out / "README.md").write_text(card, encoding="utf-8")
    total = sum(sizes.values())
    console.print(
        f"{args.out}: {total / 1e6:.1f} MB in {len(sizes) + 1} files, the largest {max(sizes.values()) / 1e6:.1f} MB"
    )
    if total > MAX_TOTAL:
        console.print(
            f"More than {MAX_TOTAL / 1e6:.0f} MB: usable with --model, too large for the package.", style="yellow"
        )
    console.print(f"Compare it: remask model eval --against {args.out}", style="dim")
    return 0


def rounding_losses(
    checkpoint: Checkpoint, exported: Path, cases: Sequence[Case], seed: int
) -> tuple[list[Measure], dict[str, int]]:
    """Both losses on true middles for each stored form, and the bytes that each takes."""
    next_token = Measure("middles", "next-token loss", higher_is_better=False)
    masked = Measure("middles", "masked loss", higher_is_better=False)
    shipped = Checkpoint(exported)
    folder = checkpoint.folder
    forms: list[tuple[str, Checkpoint, Precision, tuple[str, ...]]] = [
        ("fp32", checkpoint, "fp32", ()),
        ("int8 rows, weights alone", Rounded(folder, ()), "fp32", ()),
        ("int8 rows, as it runs", shipped, "int8", ()),
        ("MLP int4, rest int8, weights alone", Rounded(folder, MLP), "fp32", MLP),
        ("int4, weights alone", Rounded(folder, EVERYTHING), "fp32", EVERYTHING),
    ]
    sizes = {}
    for name, form, precision, four in forms:
        sizes[name] = Rounded(folder, four).bytes_stored(dense=name == "fp32")
        denoiser = Denoiser(form, choose("cpu"), precision)
        vocabulary = Vocabulary(form.tokenizer_file)
        windows = WindowBuilder(vocabulary, form.config.reserved, Budget(total=form.config.context))
        caches = CachePool(denoiser, limit=1)
        for case in cases:
            loss = measure_loss(vocabulary, windows, caches, case, seed)
            next_token.add(name, loss.next_token, loss.tokens)
            masked.add(name, loss.masked, loss.masks)
    return [next_token, masked], sizes


def _table(measures: Sequence[Measure], sizes: Mapping[str, int], seed: int) -> tuple[Table, list[dict[str, Any]]]:
    cases = measures[0].count("fp32")
    table = Table(title=f"What rounding costs, nats a token over {cases} held-out middles", title_justify="left")
    for head in ("stored as", "MB", *(f"{m.name}{extra}" for m in measures for extra in ("", ", more than fp32"))):
        table.add_column(head, justify="left" if head == "stored as" else "right")
    figures = []
    for name, size in sizes.items():
        cells, figure = [], {"stored_as": name, "megabytes": round(size / 1e6, 1)}
        for m in measures:
            low, high = paired_interval(m.samples["fp32"], m.samples[name], seed)
            more = m.value(name) - m.value("fp32")
            cells += [f"{m.value(name):.4f}", f"{more:+.4f} ({low:+.4f} … {high:+.4f})" if name != "fp32" else ""]
            figure[m.name] = round(m.value(name), 4)
        table.add_row(name, f"{size / 1e6:.1f}", *cells)
        figures.append(figure)
    return table, figures
