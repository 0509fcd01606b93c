"""The model, its optimiser and running mean: one step, one evaluation, and the state that both leave."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, cast

import torch
import torch._dynamo.utils
from torch import Tensor

from engine.checkpoint import Checkpoint
from engine.model import speed
from engine.model.architecture import Layer, Transformer, from_checkpoint
from engine.model.batches import Batch
from engine.model.objective import losses
from engine.model.progress import say
from engine.model.recipe import Recipe
from engine.model.run_folder import RunError, RunFolder
from engine.model.totals import Totals

FALL = 0.6  # share of the time over which the rate falls
FLOOR = 0.05  # of the peak rate
GIVE_UP = 10  # gradients on end that are not finite


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
        self.skipped = 0  # steps on end
        self.model: Transformer = from_checkpoint(checkpoint).to(device)
        self.mean = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self.compiled = compiled
        if compiled:
            # All layers share one compilation for each of the batches' shapes, or one for all where rows are packed;
            # what cannot be compiled runs as it is.
            torch._dynamo.config.suppress_errors = True
            torch._dynamo.config.recompile_limit = 32
            for layer in cast("list[Layer]", self.model.layers):
                layer.compile(dynamic=False)
                layer.read = torch.compile(layer.read, dynamic=True)  # type: ignore[method-assign]
                layer.learn = torch.compile(layer.learn, dynamic=True)  # type: ignore[method-assign]
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

    def micro(self, batch: Batch, scale: float) -> Tensor:
        """Forward and backward of one micro-batch; what `Totals.read` reads, still on the device."""
        with torch.autocast(self.device.type, dtype=self.low or torch.bfloat16, enabled=self.low is not None):
            found = losses(self.model, batch, scale, self.recipe.soft, self.chunk)
        if found.total.requires_grad:
            found.total.backward()
        return found.by_kind.detach()

    def finish_step(self) -> float:
        """Clip, step, follow with the running mean; returns the gradient's norm.

        A step whose gradient is not finite counts, so that data and rate go on from it, and changes nothing.
        """
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip))
        self.step += 1
        if math.isfinite(norm):
            self.skipped = 0
            self.optimiser.step()
            self._follow()
        else:
            self.skipped += 1
            say(f"step {self.step} is left out: its gradient is {norm}")
        self.optimiser.zero_grad(set_to_none=True)
        if self.skipped >= GIVE_UP:
            raise RunError(f"{self.skipped} gradients on end are not finite: lower --rate, or look at the data")
        return norm

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(self.recipe.mean, self.step / (self.step + 9))
        live: list[Tensor] = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_([self.mean[n] for n, _ in self.model.named_parameters()], live, 1 - keep)

    def evaluate(self, batches: list[Batch]) -> dict[str, float]:
        """Nats a row by kind of the running mean, on held-out batches."""
        totals = Totals.of(self.measure(batches))
        return totals.means() | {f"{k} right": v for k, v in totals.hits().items() if k.startswith("masked")}

    @torch.no_grad()
    def measure(self, batches: list[Batch]) -> list[Totals]:
        """What the running mean makes of each held-out batch."""
        live = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self._put(self.mean)
        try:
            # As they are: to compile the layers for the shapes of a few held-out batches would take minutes.
            with torch.compiler.set_stance("force_eager"):
                found = [self.micro(batch.to(self.device), 0.0) for batch in batches]
        finally:
            self._put(live)
        return [Totals.read(by_kind) for by_kind in found]

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])


def compilations() -> dict[str, int]:
    """What came of compiling the layers so far: none but failures means that they run as they are."""
    counters = torch._dynamo.utils.counters
    frames = counters["frames"]
    return {
        "unique_graphs": counters["stats"]["unique_graphs"],
        "graph_breaks": sum(counters["graph_break"].values()),
        "failures": frames["total"] - frames["ok"],
    }
