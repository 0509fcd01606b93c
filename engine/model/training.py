"""The training loop: batches → losses → step, within a time budget, ending in a saved and evaluated checkpoint always.

The schedule follows the clock: warm up, hold, and let the rate fall over the last three fifths of `--minutes`, so that
any amount of time is used whole. Resumable to the step: batch j is a function of the seed, the state holds the rest.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from engine.checkpoint import Checkpoint
from engine.errors import BadRequestError
from engine.model import curve, shards, speed
from engine.model.architecture import Transformer, from_checkpoint
from engine.model.batches import CLEAN_KINDS, NOISED_KINDS, Batch, Batches
from engine.model.manifest import CorpusError
from engine.model.objective import GOING_ON, losses
from engine.model.run_folder import RunError, RunFolder
from engine.model.samples import Sampler
from engine.vocabulary import Vocabulary

KINDS = (*CLEAN_KINDS, GOING_ON, *NOISED_KINDS)
FALL = 0.6  # share of the time over which the rate falls
FLOOR = 0.05  # of the peak rate
WORTH_COMPILING = 60  # minutes on a processor
WORTH_EVALUATING = 0.05  # share of the time between two saves that held-out losses may take
DEV_BATCHES = 16
DEV_SEED = 20_000


@dataclass(slots=True)
class Recipe:
    """The settings of a run, kept in its state; what is asked for again when it goes on holds from then on."""

    rate: float = 4e-5  # for batches as small as a processor's: more of it disturbs what the base knows
    positions: int = 2600
    accumulate: int = 2
    warmup: int = 25
    decay: float = 0.01
    beta2: float = 0.98
    clip: float = 1.0
    mean: float = 0.985  # of the running mean of the weights, a step
    soft: float = 0.4
    seed: int = 0


class Trainer:
    """A model, its optimiser and running mean, and where it is in its data."""

    def __init__(
        self, run: RunFolder, checkpoint: Checkpoint, recipe: Recipe, device: torch.device, compiled: bool = False
    ) -> None:
        self.run = run
        self.checkpoint = checkpoint
        self.recipe = recipe
        self.device = device
        self.low = speed.low_precision(device)
        self.step = 0
        self.minutes = 0.0
        self.model: Transformer = from_checkpoint(checkpoint).to(device)
        self.mean = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        if compiled:
            # All layers share one compilation for each of the batches' shapes; what cannot be compiled runs as it is.
            torch._dynamo.config.suppress_errors = True
            torch._dynamo.config.recompile_limit = 32  # shapes of batches, with and without gradients
            for layer in self.model.layers:
                layer.compile(dynamic=False)
        matrices = [p for p in self.model.parameters() if p.ndim == 2]
        vectors = [p for p in self.model.parameters() if p.ndim != 2]
        groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, recipe.beta2), fused=True)
        self.chunk = 2048 if device.type == "cuda" else 128

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs, as plain tensors and numbers."""
        return {
            "step": self.step,
            "minutes": self.minutes,
            "recipe": asdict(self.recipe),
            "weights": dict(self.model.named_parameters()),
            "mean": self.mean,
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state; `RunError` when it is of another model."""
        self.step, self.minutes = int(state["step"]), float(state["minutes"])
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                saved = state["weights"].get(name)
                if saved is None or saved.shape != parameter.shape:
                    raise RunError(f"the state in {self.run.folder} is of another model: {name} does not fit")
                parameter.copy_(saved)
                self.mean[name].copy_(state["mean"][name])
        self.optimiser.load_state_dict(state["optimiser"])

    def set_rate(self, progress: float) -> float:
        """The learning rate at `progress` (0 to 1) of the time budget."""
        warm = min(1.0, (self.step + 1) / self.recipe.warmup)
        fall = 1.0 if progress < 1 - FALL else max((1 - progress) / FALL, 0.0)
        rate = self.recipe.rate * warm * (FLOOR + (1 - FLOOR) * fall)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def micro(self, batch: Batch, scale: float) -> tuple[dict[str, float], dict[str, int], dict[str, int]]:
        """Forward and backward of one micro-batch: sums of nats, rows and hits by kind."""
        with torch.autocast(self.device.type, dtype=self.low or torch.bfloat16, enabled=self.low is not None):
            found = losses(self.model, batch, scale, self.recipe.soft, self.chunk)
        if found.total.requires_grad:
            found.total.backward()
        return found.sums, found.counts, found.right

    def finish_step(self) -> float:
        """Clip, step, follow with the running mean; returns the gradient's norm."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        if not math.isfinite(float(norm)):
            self.optimiser.zero_grad(set_to_none=True)
            raise RunError(f"the gradient is {float(norm)} at step {self.step}: lower --rate, or look at the data")
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(self.recipe.mean, self.step / (self.step + 9))
        with torch.no_grad():
            live: list[Tensor] = [p.detach() for p in self.model.parameters()]
            torch._foreach_lerp_([self.mean[n] for n, _ in self.model.named_parameters()], live, 1 - keep)
        return float(norm)

    def evaluate(self, batches: list[Batch]) -> dict[str, float]:
        """Nats a row by kind of the running mean, on held-out batches."""
        totals = Totals.of(self.measure(batches))
        return totals.means() | {f"{k} right": v for k, v in totals.hits().items() if k.startswith("masked")}

    @torch.no_grad()
    def measure(self, batches: list[Batch]) -> list[Totals]:
        """What the running mean makes of each held-out batch."""
        live = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self._put(self.mean)
        found = [Totals() for _ in batches]
        try:
            for totals, batch in zip(found, batches, strict=True):
                totals.add(*self.micro(batch.to(self.device), 0.0))
        finally:
            self._put(live)
        return found

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])


