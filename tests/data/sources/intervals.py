"""Sets of half-open integer intervals: union, intersection, difference, gaps and a compact text form.

Kept sorted and disjoint, so that every operation is linear in the number of intervals.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

SPAN = re.compile(r"\s*(-?\d+)\s*(?:\.\.\s*(-?\d+))?\s*")
EMPTY_TEXT = "(empty)"


class IntervalError(ValueError):
    """A malformed interval; the message names it."""


@dataclass(frozen=True, order=True)
class Interval:
    """The integers from `start` up to, but not including, `stop`."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.start > self.stop:
            raise IntervalError(f"{self.start} is greater than {self.stop}")

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.start <= value < self.stop

    def overlaps(self, other: Interval) -> bool:
        """Whether the two share at least one integer."""
        return self.start < other.stop and other.start < self.stop

    def touches(self, other: Interval) -> bool:
        """Whether the two overlap or are neighbours."""
        return self.start <= other.stop and other.start <= self.stop

    def clip(self, low: int, high: int) -> Interval | None:
        """The part of it inside [low, high); None when nothing is left."""
        start, stop = max(self.start, low), min(self.stop, high)
        if start >= stop:
            return None
        return Interval(start, stop)

    def __str__(self) -> str:
        if len(self) == 1:
            return str(self.start)
        return f"{self.start}..{self.stop - 1}"


class IntervalSet:
    """An immutable set of integers held as disjoint intervals."""

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        self._intervals: list[Interval] = merge(intervals)
        self._starts = [interval.start for interval in self._intervals]

    @classmethod
    def parse(cls, text: str) -> IntervalSet:
        """Read a form like "1..4, 7, 9..12", as `str` writes it."""
        if text.strip() in ("", EMPTY_TEXT):
            return cls()
        found = []
        for part in text.split(","):
            match = SPAN.fullmatch(part)
            if match is None:
                raise IntervalError(f"cannot read {part!r}: write one number or first..last")
            first = int(match.group(1))
            last = int(match.group(2)) if match.group(2) else first
            found.append(Interval(first, last + 1))
        return cls(found)

    @classmethod
    def of(cls, values: Iterable[int]) -> IntervalSet:
        """The set of the given integers."""
        return cls(Interval(value, value + 1) for value in values)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._intervals)

    def __len__(self) -> int:
        return sum(len(interval) for interval in self._intervals)

    def __bool__(self) -> bool:
        return bool(self._intervals)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IntervalSet):
            return NotImplemented
        return self._intervals == other._intervals

    def __hash__(self) -> int:
        return hash(tuple(self._intervals))

    def __contains__(self, value: int) -> bool:
        index = bisect.bisect_right(self._starts, value) - 1
        return index >= 0 and value in self._intervals[index]

    def __or__(self, other: IntervalSet) -> IntervalSet:
        return IntervalSet([*self._intervals, *other._intervals])

    def __and__(self, other: IntervalSet) -> IntervalSet:
        return IntervalSet(sweep(self._intervals, other._intervals, lambda a, b: a and b))

    def __sub__(self, other: IntervalSet) -> IntervalSet:
        return IntervalSet(sweep(self._intervals, other._intervals, lambda a, b: a and not b))

    def __xor__(self, other: IntervalSet) -> IntervalSet:
        return IntervalSet(sweep(self._intervals, other._intervals, lambda a, b: a != b))

    def __str__(self) -> str:
        if not self:
            return EMPTY_TEXT
        return ", ".join(str(interval) for interval in self._intervals)

    def span(self) -> Interval:
        """The smallest interval that holds the whole set."""
        if not self:
            raise IntervalError("an empty set has no span")
        return Interval(self._intervals[0].start, self._intervals[-1].stop)

    def gaps(self) -> IntervalSet:
        """The integers inside the span that are not in the set."""
        pairs = zip(self._intervals, self._intervals[1:])
        return IntervalSet(Interval(left.stop, right.start) for left, right in pairs)

    def shift(self, offset: int) -> IntervalSet:
        """Every integer moved by `offset`."""
        return IntervalSet(Interval(i.start + offset, i.stop + offset) for i in self._intervals)

    def clip(self, low: int, high: int) -> IntervalSet:
        """The part of the set inside [low, high)."""
        clipped = (interval.clip(low, high) for interval in self._intervals)
        return IntervalSet(interval for interval in clipped if interval is not None)

    def nearest(self, value: int) -> int:
        """The member closest to `value`; the smaller one of two that are equally close."""
        if not self:
            raise IntervalError("an empty set has no members")
        if value in self:
            return value
        best = None
        for interval in self._intervals:
            for edge in (interval.start, interval.stop - 1):
                if best is None or abs(edge - value) < abs(best - value):
                    best = edge
        assert best is not None
        return best


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Sorted, disjoint and without neighbours that touch."""
    result: list[Interval] = []
    for interval in sorted(intervals):
        if not len(interval):
            continue
        if result and result[-1].touches(interval):
            last = result.pop()
            interval = Interval(last.start, max(last.stop, interval.stop))
        result.append(interval)
    return result


def sweep(
    left: list[Interval],
    right: list[Interval],
    keep: Callable[[bool, bool], bool],
) -> list[Interval]:
    """The parts of the line where `keep(in left, in right)` holds, found by one sweep over all borders."""
    events = []
    for side, intervals in ((0, left), (1, right)):
        for interval in intervals:
            events.append((interval.start, side, True))
            events.append((interval.stop, side, False))
    events.sort(key=lambda event: event[0])
    inside = [False, False]
    result, begun = [], None
    index = 0
    while index < len(events):
        position = events[index][0]
        while index < len(events) and events[index][0] == position:
            _, side, entering = events[index]
            inside[side] = entering
            index += 1
        holds = keep(inside[0], inside[1])
        if holds and begun is None:
            begun = position
        elif not holds and begun is not None:
            result.append(Interval(begun, position))
            begun = None
    return result


def busy_report(bookings: dict[str, IntervalSet], day: Interval) -> list[str]:
    """One line for each room: how much of the day it is taken, and when it is free."""
    lines = []
    whole = IntervalSet([day])
    for room, taken in sorted(bookings.items()):
        today = taken & whole
        free = whole - today
        share = 100 * len(today) / len(day) if len(day) else 0.0
        lines.append(f"{room:<12} {share:5.1f}% taken, free: {free}")
    return lines
