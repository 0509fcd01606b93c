"""How far two texts, or two sequences of tokens, are alike."""

from __future__ import annotations

from typing import TypeVar

Sequence = TypeVar("Sequence", str, list[int])


def common_prefix(a: Sequence, b: Sequence) -> int:
    """Length of the longest common prefix, by bisection over slices: these are compared without a loop in Python."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def common_suffix(a: Sequence, b: Sequence, most: int) -> int:
    """Length of the longest common suffix, `most` at most, in the same way; `most` is no longer than either."""
    ends = len(a), len(b)
    low, high = 0, most
    if a[ends[0] - high :] == b[ends[1] - high :]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[ends[0] - middle : ends[0] - low] == b[ends[1] - middle : ends[1] - low]:
            low = middle
        else:
            high = middle
    return low


def changed_span(old: str, new: str) -> tuple[int, int, int]:
    """The smallest replacement between two texts: (start, end in old, end in new)."""
    start = common_prefix(old, new)
    tail = common_suffix(old, new, min(len(old), len(new)) - start)
    return start, len(old) - tail, len(new) - tail
