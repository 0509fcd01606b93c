"""Micro-batches: samples of one shape, their noised rows, and which rows the head must read.

Batch number j is a function of the seed and j alone, so that a resumed run sees what an uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.checkpoint import Reserved
from engine.model.noise import PLACES, Mix, Noiser
from engine.model.samples import Sampler

# (clean length, noised rows, share): short windows hold more middles for the same work, long ones are what is used.
SHAPES = ((208, 64, 0.25), (320, 80, 0.25), (672, 96, 0.5))
CONTEXT_TRAINED = 640  # tokens of a window in the longest of them, which leaves a middle some room
# Loss weights on the clean stream: of the context, which keeps what the base knows; of tokens that healing half gives
# away. The middle's other tokens have 1, and so has its <end>: with more, every token of every middle becomes an end by
# as much more, since one chance is taken from the other.
CONTEXT, HEALED = 0.3, 0.3

CLEAN_KINDS = ("context", "middle", "end", "repair")
NOISED_KINDS = ("masked context", "masked middle", "masked repair", "beyond the end")


@dataclass(slots=True)
class Batch:
    """Everything a forward and backward pass needs. T clean and N noised rows for each of B samples.

    `ids`, `positions` (B, T+N); `limits`, `blocks` (B, N) give the mask; `clean_rows` (C,) index B×T hidden states,
    `noised_rows` (R,) index B×N; both have targets, weights and kinds; `source` (R,) is the entry of `clean_rows` with
    the same target, or -1, and ascends; before entry c of `clean_rows` come `edges[c]` of them. `learns` (B, 3) has the
    row of `<middle>`, the row of `<end>` and the number of noised rows where only rows from the one to before the other
    learn, and those; it is None where all do.
    """

    ids: Tensor
    positions: Tensor
    limits: Tensor
    blocks: Tensor
    clean: int
    clean_rows: Tensor
    clean_targets: Tensor
    clean_weights: Tensor
    clean_kinds: Tensor
    noised_rows: Tensor
    noised_targets: Tensor
    noised_weights: Tensor
    noised_kinds: Tensor
    source: Tensor
    learns: Tensor | None
    edges: npt.NDArray[np.int64]  # (C+1,) not a tensor: it steers the host, which must not ask the device for it
    end: int  # the id of `<end>`

    def __getstate__(self) -> dict[str, Any]:
        """Arrays for tensors: what a process sends then goes through its pipe, and needs no shared memory."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {n: v.numpy() if isinstance(v, Tensor) else v for n, v in fields.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            array = isinstance(value, np.ndarray) and name != "edges"
            setattr(self, name, torch.from_numpy(value) if array else value)

    @property
    def count(self) -> int:
        """Positions computed, padding included."""
        return self.ids.numel()

    @property
    def weight(self) -> float:
        """The sum of all loss weights."""
        return float(self.clean_weights.sum() + self.noised_weights.sum())

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in memory that a GPU can read by itself; a data loader asks for it by this name."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        fields = {name: getattr(self, name) for name in self.__slots__}
        changed: dict[str, Any] = {n: change(v) for n, v in fields.items() if isinstance(v, Tensor)}
        return replace(self, **changed)

    def sees(self) -> Tensor:
        """Which of T+N rows each noised row sees: bool (B, N, T+N)."""
        clean = torch.arange(self.clean, device=self.limits.device) < self.limits[:, :, None]
        return torch.cat([clean, self.blocks[:, :, None] == self.blocks[:, None, :]], dim=2)


