"""Answers kept, so that typing along a suggestion costs nothing and never flickers.

A suggestion for `prefix | suffix` still holds while the text before the cursor is `prefix` and the beginning of the
suggestion, and the text after it is `suffix`, perhaps with closers that the editor added while typing.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

KEPT = 64
CHARACTERS = 8_000_000  # of all that is kept: each answer holds the text of its document
ADDED = re.compile(r"[)\]}\"'`>]{0,4}\Z")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer: what goes between `prefix` and `suffix`, best first, and the confidence of each."""

    uri: str
    prefix: str
    suffix: str
    middles: tuple[tuple[str, float], ...]
    wanted: int  # alternatives that were asked for


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of an answer at the present cursor; `over` closers after the cursor are part of it."""

    middles: tuple[tuple[str, float], ...]
    over: int


class TypeAlong:
    """The last answers of all documents."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Kept] = OrderedDict()
        self._next = 0
        self.hits = 0

    def keep(self, answer: Kept) -> None:
        """Remember an answer; the oldest is forgotten."""
        self._kept[self._next] = answer
        self._next += 1
        while len(self._kept) > KEPT or (len(self._kept) > 1 and self._characters() > CHARACTERS):
            self._kept.popitem(last=False)

    def _characters(self) -> int:
        return sum(len(answer.prefix) + len(answer.suffix) for answer in self._kept.values())

    def find(self, uri: str, prefix: str, suffix: str, wanted: int = 1) -> Rest | None:
        """What the newest fitting answer still says here; None when no answer fits, () when it said nothing."""
        for answer in reversed(self._kept.values()):
            if answer.uri != uri or answer.wanted < wanted or not prefix.startswith(answer.prefix):
                continue
            added = suffix.removesuffix(answer.suffix) if suffix.endswith(answer.suffix) else None
            if added is None or not ADDED.match(added):
                continue
            typed = prefix[len(answer.prefix) :]
            if not typed and not added:
                self.hits += 1
                return Rest(answer.middles, 0)
            rest = tuple(
                (left, confidence)
                for middle, confidence in answer.middles
                if middle.startswith(typed) and (left := middle[len(typed) :]) and all(c in left for c in added)
            )
            if rest:
                self.hits += 1
                return Rest(rest, len(added))
        return None

    def clear(self) -> None:
        """Drop all answers: another engine, or other settings, may say something else."""
        self._kept.clear()

    def forget(self, uri: str) -> None:
        """Drop a document's answers."""
        self._kept = OrderedDict((k, v) for k, v in self._kept.items() if v.uri != uri)
