"""The settings of a run, and those that suit a device."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.checkpoint import ModelConfig

GPU_STEP = 48_000  # positions
GPU_SHARE = 0.6  # of its memory, for what a micro-batch keeps for its backward pass


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
    context_learns: bool = True  # or it is only read, at a third of the price
    seed: int = 0

    def halve(self) -> None:
        """The same step in half the memory."""
        self.positions, self.accumulate = self.positions // 2, self.accumulate * 2


def new_recipe(seed: int, device: torch.device, config: ModelConfig) -> Recipe:
    """The settings that a new run on a device starts with."""
    recipe = Recipe(seed=seed, context_learns=device.type == "cuda")
    if device.type == "cuda":
        recipe.rate, recipe.warmup, recipe.mean = 4e-4, 100, 0.995
        recipe.positions, recipe.accumulate = GPU_STEP, 1
        memory = torch.cuda.get_device_properties(device).total_memory
        fit(recipe, config, memory)
    return recipe


def fit(recipe: Recipe, config: ModelConfig, memory: int) -> None:
    """Smaller micro-batches, and more of them a step, until one fits a card of so many bytes."""
    while recipe.positions > 3000 and recipe.positions * kept_bytes(config) > GPU_SHARE * memory:
        recipe.halve()


def kept_bytes(config: ModelConfig) -> int:
    """What a position keeps for the backward pass, at most: fp32 before each half of a layer, bf16 else."""
    c = config
    heads, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    # After both norms; query, key and value before and after their rotation; those of attention with each key head
    # repeated, and what attention gives; gate and up, and their product.
    bf16 = 2 * c.hidden + 2 * (heads + 2 * kv) + 6 * heads + 3 * c.intermediate
    return c.layers * (4 * 2 * c.hidden + 2 * bf16)