class Batches:
    """Makes micro-batch j; usable as a map-style dataset."""

    def __init__(
        self,
        sampler: Sampler,
        reserved: Reserved,
        positions: int,
        seed: int,
        mix: Mix | None = None,
        context_learns: bool = True,
    ) -> None:
        self.sampler = sampler
        self.context_learns = context_learns
        self.mix = mix or Mix()
        self.reserved = reserved
        self.positions = positions
        self.seed = seed
        # Numbers of samples must not depend on the shapes drawn before: each batch owns a range of them.
        self._stride = max(positions // (t + n) for t, n, _ in SHAPES) + 1

    def __getitem__(self, j: int) -> Batch:
        rng = np.random.default_rng([self.seed, 7, j])
        clean, noised, _ = SHAPES[int(rng.choice(len(SHAPES), p=[s for _, _, s in SHAPES]))]
        size = max(self.positions // (clean + noised), 1)
        return self._collate([self._one(j * self._stride + i, clean, noised) for i in range(size)], clean, noised)

    def _one(self, index: int, clean: int, noised: int) -> dict[str, np.ndarray]:
        sample = self.sampler.draw(index, clean)
        noiser = Noiser(sample, noised, self.reserved, np.random.default_rng([self.seed, 11, index]), self.mix)
        rows = noiser.fill(self.context_learns)
        n = len(sample.ids)
        ids = np.full(clean + noised, self.reserved.end, np.int64)
        positions = np.concatenate([np.arange(clean), np.zeros(noised, np.int64)])
        ids[:n] = sample.ids
        m = len(rows)
        ids[clean : clean + m] = rows.ids
        positions[clean : clean + m] = rows.positions
        limits, blocks = np.ones(noised, np.int64), np.full(noised, -1, np.int64)
        limits[:m], blocks[:m] = rows.limits, rows.blocks
        weights = np.zeros(clean, np.float32)
        kinds = np.zeros(clean, np.int64)
        noised_weights = np.zeros(noised, np.float32)
        noised_weights[:m] = rows.weights
        # The context's next-token loss falls where a noised row needs the distribution anyway.
        at = np.array(rows.positions, dtype=np.int64)
        if self.context_learns:
            weights[at[(at < n - 1) & (noised_weights[:m] > 0)]] = CONTEXT
        weights[sample.middle : sample.middle + sample.healed] = HEALED
        weights[sample.middle + sample.healed : n - 1] = 1.0
        kinds[sample.middle : n - 1] = CLEAN_KINDS.index("repair" if sample.repair else "middle")
        kinds[n - 2] = CLEAN_KINDS.index("end")
        by_place = {"prefix": "masked context", "beyond": "beyond the end"}
        by_place["middle"] = "masked repair" if sample.repair else "masked middle"
        noised_kinds = np.zeros(noised, np.int64)
        noised_kinds[:m] = np.array([NOISED_KINDS.index(by_place[p]) for p in PLACES])[rows.places]
        targets = np.zeros(noised, np.int64)
        targets[:m] = rows.targets
        source = np.full(noised, -1, np.int64)
        source[:m] = np.where(at < n - 1, at, -1)
        clean_targets = np.zeros(clean, np.int64)
        clean_targets[: n - 1] = sample.ids[1:]
        return {
            "ids": ids,
            "positions": positions,
            "limits": limits,
            "blocks": blocks,
            "clean_targets": clean_targets,
            "clean_weights": weights,
            "clean_kinds": kinds,
            "noised_targets": targets,
            "noised_weights": noised_weights,
            "noised_kinds": noised_kinds,
            "source": source,
            "learns": np.array([sample.middle, n - 1, m]),
        }

    def _collate(self, items: list[dict[str, np.ndarray]], clean: int, noised: int) -> Batch:
        stacked = {name: np.stack([item[name] for item in items]) for name in items[0]}
        clean_rows = np.flatnonzero(stacked["clean_weights"])
        noised_rows = np.flatnonzero(stacked["noised_weights"])
        entry = np.full(len(items) * clean, -1, np.int64)
        entry[clean_rows] = np.arange(len(clean_rows))
        source = stacked["source"].reshape(-1)[noised_rows]
        flat = np.where(source >= 0, noised_rows // noised * clean + source, 0)
        source = np.where(source >= 0, entry[flat], -1)
        # Rows with the same clean source lie together, so that the loss can walk both lists in step.
        order = np.argsort(source, kind="stable")
        noised_rows, source = noised_rows[order], source[order]

        def pick(name: str, rows: np.ndarray) -> Tensor:
            return torch.from_numpy(stacked[name].reshape(-1)[rows])

        return Batch(
            ids=torch.from_numpy(stacked["ids"]),
            positions=torch.from_numpy(stacked["positions"]),
            limits=torch.from_numpy(stacked["limits"]),
            blocks=torch.from_numpy(stacked["blocks"]),
            clean=clean,
            clean_rows=torch.from_numpy(clean_rows),
            clean_targets=pick("clean_targets", clean_rows),
            clean_weights=pick("clean_weights", clean_rows),
            clean_kinds=pick("clean_kinds", clean_rows),
            noised_rows=torch.from_numpy(noised_rows),
            noised_targets=pick("noised_targets", noised_rows),
            noised_weights=pick("noised_weights", noised_rows),
            noised_kinds=pick("noised_kinds", noised_rows),
            source=torch.from_numpy(source),
            learns=None if self.context_learns else torch.from_numpy(stacked["learns"]),
            edges=np.searchsorted(source, np.arange(len(clean_rows) + 1)),
            end=self.reserved.end,
        )