class Totals:
    """Sums by kind over some batches."""

    def __init__(self) -> None:
        self.sums = dict.fromkeys(KINDS, 0.0)
        self.counts = dict.fromkeys(KINDS, 0)
        self.right = dict.fromkeys(KINDS, 0)

    def add(self, sums: dict[str, float], counts: dict[str, int], right: dict[str, int]) -> None:
        """Add one batch's."""
        for kind in KINDS:
            self.sums[kind] += sums[kind]
            self.counts[kind] += counts[kind]
            self.right[kind] += right[kind]

    @classmethod
    def of(cls, parts: Iterable[Totals]) -> Totals:
        """All of some others."""
        totals = cls()
        for part in parts:
            totals.add(part.sums, part.counts, part.right)
        return totals

    def means(self) -> dict[str, float]:
        """Nats a row of the kinds that occurred."""
        return {k: round(self.sums[k] / self.counts[k], 4) for k in KINDS if self.counts[k]}

    def hits(self) -> dict[str, float]:
        """The share of rows whose best token is the true one."""
        return {k: round(self.right[k] / self.counts[k], 4) for k in KINDS if self.counts[k]}


class Interrupts:
    """SIGINT and SIGTERM as a wish to stop at the next border between micro-batches."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True


def stream(batches: Batches, start: int, workers: int) -> Iterator[Batch]:
    """Micro-batches from number `start` on, made ahead by `workers` processes (0: here)."""
    if not workers:
        j = start
        while True:
            yield batches[j]
            j += 1
    # One file descriptor for each tensor on its way would soon be more than a process may open.
    torch.multiprocessing.set_sharing_strategy("file_system")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    loader: Iterable[Batch] = torch.utils.data.DataLoader(
        batches,  # type: ignore[arg-type]
        batch_size=None,
        sampler=range(start, start + 10_000_000),
        num_workers=workers,
        prefetch_factor=4,
        pin_memory=torch.cuda.is_available(),
    )
    yield from loader


def train_command(args: argparse.Namespace) -> int:
    """`remask model train`."""
    if args.minutes <= 0:
        raise BadRequestError(f"--minutes is {args.minutes}: give a time budget above 0")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise BadRequestError("--device cuda: torch finds no CUDA device; leave it out to train on the processor")
    device = torch.device("cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        speed.keep_freed_memory()
    run = RunFolder(args.run)
    run.claim()
    try:
        return _train(args, run, device)
    finally:
        run.leave()


def _train(args: argparse.Namespace, run: RunFolder, device: torch.device) -> int:
    checkpoint = Checkpoint(args.start)
    state = run.load()
    recipe = Recipe(**state["recipe"]) if state else _new_recipe(args.seed + trained_steps(checkpoint), device)
    recipe.rate = args.rate or recipe.rate
    recipe.positions = args.positions or recipe.positions
    recipe.accumulate = args.accumulate or recipe.accumulate
    # On a processor minutes go into compiling, and a tenth of every step is saved.
    trainer = Trainer(run, checkpoint, recipe, device, device.type == "cuda" or args.minutes >= WORTH_COMPILING)
    if state:
        trainer.restore(state)
        say(f"going on at step {trainer.step}, {trainer.minutes:.1f} minutes in")
    del state
    reserved = checkpoint.config.reserved
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    found = shards.read(args.corpus)
    tokens = sum(len(s.tokens) for s in found)
    say(f"{tokens / 1e6:.1f} M tokens in {len(found)} shards; {device}, {trainer.low or 'fp32'}")
    more = functools.partial(shards.read, args.corpus) if args.watch else None
    sampler = Sampler(found, vocabulary, reserved, recipe.seed, more, args.watch or 0.0)
    batches = Batches(sampler, reserved, recipe.positions, recipe.seed)
    dev = dev_batches(args.corpus, vocabulary, checkpoint)
    rate = speed.product_rate(checkpoint.config, device, recipe.positions)
    unit = "second" if device.type == "cuda" else "core and second"
    say(f"plain products run at {rate / 1e9:.0f} G operations a {unit} here")
    with Interrupts() as interrupts:
        return _loop(args, trainer, batches, dev, rate, interrupts)


def _new_recipe(seed: int, device: torch.device) -> Recipe:
    recipe = Recipe(seed=seed)
    if device.type == "cuda":
        recipe.positions, recipe.accumulate, recipe.rate, recipe.warmup, recipe.mean = 24_000, 2, 4e-4, 100, 0.995
    return recipe


def trained_steps(checkpoint: Checkpoint) -> int:
    """Steps that led to these weights, as their release says: a run that goes on from them draws other samples."""
    raw = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
    return int(raw.get("remask", {}).get("training", {}).get("steps", 0))


def dev_batches(corpus: Path, vocabulary: Vocabulary, checkpoint: Checkpoint, number: int | None = None) -> list[Batch]:
    """The first `number` (all: `DEV_BATCHES`) held-out batches, always the same; none if the corpus holds none out."""
    try:
        held_out = shards.read(corpus, "dev")
    except CorpusError:
        return []
    reserved = checkpoint.config.reserved
    made = Batches(Sampler(held_out, vocabulary, reserved, DEV_SEED), reserved, 2600, DEV_SEED)
    return [made[j] for j in range(number or DEV_BATCHES)]


def _loop(
    args: argparse.Namespace, trainer: Trainer, batches: Batches, dev: list[Batch], rate: float, stop: Interrupts
) -> int:
    recipe, run, config = trainer.recipe, trainer.run, trainer.checkpoint.config
    workers = min(12, (torch.get_num_threads() or 2) - 2) if trainer.device.type == "cuda" else 0
    source = stream(batches, trainer.step * recipe.accumulate, max(workers, 0))
    peak = speed.peak(trainer.device)
    began, base = time.monotonic(), trainer.minutes
    saved, evaluating = time.monotonic(), 0.0
    if trainer.step == 0 and dev:
        _evaluate(trainer, dev)
        evaluating = time.monotonic() - saved
    while not stop.wanted and trainer.minutes < args.minutes and (args.steps is None or trainer.step < args.steps):
        if trainer.device.type == "cpu":
            torch.set_num_threads(threads_now())
        started, worked = time.perf_counter(), speed.clock(trainer.device)
        learning = trainer.set_rate(
            min(max(trainer.minutes / args.minutes, trainer.step / (args.steps or math.inf)), 1.0)
        )
        micro = [next(source) for _ in range(recipe.accumulate)]
        scale = 1.0 / max(sum(b.weight for b in micro), 1e-6)
        totals, positions, work = Totals(), 0, 0.0
        for batch in micro:
            if stop.wanted:
                break
            totals.add(*trainer.micro(batch.to(trainer.device), scale))
            positions += batch.count
            work += speed.operations(config, batch)
        if stop.wanted:
            break
        norm = trainer.finish_step()
        spent = time.perf_counter() - started
        trainer.minutes = base + (time.monotonic() - began) / 60
        record = {
            "step": trainer.step,
            "minutes": round(trainer.minutes, 3),
            "rate": learning,
            "loss": totals.means(),
            "right": totals.hits(),
            "norm": round(norm, 3),
            "positions_s": round(positions / spent, 1),
            "of_products": round(work / (speed.clock(trainer.device) - worked) / rate, 3),
        }
        if peak:
            record["of_peak"] = round(work / spent / peak, 3)
        _log(run, record)
        if trainer.step % 10 == 0 or trainer.step <= 3:
            say(describe(record))
        if time.monotonic() - saved > args.save_every * 60:
            save(trainer, dev if evaluating < WORTH_EVALUATING * args.save_every * 60 else [])
            saved = time.monotonic()
    trainer.optimiser.zero_grad(set_to_none=True)
    kept = save(trainer, [] if stop.wanted else dev)
    say("interrupted; the state is saved" if stop.wanted and kept else "done")
    if not kept:
        raise RunError(f"the last state could not be saved in {run.folder}: free some space and run again")
    return 130 if stop.wanted else 0


def save(trainer: Trainer, dev: list[Batch]) -> bool:
    """State, model folder, dev losses and curve; False, with the reason on stderr, when the disk does not take it."""
    run = trainer.run
    try:
        run.save(trainer.state())
        about = {"steps": trainer.step, "minutes": round(trainer.minutes, 1), "recipe": asdict(trainer.recipe)}
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
    except OSError as problem:
        say(f"the curve could not be drawn: {problem}")
    return True


def _evaluate(trainer: Trainer, dev: list[Batch]) -> None:
    """Held-out losses, to the log and the terminal."""
    record = {"step": trainer.step, "minutes": round(trainer.minutes, 3), "dev": trainer.evaluate(dev)}
    _log(trainer.run, record)
    say(describe(record))


def _log(run: RunFolder, record: dict[str, Any]) -> None:
    try:
        run.log(record)
    except OSError as problem:
        say(f"the log could not be written: {problem}")


def threads_now() -> int:
    """Threads that pay on a processor right now: where others are at work, threads only wait for one another."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return cores if load < 2.5 * cores else max(cores // 2, 1)


def describe(record: dict[str, Any]) -> str:
    """One record as a line for people."""
    found = record.get("loss") or record.get("dev") or {}
    parts = [f"{k} {found[k]:.3f}" for k in KINDS if k in found]
    head = f"step {record['step']} ({record['minutes']:.1f} min)"
    if "positions_s" in record:
        head += f" {record['positions_s']:.0f}/s {record['of_products']:.0%}"
    return f"{head}{' dev' if 'dev' in record else ''}: {', '.join(parts)}"


def say(line: str) -> None:
    """Progress goes to stderr, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
