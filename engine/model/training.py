"""The training loop: batches → losses → step, within a time budget, ending in a saved and evaluated checkpoint always.

The schedule follows the clock: warm up, hold, and let the rate fall over the last three fifths of `--minutes`, so that
any amount of time is used whole. Resumable to the step: batch j is a function of the seed, the state holds the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from engine.checkpoint import Checkpoint
from engine.errors import BadRequestError
from engine.model import curve, loader, shards, speed
from engine.model.batches import CONTEXT_TRAINED, Batch, Batches
from engine.model.corpus_report import held_out
from engine.model.processes import cores
from engine.model.progress import describe, log, say
from engine.model.recipe import Recipe, new_recipe
from engine.model.run_folder import RunError, RunFolder
from engine.model.samples import Sampler
from engine.model.totals import Totals
from engine.model.trainer import Trainer, compilations
from engine.vocabulary import Vocabulary

WORTH_COMPILING = 60  # minutes on a processor
WORTH_EVALUATING = 0.05  # share of the time between two saves that held-out losses may take on a processor
COMPILED_BY = 10  # steps; by then all shapes of batches were seen, most likely
DEV_BATCHES = 16
DEV_SEED = 20_000


class Interrupts:
    """SIGINT and SIGTERM as a wish to stop at the next border between micro-batches; SIGCONT as the end of a rest.

    A run that steps aside for something else (SIGSTOP) is not at work.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._rested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        if hasattr(signal, "SIGCONT"):
            self._before[signal.SIGCONT] = signal.signal(signal.SIGCONT, self._go_on)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        self._rested = True

    def rested(self) -> bool:
        """Whether the process was stopped since this was last asked."""
        rested, self._rested = self._rested, False
        return rested


