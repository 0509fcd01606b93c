"""What each contested part of the objective is worth: the same short training with one part changed at a time.

Every variant starts from the same weights, sees the same samples, takes the same number of steps with the rate falling
to its floor, and is measured on the same held-out batches, noised as the default is. Only next to one another do the
figures mean anything: some minutes of training are far from what a part is worth after hours.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from engine.checkpoint import Checkpoint
from engine.errors import BadRequestError
from engine.model import shards
from engine.model.batches import Batch, Batches
from engine.model.evaluation.report import write_json
from engine.model.noise import Mix
from engine.model.run_folder import RunFolder
from engine.model.samples import Sampler
from engine.model.training import Recipe, Trainer, describe, dev_batches, say
from engine.vocabulary import Vocabulary

MEASURES = ("context", "middle", "end", "repair", "masked context", "masked middle", "masked repair")


@dataclass(frozen=True, slots=True)
class Variant:
    """One change: of the recipe, of the noise, or of the weight of the next-token loss."""

    name: str
    recipe: dict[str, float] = field(default_factory=dict)
    mix: dict[str, float] = field(default_factory=dict)
    next_token: float = 1.0


VARIANTS = (
    Variant("as it is"),
    Variant("true tokens only, no soft targets", recipe={"soft": 0.0}),
    Variant("soft targets only", recipe={"soft": 1.0}),
    Variant("no next-token loss", next_token=0.0),
    Variant("no complementary masks", mix={"complement": 0.0}),
    Variant("no wrong visible tokens", mix={"lies": 0.0}),
    Variant("drafts from full noise only", mix={"drafts": 1.0}),
    Variant("blocks only, no drafts", mix={"drafts": 0.0}),
)


def ablate(args: argparse.Namespace) -> int:
    """`remask model ablate`: a row a variant, held-out nats a row of each kind, and the change to `as it is`."""
    if args.steps < 1:
        raise BadRequestError(f"--steps is {args.steps}: give at least 1")
    for name in args.only or ():
        if name not in [v.name for v in VARIANTS]:
            raise BadRequestError(f"no variant {name!r}: there are {', '.join(repr(v.name) for v in VARIANTS)}")
    checkpoint = Checkpoint(args.start)
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    sampler = Sampler(shards.read(args.corpus), vocabulary, checkpoint.config.reserved, args.seed)
    dev = dev_batches(args.corpus, vocabulary, checkpoint)
    if not dev:
        raise BadRequestError(f"{args.corpus} has no held-out shards: build them with `remask model corpus`")
    rows: dict[str, dict[str, float]] = {}
    for variant in VARIANTS:
        if args.only and variant.name not in args.only:
            continue
        if not rows:
            rows["before"] = _trainer(checkpoint, args, Variant("before")).evaluate(dev)
            say(describe({"step": 0, "minutes": 0.0, "dev": rows["before"]}))
        rows[variant.name] = _train(checkpoint, args, variant, sampler, dev)
    Console(highlight=False).print(_table(rows, args))
    if args.json:
        write_json(args.json, {"steps": args.steps, "positions": args.positions, "rate": args.rate, "nats": rows})
    return 0


def _trainer(checkpoint: Checkpoint, args: argparse.Namespace, variant: Variant) -> Trainer:
    chosen: dict[str, Any] = {"rate": args.rate, "positions": args.positions, "accumulate": 1, "seed": args.seed}
    recipe = dataclasses.replace(Recipe(), **(chosen | {"warmup": max(args.steps // 8, 1)} | variant.recipe))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        return Trainer(RunFolder(Path(folder)), checkpoint, recipe, device)


def _train(
    checkpoint: Checkpoint, args: argparse.Namespace, variant: Variant, sampler: Sampler, dev: list[Batch]
) -> dict[str, float]:
    trainer = _trainer(checkpoint, args, variant)
    mix = dataclasses.replace(Mix(), **variant.mix)
    batches = Batches(sampler, checkpoint.config.reserved, args.positions, args.seed, mix)
    for step in range(args.steps):
        trainer.set_rate(step / args.steps)
        batch = batches[step].to(trainer.device)
        batch.clean_weights = batch.clean_weights * variant.next_token
        trainer.micro(batch, 1.0 / max(batch.weight, 1e-6))
        trainer.finish_step()
    found = trainer.evaluate(dev)
    say(f"{variant.name}: {describe({'step': args.steps, 'minutes': 0.0, 'dev': found})}")
    return found


def _table(rows: dict[str, dict[str, float]], args: argparse.Namespace) -> Table:
    title = f"Held-out nats a row after {args.steps} steps of {args.positions} positions, rate {args.rate:g}"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("objective", no_wrap=True)
    for name in MEASURES:
        table.add_column(name, justify="right")
    for name, found in rows.items():
        table.add_row(name, *(f"{found[m]:.3f}" if m in found else "" for m in MEASURES))
    return table
