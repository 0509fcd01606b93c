"""Weights between those a run began with and those it ended with, at the share that held-out losses prefer.

A short run buys what it learns with some of what the base knew. On the straight line between both ends most of the
first is had for little of the second (WiSE-FT, Wortsman et al. 2021), at no cost but the measuring.
"""

from __future__ import annotations

import argparse

import torch
from rich.table import Table
from torch import Tensor

from engine.bench.speed import wide
from engine.checkpoint import Checkpoint
from engine.errors import BadRequestError
from engine.model import speed
from engine.model.architecture import from_checkpoint
from engine.model.export import find_checkpoint, refuse_taken
from engine.model.model_card import recipe_of
from engine.model.objective import KINDS
from engine.model.progress import log, say
from engine.model.recipe import Recipe
from engine.model.run_folder import RunFolder
from engine.model.trainer import Trainer
from engine.model.training import needed_dev_batches
from engine.vocabulary import Vocabulary

DECISIVE = ("middle", "masked middle")  # the losses whose sum is to be small


def interpolate(args: argparse.Namespace) -> int:
    """`remask model interpolate`: held-out nats a row for each share of the run, and the best as a model folder."""
    if args.held_out < 1 or not all(0 <= share <= 1 for share in args.shares):
        raise BadRequestError(
            f"--held-out {args.held_out}, --shares {' '.join(map(str, args.shares))}: give 1 batch or more, and shares "
            "from 0 (what the run began with) to 1 (what it ended with)"
        )
    base, ended = Checkpoint(args.base), find_checkpoint(args.run_folder)
    if base.config != ended.config:
        raise BadRequestError(
            f"{ended.folder} is of another shape than {base.folder}: name its base with --base FOLDER"
        )
    refuse_taken(args.out)
    dev = needed_dev_batches(args.corpus, Vocabulary(base.tokenizer_file), base, args.held_out)
    out = RunFolder(args.out)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        speed.keep_freed_memory()
    trainer = Trainer(out, base, Recipe(), device)
    first = dict(trainer.mean)
    last: dict[str, Tensor] = {n: p.detach() for n, p in from_checkpoint(ended).to(device).named_parameters()}
    rows: dict[float, dict[str, float]] = {}
    for share in sorted({0.0, *args.shares, 1.0}):
        trainer.mean = between(first, last, share)
        rows[share] = trainer.evaluate(dev)
        log(out, {"share": share, "dev": rows[share]})
        say(f"{share:g} of the run: " + ", ".join(f"{k} {rows[share][k]:.3f}" for k in KINDS if k in rows[share]))
    best = min(rows, key=lambda share: sum(rows[share].get(kind, 0.0) for kind in DECISIVE))
    log(out, {"share": best, "dev": rows[best]})  # what a card of the model tells
    out.save_model(base, between(first, last, best), recipe_of(ended) | {"share": best, "base": base.name})
    console = wide()
    console.print(_table(rows, len(dev)))
    console.print(f"{best:g} of the run has the lowest {' + '.join(DECISIVE)}: {out.folder / 'model'}")
    return 0


def between(first: dict[str, Tensor], last: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """`first` and `share` of the way to `last`, tensor by tensor of the same shapes."""
    return {name: torch.lerp(weight, last[name], share) for name, weight in first.items()}


def _table(rows: dict[float, dict[str, float]], batches: int) -> Table:
    title = f"Held-out nats a row over {batches} batches, by the share of the run in the weights"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("share", justify="right")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for share, found in rows.items():
        table.add_row(f"{share:g}", *(f"{found[k]:.3f}" if k in found else "" for k in KINDS))
    return table
