"""How far two texts, or two sequences of tokens, are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Items = TypeVar("Items", str, list[int])


def common_prefix(a: Items, b: Items) -> int:
    """Length of the longest common prefix."""
    return _longest(min(len(a), len(b)), lambda start, stop: a[start:stop] == b[start:stop])


def common_suffix(a: Items, b: Items, most: int) -> int:
    """Length of the longest common suffix, `most` at most, which is no longer than either."""
    n, m = len(a), len(b)
    return _longest(most, lambda start, stop: a[n - stop : n - start] == b[m - stop : m - start])


def changed_span(old: str, new: str) -> tuple[int, int, int]:
    """The smallest replacement between two texts: (start, end in old, end in new)."""
    start = common_prefix(old, new)
    tail = common_suffix(old, new, min(len(old), len(new)) - start)
    return start, len(old) - tail, len(new) - tail


def _longest(most: int, alike: Callable[[int, int], bool]) -> int:
    """How far two sequences are alike, by bisection over slices: these are compared without a loop in Python."""
    if alike(0, most):
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if alike(low, middle):
            low = middle
        else:
            high = middle
    return low
