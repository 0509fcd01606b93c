"""What is measured, and how sure a difference is. Every figure is a ratio of two sums over cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

RESAMPLES = 4000
Sample = tuple[float, float]  # numerator and denominator of one case


@dataclass(slots=True)
class Measure:
    """One figure in several columns (samplers, or two models): `samples[column][i]` belongs to case i of all columns.

    `value` is sum of numerators / sum of denominators: a mean when the denominators are 1, else tokens a pass or nats a
    token.
    """

    group: str
    name: str
    higher_is_better: bool = True
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, column: str, numerator: float, denominator: float = 1.0) -> None:
        """Record one case."""
        self.samples.setdefault(column, []).append((float(numerator), float(denominator)))

    def count(self, column: str) -> int:
        """Cases of a column."""
        return len(self.samples.get(column, ()))

    def value(self, column: str) -> float:
        """The figure; NaN where nothing was measured."""
        return ratio(self.samples.get(column, ()))

    @property
    def binary(self) -> bool:
        """Whether each case is solved or not."""
        return all(n in (0.0, 1.0) and d == 1.0 for column in self.samples.values() for n, d in column)


def ratio(samples: Sequence[Sample]) -> float:
    """Sum of numerators over sum of denominators; NaN when there is nothing to divide by."""
    below = sum(d for _, d in samples)
    return sum(n for n, _ in samples) / below if below else math.nan


def paired_interval(a: Sequence[Sample], b: Sequence[Sample], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of value(b) - value(a) over the same cases: percentile bootstrap (Efron 1979), seeded."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} cases cannot be paired with {len(b)}")
    if not a:
        return math.nan, math.nan
    x, y = np.asarray(a), np.asarray(b)
    drawn = np.random.default_rng(seed).integers(0, len(a), (RESAMPLES, len(a)))
    with np.errstate(invalid="ignore", divide="ignore"):
        old, new = (z[drawn].sum(axis=1) for z in (x, y))
        low, high = np.nanpercentile(new[:, 0] / new[:, 1] - old[:, 0] / old[:, 1], [2.5, 97.5])
    return float(low), float(high)


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> float:
    """The two-sided exact p of McNemar's test (1947): how often chance splits the changed cases so unevenly."""
    lost = sum(x and not y for x, y in zip(a, b, strict=True))
    won = sum(y and not x for x, y in zip(a, b, strict=True))
    tail = sum(math.comb(lost + won, k) for k in range(min(lost, won) + 1)) / 2 ** (lost + won)
    return min(1.0, 2 * tail)


def edit_similarity(a: str, b: str) -> float:
    """1 - Levenshtein distance / longer length, over characters: 1.0 for equal texts."""
    if a == b:
        return 1.0
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (x != y)))
        previous = current
    return 1.0 - previous[-1] / max(len(a), len(b))
