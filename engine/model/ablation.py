"""What each contested part of the objective is worth: the same short training with one part changed at a time.

Every variant starts from the same weights, sees the same samples, takes the same number of steps with the rate falling
to its floor, and is measured on the same held-out batches, noised as the default is. Only next to one another do the
figures mean anything: some minutes of training are far from what a part is worth after hours.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from engine.bench.speed import wide
from engine.checkpoint import Checkpoint
from engine.errors import BadRequestError
from engine.model import shards, speed
from engine.model.batches import Batches
from engine.model.evaluation.report import write_json
from engine.model.noise import Mix
from engine.model.objective import KINDS
from engine.model.progress import describe, say
from engine.model.recipe import Recipe
from engine.model.run_folder import RunFolder
from engine.model.samples import Sampler
from engine.model.totals import Totals
from engine.model.trainer import Trainer
from engine.model.training import needed_dev_batches
from engine.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Variant:
    """One change: of the recipe, of the noise, or of the weight of the next-token loss."""

    name: str
    recipe: dict[str, Any] = field(default_factory=dict)
    mix: dict[str, float] = field(default_factory=dict)
    next_token: float = 1.0


BEFORE, AS_IT_IS = "before", "as it is"
VARIANTS = (
    Variant(AS_IT_IS),
    Variant("true tokens only, no soft targets", recipe={"soft": 0.0}),
    Variant("soft targets only", recipe={"soft": 1.0}),
    Variant("a context that is only read", recipe={"context_learns": False}),
    Variant("no next-token loss", next_token=0.0),
    Variant("no complementary masks", mix={"complement": 0.0}),
    Variant("no wrong visible tokens", mix={"lies": 0.0}),
    Variant("drafts from full noise only", mix={"drafts": 1.0}),
    Variant("blocks only, no drafts", mix={"drafts": 0.0}),
)


def ablate(args: argparse.Namespace) -> int:
    """`remask model ablate`: a row a variant, the change of held-out nats a row of each kind to `as it is`."""
    if args.steps < 1 or args.held_out < 2:
        raise BadRequestError(f"--steps {args.steps}, --held-out {args.held_out}: give at least 1 and 2")
    for name in args.only or ():
        if name not in [v.name for v in VARIANTS]:
            raise BadRequestError(f"no variant {name!r}: there are {', '.join(repr(v.name) for v in VARIANTS)}")
    if not torch.cuda.is_available():
        speed.keep_freed_memory()
    checkpoint = Checkpoint(args.start)
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    sampler = Sampler(shards.read(args.corpus), vocabulary, checkpoint.config.reserved, args.seed)
    dev = needed_dev_batches(args.corpus, vocabulary, checkpoint, args.held_out)
    rows: dict[str, Measured] = {}
    for variant in (Variant(BEFORE), *VARIANTS):
        if args.only and variant.name not in (BEFORE, *args.only):
            continue
        trainer = _trainer(checkpoint, args, variant)
        if variant.name != BEFORE:
            _train(trainer, args, variant, sampler)
        rows[variant.name] = Measured(trainer.measure(dev))
        say(f"{variant.name}: {describe({'step': trainer.step, 'minutes': 0.0, 'dev': rows[variant.name].means})}")
        if args.json:  # as it goes: hours of training are not lost to an interrupt
            nats = {name: row.means for name, row in rows.items()}
            write_json(args.json, {"steps": args.steps, "positions": args.positions, "rate": args.rate, "nats": nats})
    wide().print(_table(rows, args))
    return 0


class Measured:
    """Held-out nats a row, by kind: over all batches (`means`), and against another model on the same batches."""

    def __init__(self, batches: list[Totals]) -> None:
        self.batches = batches
        self.means = Totals.of(batches).means()

    def change(self, other: Measured, kind: str) -> tuple[float, float] | None:
        """(difference to `other`, its standard error), paired by batch; None when fewer than two batches have rows."""
        pairs = [(a, b) for a, b in zip(self.batches, other.batches, strict=True) if a.counts[kind]]
        if len(pairs) < 2:
            return None
        gains = [a.sums[kind] - b.sums[kind] for a, b in pairs]
        rows = [a.counts[kind] for a, _ in pairs]
        mean = sum(gains) / sum(rows)
        squares = sum((gain - mean * n) ** 2 for gain, n in zip(gains, rows, strict=True))
        return mean, math.sqrt(squares * len(pairs) / (len(pairs) - 1)) / sum(rows)


def _trainer(checkpoint: Checkpoint, args: argparse.Namespace, variant: Variant) -> Trainer:
    chosen: dict[str, Any] = {"rate": args.rate, "positions": args.positions, "accumulate": 1, "seed": args.seed}
    recipe = dataclasses.replace(Recipe(), **(chosen | {"warmup": max(args.steps // 8, 1)} | variant.recipe))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        return Trainer(RunFolder(Path(folder)), checkpoint, recipe, device)


def _train(trainer: Trainer, args: argparse.Namespace, variant: Variant, sampler: Sampler) -> None:
    mix = dataclasses.replace(Mix(), **variant.mix)
    batches = Batches(
        sampler, trainer.checkpoint.config.reserved, args.positions, args.seed, mix, trainer.recipe.context_learns
    )
    for step in range(args.steps):
        trainer.set_rate(step / args.steps)
        batch = batches[step].to(trainer.device)
        batch.clean_weights = batch.clean_weights * variant.next_token
        trainer.micro(batch, 1.0 / max(batch.weight, 1e-6))
        trainer.finish_step()


def _table(rows: dict[str, Measured], args: argparse.Namespace) -> Table:
    title = (
        f"Held-out nats a row after {args.steps} steps of {args.positions} positions, rate {args.rate:g}; "
        f"below `{AS_IT_IS}`: the change to it and its standard error over {args.held_out} batches"
    )
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("objective", no_wrap=True)
    for kind in KINDS:
        table.add_column(kind, justify="right")
    reference = rows.get(AS_IT_IS)
    for name, found in rows.items():
        table.add_row(name, *(_cell(found, None if name in (BEFORE, AS_IT_IS) else reference, k) for k in KINDS))
    return table


def _cell(found: Measured, reference: Measured | None, kind: str) -> str:
    if reference is None:
        return f"{found.means[kind]:.3f}" if kind in found.means else ""
    change = found.change(reference, kind)
    return "" if change is None else f"{change[0]:+.3f} ± {change[1]:.3f}"
