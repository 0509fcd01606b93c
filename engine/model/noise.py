"""Noised rows over a clean stream: which blocks, which masks, which lies, and what each row must predict.

Two shapes, those that the two samplers put to the denoiser. A *draft* is m masks behind the causal rows, seeing all of
them (the `verified` sampler drafts so). A *block* is `[last known token, masks and visible tokens]`, seeing what is
before it (the `denoise` sampler). In both the shift is kept: the row at position p predicts token p+1. Complementary
masks after Fast-dLLM v2 (arXiv 2509.26328); wrong, missing and extra visible tokens after Seed Diffusion (2508.02193).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.checkpoint import Reserved
from engine.model.samples import Sample

DRAFT_SIZES = (
    1,
    1,
    2,
    3,
    3,
    7,
    15,
)  # the engine drafts 1 to 3 (calibration.py)
BLOCK_SIZES = (2, 3, 4, 6, 8, 8, 8, 8)  # it denoises blocks of 8, the last of them shorter
PASSES = 4  # tilings of the middle at most

# Weights of the losses, beside 1 for a middle's next token on the clean stream: noise makes answers cheap, not right.
# Prefixes fill what room middles leave, which is most of it.
MIDDLE, END, AFTER_END, CONTEXT = 0.6, 1.5, 0.15, 0.06


PLACES = ("prefix", "middle", "beyond")


@dataclass(frozen=True, slots=True)
class Mix:
    """Which noise, as shares. `drafts`: of blocks that are pure noise behind causal rows; `full`: of the others that
    are masked whole; `complement`: of partly masked blocks that come with their complement; `lies`: of partly masked
    blocks with wrong visible tokens."""

    drafts: float = 0.5
    full: float = 0.35
    complement: float = 0.6
    lies: float = 0.15


@dataclass(slots=True)
class Rows:
    """Noised rows, all lists of equal length: input id, position, target, loss weight, how many clean rows are seen,
    the block, and where the target stands: in the prefix, in the middle or behind its `<end>` (`PLACES`)."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


class Noiser:
    """Fills a number of rows with noised blocks: the middle's first, then of the prefix."""

    def __init__(
        self, sample: Sample, rows: int, reserved: Reserved, rng: np.random.Generator, mix: Mix | None = None
    ) -> None:
        self.sample = sample
        self.mix = mix or Mix()
        self.room = rows
        self.reserved = reserved
        self.rng = rng
        self.rows = Rows()
        self._block = 0

    def fill(self, prefix: bool = True) -> Rows:
        """All rows, at most the number asked for; without `prefix` those of the middle alone."""
        ids = self.sample.ids
        last = len(ids) - 2  # the row that predicts <end>
        for tiling in range(PASSES):
            anchor = self.sample.middle + self.sample.healed  # healed tokens are never written from noise
            if tiling:
                anchor += int(self.rng.integers(min(4, last - anchor + 1)))
            while anchor <= last and self.left >= 2:
                anchor += self._one(anchor, last, middle=True)
            if last - self.sample.middle - self.sample.healed > 24 or self.left < 24:
                break
        if not prefix:
            return self.rows
        first, stop = self.sample.prefix
        tries = 0
        while self.left >= 4 and stop - first > 8 and tries < 200:
            tries += 1
            self._one(int(self.rng.integers(first, stop - 4)), stop - 2, middle=False)
        return self.rows

    @property
    def left(self) -> int:
        """Rows that are still free."""
        return self.room - len(self.rows)

    def _one(self, anchor: int, last: int, middle: bool) -> int:
        """One block (and its complement) behind row `anchor`; returns how many tokens it covers."""
        rng = self.rng
        if rng.random() < self.mix.drafts:
            size = min(int(rng.choice(DRAFT_SIZES)), self.left)
            if not middle:
                size = min(size, last - anchor)
            if size < 1:
                return 1
            self._draft(anchor, size, last, middle)
            return size + 1
        size = min(int(rng.choice(BLOCK_SIZES)), self.left)
        if not middle:
            size = min(size, last - anchor + 1)
        if size < 2:
            return 1
        rate = 1.0 if rng.random() < self.mix.full else rng.uniform(0.1, 1.0)
        masked = rng.random(size - 1) < rate
        self._plain(anchor, masked, last, middle)
        if not masked.all() and rng.random() < self.mix.complement and self.left >= size:
            self._plain(anchor, ~masked, last, middle)
        return size

    def _add(self, token: int, position: int, weight: float, limit: int, middle: bool) -> None:
        rows, end = self.rows, self.reserved.end
        ids = self.sample.ids
        target = int(ids[position + 1]) if position + 1 < len(ids) else end
        if position + 1 >= len(ids):
            weight *= AFTER_END
        elif middle and target == end and position + 1 == len(ids) - 1:
            weight *= END
        rows.ids.append(token)
        rows.positions.append(position)
        rows.targets.append(target)
        rows.weights.append(weight * (MIDDLE if middle else CONTEXT))
        rows.limits.append(limit)
        rows.blocks.append(self._block)
        rows.places.append(PLACES.index("prefix" if not middle else "middle" if position + 1 < len(ids) else "beyond"))

    def _draft(self, anchor: int, size: int, last: int, middle: bool) -> None:
        """Masks at anchor+1 …, seeing the clean rows up to and including `anchor`."""
        for i in range(size):
            self._add(self.reserved.mask, anchor + 1 + i, 1.0, anchor + 1, middle)
        self._block += 1

    def _plain(self, anchor: int, masked: npt.NDArray[np.bool_], last: int, middle: bool) -> None:
        """A copy of the token at `anchor`, then its followers, some masked; a row counts when its target is hidden."""
        ids, r = self.sample.ids, self.reserved
        size = len(masked) + 1
        truth = [int(ids[p]) if p < len(ids) else r.end for p in range(anchor + 1, anchor + size)]
        shown = list(truth)
        if not masked.all() and self.rng.random() < self.mix.lies:
            shown = self._lie(truth, masked)
        hidden = [bool(m) or s != t for m, s, t in zip(masked, shown, truth, strict=True)] + [True]
        inputs = [int(ids[anchor]), *(r.mask if m else s for m, s in zip(masked, shown, strict=True))]
        for i, token in enumerate(inputs):
            self._add(token, anchor + i, 1.0 if hidden[i] else 0.0, anchor, middle)
        self._block += 1

    def _lie(self, truth: list[int], masked: npt.NDArray[np.bool_]) -> list[int]:
        """Visible tokens of which some are wrong: replaced, or shifted by one that is missing or extra."""
        shown, rng = list(truth), self.rng
        if rng.random() < 0.3 and len(shown) > 2:
            at = int(rng.integers(len(shown) - 1))
            if rng.random() < 0.5:
                shown = [*shown[:at], *shown[at + 1 :], shown[-1]]
            else:
                shown = [*shown[:at], int(rng.choice(self.sample.ids)), *shown[at:-1]]
        else:
            for i in np.flatnonzero(~masked):
                if rng.random() < 0.25:
                    shown[int(i)] = int(rng.choice(self.sample.ids))
        reserved = {self.reserved.suffix, self.reserved.prefix, self.reserved.middle, self.reserved.broken}
        return [t if s in reserved else s for s, t in zip(shown, truth, strict=True)]
