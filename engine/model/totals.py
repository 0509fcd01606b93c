"""Losses by kind, summed over batches, as numbers of the host."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from engine.model.objective import KINDS


class Totals:
    """Nats, rows and hits by kind."""

    def __init__(self) -> None:
        self.sums = dict.fromkeys(KINDS, 0.0)
        self.counts = dict.fromkeys(KINDS, 0)
        self.right = dict.fromkeys(KINDS, 0)

    @classmethod
    def read(cls, by_kind: Tensor) -> Totals:
        """From `Losses.by_kind`, or a sum of some: waits for the device."""
        totals = cls()
        for kind, nats, rows, hits in zip(KINDS, *by_kind.tolist(), strict=True):
            totals.sums[kind], totals.counts[kind], totals.right[kind] = nats, round(rows), round(hits)
        return totals

    @classmethod
    def of(cls, parts: Iterable[Totals]) -> Totals:
        """All of some others."""
        totals = cls()
        for part in parts:
            for kind in KINDS:
                totals.sums[kind] += part.sums[kind]
                totals.counts[kind] += part.counts[kind]
                totals.right[kind] += part.right[kind]
        return totals

    def means(self) -> dict[str, float]:
        """Nats a row of the kinds that occurred."""
        return {k: round(self.sums[k] / self.counts[k], 4) for k in KINDS if self.counts[k]}

    def hits(self) -> dict[str, float]:
        """The share of rows whose best token is the true one."""
        return {k: round(self.right[k] / self.counts[k], 4) for k in KINDS if self.counts[k]}
