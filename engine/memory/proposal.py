"""Drafts that cost no noise: what was written elsewhere behind the same tokens, and how far it can be relied on.

The longer the match, the likelier its next token holds, whether it is the first behind the match or one behind others
that held (which lengthen the match). So one curve over tokens that agree gives the chances of a whole draft.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

Curve = tuple[tuple[int, float], ...]  # from so many tokens that agree on, the chance that the next one does, too

# Printed by `remask bench memory --fit`.
IN_WORKSPACE: Curve = ((2, 0.404), (4, 0.582), (6, 0.664), (8, 0.753), (12, 0.818), (16, 0.906), (32, 0.969))
IN_WINDOW: Curve = ((1, 0.329), (2, 0.459), (3, 0.596), (4, 0.64), (5, 0.724), (6, 0.748), (8, 0.813), (16, 0.9))


class Proposal(NamedTuple):
    """Draft tokens, the chance of each if those before it hold, and how many tokens agree before the first."""

    tokens: list[int]
    chances: list[float]
    length: int = 0

    @property
    def first(self) -> float:
        """The chance of the first token; 0 when there is none."""
        return self.chances[0] if self.chances else 0.0

    def cut(self, most: int) -> Proposal:
        """Its first `most` tokens."""
        return Proposal(self.tokens[:most], self.chances[:most], self.length)


NOTHING = Proposal([], [])


def behind_match(tokens: list[int], length: int, curve: Curve) -> Proposal:
    """The proposal of `tokens`, found behind a match of `length` tokens."""
    return Proposal(tokens, [*_chances(len(tokens), length, curve)], length)


@lru_cache(512)
def _chances(count: int, length: int, curve: Curve) -> tuple[float, ...]:
    starts = [start for start, _ in curve]
    return tuple(curve[max(bisect_right(starts, length + i) - 1, 0)][1] for i in range(count))


def behind(tokens: list[int], written: list[int]) -> list[int]:
    """Those of a draft's tokens that come behind what is written; none where the two differ."""
    return tokens[len(written) :] if tokens[: len(written)] == written else []


def as_sure(tokens: list[int], chance: float) -> Proposal:
    """The proposal of `tokens` that hold together with this chance."""
    return Proposal(tokens, [chance ** (1 / len(tokens))] * len(tokens)) if tokens else NOTHING