def train_command(args: argparse.Namespace) -> int:
    """`remask model train`."""
    for name in ("minutes", "steps", "rate", "positions", "accumulate", "save_every", "state_every"):
        if (value := getattr(args, name)) is not None and value <= 0:
            raise BadRequestError(f"--{name.replace('_', '-')} is {value}: give a number above 0")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise BadRequestError("--device cuda: torch finds no CUDA device; --device cpu trains on the processor")
    device = torch.device("cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        speed.keep_freed_memory()
    run = RunFolder(args.run)
    run.claim()
    try:
        with Interrupts() as stop:
            return _train(args, run, device, stop)
    finally:
        run.leave()


def _train(args: argparse.Namespace, run: RunFolder, device: torch.device, stop: Interrupts) -> int:
    checkpoint = Checkpoint(args.start)
    state = run.load()
    recipe = Recipe(**state["recipe"]) if state else _first_recipe(args, checkpoint, device)
    recipe.rate = args.rate or recipe.rate
    recipe.positions = args.positions or recipe.positions
    recipe.accumulate = args.accumulate or recipe.accumulate
    if args.context_learns is not None:
        recipe.context_learns = args.context_learns
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    # Processes that make batches are forked here: later this one is large, and has threads and a GPU.
    source = _data(args, recipe, checkpoint, vocabulary, int(state["step"]) if state else 0, device)
    dev = dev_batches(args.corpus, vocabulary, checkpoint)
    # On a processor minutes go into compiling, and a tenth of every step is saved.
    trainer = Trainer(run, checkpoint, recipe, device, device.type == "cuda" or args.minutes >= WORTH_COMPILING)
    if state:
        trainer.restore(state)
        say(f"going on at step {trainer.step}, {trainer.minutes:.1f} minutes in")
    del state
    if args.deadline is not None:
        args.minutes = min(args.minutes, trainer.minutes + (args.deadline - time.time()) / 60)
    say(f"{device}, {trainer.low or 'fp32'}, {recipe.accumulate} times {recipe.positions} positions a step")
    rate = speed.product_rate(checkpoint.config, device, recipe.positions)
    unit = "second" if device.type == "cuda" else "core and second"
    say(f"plain products run at {rate / 1e9:.0f} G operations a {unit} here")
    try:
        return _loop(args, trainer, source, dev, rate, stop)
    except RunError:
        raise
    except Exception as failure:
        _rescue(trainer, failure)
        raise


def _first_recipe(args: argparse.Namespace, checkpoint: Checkpoint, device: torch.device) -> Recipe:
    return new_recipe(args.seed + trained_steps(checkpoint), device, checkpoint.config)


def _data(
    args: argparse.Namespace,
    recipe: Recipe,
    checkpoint: Checkpoint,
    vocabulary: Vocabulary,
    step: int,
    device: torch.device,
) -> Iterator[Batch]:
    """The run's micro-batches from a step on, the first of them made."""
    found = shards.read(args.corpus)
    say(f"{sum(len(s.tokens) for s in found) / 1e6:.1f} M tokens in {len(found)} shards")
    more = functools.partial(shards.read, args.corpus) if args.watch else None
    reserved = checkpoint.config.reserved
    sampler = Sampler(found, vocabulary, reserved, recipe.seed, more, args.watch or 0.0)
    batches = Batches(sampler, reserved, recipe.positions, recipe.seed, context_learns=recipe.context_learns)
    source = loader.stream(batches, step * recipe.accumulate, loader.workers(device), device.type == "cuda")
    return itertools.chain([next(source)], source)


def trained_steps(checkpoint: Checkpoint) -> int:
    """Steps that led to these weights, as their release says: a run that goes on from them draws other samples."""
    raw = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
    return int(raw.get("remask", {}).get("training", {}).get("steps", 0))


def dev_batches(corpus: Path, vocabulary: Vocabulary, checkpoint: Checkpoint, number: int | None = None) -> list[Batch]:
    """The first `number` (all: `DEV_BATCHES`) held-out batches, always the same; none if the corpus holds none out."""
    if not (found := held_out(corpus)):
        return []
    reserved = checkpoint.config.reserved
    made = Batches(Sampler(found, vocabulary, reserved, DEV_SEED), reserved, 2600, DEV_SEED)
    return [made[j] for j in range(number or DEV_BATCHES)]


def needed_dev_batches(corpus: Path, vocabulary: Vocabulary, checkpoint: Checkpoint, number: int) -> list[Batch]:
    """`dev_batches`; `BadRequestError` where there are none."""
    if not (found := dev_batches(corpus, vocabulary, checkpoint, number)):
        raise BadRequestError(f"{corpus} has no held-out shards: build them with `remask model corpus`")
    return found


def _loop(
    args: argparse.Namespace, trainer: Trainer, source: Iterator[Batch], dev: list[Batch], rate: float, stop: Interrupts
) -> int:
    last, first = time.monotonic(), trainer.step
    if trainer.step == 0 and dev:
        _evaluate(trainer, dev)
    evaluating = time.monotonic() - last
    # A GPU is through with them in seconds, and the first time of all, which is counted here, is its slowest.
    often = dev if trainer.device.type == "cuda" or evaluating < WORTH_EVALUATING * args.save_every * 60 else []
    saved = whole = time.monotonic()
    while not stop.wanted and trainer.minutes < args.minutes and (args.steps is None or trainer.step < args.steps):
        found = _step(args, trainer, source, rate, stop)
        if found is None:
            break
        now = time.monotonic()
        trainer.minutes += 0.0 if stop.rested() else (now - last) / 60
        last = now
        record = {"step": trainer.step, "minutes": round(trainer.minutes, 3)} | found
        log(trainer.run, record)
        if trainer.step % 10 == 0 or trainer.step <= 3:
            say(describe(record))
        if trainer.compiled and trainer.step - first == COMPILED_BY:
            _report(trainer, "compiled", compilations())
        if now - saved > args.save_every * 60:
            state = now - whole > (args.state_every or 0.0) * 60
            save(trainer, often, state)
            saved = time.monotonic()
            whole = saved if state else whole
    trainer.optimiser.zero_grad(set_to_none=True)
    kept = save(trainer, [] if stop.wanted else dev)
    say("interrupted; the state is saved" if stop.wanted and kept else "done")
    if not kept:
        raise RunError(f"the last state could not be saved in {trainer.run.folder}: free some space and run again")
    return 130 if stop.wanted else 0


def _step(
    args: argparse.Namespace, trainer: Trainer, source: Iterator[Batch], rate: float, stop: Interrupts
) -> dict[str, Any] | None:
    """One step, and what the log says of it; None when it was interrupted."""
    if trainer.device.type == "cpu":
        torch.set_num_threads(threads_now())
    started, worked = time.perf_counter(), speed.clock(trainer.device)
    progress = max(trainer.minutes / args.minutes, trainer.step / (args.steps or math.inf))
    learning = trainer.set_rate(min(progress, 1.0))
    batches = [next(source) for _ in range(trainer.recipe.accumulate)]
    waited = time.perf_counter() - started
    scale = 1.0 / max(sum(b.weight for b in batches), 1e-6)
    found = []
    for batch in batches:
        if stop.wanted:
            return None
        found.append(trainer.micro(batch.to(trainer.device), scale))
    if stop.wanted:
        return None
    totals = Totals.read(torch.stack(found).sum(0))
    norm = trainer.finish_step()
    spent = time.perf_counter() - started
    work = sum(speed.operations(trainer.checkpoint.config, b) for b in batches)
    record: dict[str, Any] = {
        "rate": learning,
        "loss": totals.means(),
        "right": totals.hits(),
        "norm": round(norm, 3),
        "positions_s": round(sum(b.count for b in batches) / spent, 1),
        "of_products": round(work / (speed.clock(trainer.device) - worked) / rate, 3),
        "waited": round(waited / spent, 3),
    }
    if peak := speed.peak(trainer.device):
        record["of_peak"] = round(work / spent / peak, 3)
    return record


def save(trainer: Trainer, dev: list[Batch], state: bool = True) -> bool:
    """State, model folder, dev losses and curve; False, with the reason on stderr, when the disk does not take it."""
    run = trainer.run
    steps = trained_steps(trainer.checkpoint) + trainer.step
    context = min(CONTEXT_TRAINED, trainer.checkpoint.config.positions)
    about = {"steps": steps, "minutes": round(trainer.minutes, 1), "context": context, "recipe": asdict(trainer.recipe)}
    try:
        if state:
            run.save(trainer.state())
        run.save_model(trainer.checkpoint, trainer.mean, about)
    except OSError as problem:
        say(f"could not save ({problem}): the state before is kept; free some space in {run.folder}")
        return False
    if dev:
        _evaluate(trainer, dev)
    try:
        curve.draw(run.log_file, run.folder / "curve.png")
    except ImportError:
        pass  # a training machine without matplotlib still trains
    except Exception as problem:  # no picture is worth a run
        say(f"the curve could not be drawn: {problem}")
    return True


def _rescue(trainer: Trainer, failure: Exception) -> None:
    """Keep what a run that failed has learnt since its last save, where the device still gives it back."""
    say(f"{type(failure).__name__} at step {trainer.step}: saving the state")
    if isinstance(failure, torch.OutOfMemoryError):
        trainer.recipe.halve()  # what goes on from this state fits
    trainer.optimiser.zero_grad(set_to_none=True)
    with contextlib.suppress(Exception):  # the failure itself is what is reported
        save(trainer, [])


def _evaluate(trainer: Trainer, dev: list[Batch]) -> None:
    """Held-out losses, to the log and the terminal."""
    _report(trainer, "dev", trainer.evaluate(dev))


def _report(trainer: Trainer, of: str, found: dict[str, Any]) -> None:
    record = {"step": trainer.step, "minutes": round(trainer.minutes, 3), of: found}
    log(trainer.run, record)
    say(describe(record))


def threads_now() -> int:
    """Threads that pay on a processor right now: where others are at work, threads only wait for one another."""
    most = cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return most if load < 2.5 * most else max(most // 2, 1)
