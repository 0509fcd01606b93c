"""Small edits, one after the other, until a unit parses: a best-first search that counts reading on as progress.

A unit is a run of top-level lines (grammars/units.py). One edit is tried first; where none is enough, those that let
the parser read furthest beyond the stop are kept and the search goes on behind them (the forward move of Corchuelo
et al. 2002, on sequences of edits instead of one).
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

import grammars
from grammars import Fault, Site, TokenEdit
from grammars.registry import Language

ENOUGH = 12  # survivors after which a search stops
MARGIN = 0.45  # a survivor this much costlier than the cheapest is of no interest
MAX_TRIED = 700  # edits tried at one place
MEASURED = 70  # edits whose progress is measured when no single one is enough
BEAM = 4  # how many of them are followed
DEPTH = 5  # edits in one unit
WORK = 12_000_000  # characters that a search may have parsed, about a second's worth
LEAST = 150  # parses that it may make however large the unit is
FAR = 8  # lines behind a stop that count as progress; reading on beyond them is not asked for
READING = 4  # what reading with the parser's log costs, in parses without it
LONG_QUOTES = ('"""', "'''", "`")
NODES = 12  # sequences that are continued before a search is given up


@dataclass(frozen=True, slots=True)
class Fix:
    """A unit's text that parses, and the sum of its edits' costs."""

    text: str
    cost: float
    edits: int = 1


@dataclass(slots=True)
class Search:
    """A search for one language with one deadline; `expired` may also raise to cancel."""

    language: Language
    expired: Callable[[], bool]
    left: int = WORK
    least: int = LEAST
    spent: int = 0  # characters parsed by the last run

    def run(self, fault: Fault, depth: int = DEPTH) -> list[Fix]:
        """Fixes of a fault's lines, cheapest first; [] when no short sequence of edits is one."""
        self.left = most = max(min(self.left, WORK), self.least * len(fault.site.text))
        found = self._run(fault, depth)
        self.spent = most - self.left
        return found

    def _run(self, fault: Fault, depth: int) -> list[Fix]:
        head, tail = len(fault.head), len(fault.tail)
        found = self._search(fault.site, head, tail, depth)
        return [Fix(f.text[head : len(f.text) - tail], f.cost, f.edits) for f in found]

    def _search(self, start: Site, head: int, tail: int, depth: int) -> list[Fix]:
        text = start.text
        order = nodes = 0
        heap: list[tuple[float, int, str, float, int]] = [(0.0, order, text, 0.0, 0)]
        seen = {text}
        while heap and nodes < NODES and self.left > 0 and not self.expired():
            nodes += 1
            _, _, node, cost, edits = heapq.heappop(heap)
            site = grammars.site_of(self.language, node, start.known) if edits else start
            if edits and (whole := self._part_by_part(site, head, tail, cost, edits)) is not None:
                return [whole]
            limit = len(node) - tail
            proposed = [edit for edit in grammars.propose(site) if edit.start >= head and edit.end <= limit]
            if found := self._single(node, cost, edits, proposed):
                return _distinct(found)
            if edits + 1 >= depth:
                continue
            for gain, edit, after in self._progress(node, proposed, seen):
                order += 1
                total = cost + edit.cost
                heapq.heappush(heap, (total - gain, order, after, total, edits + 1))
        return []

    def _part_by_part(self, site: Site, head: int, tail: int, cost: float, edits: int) -> Fix | None:
        """A text whose header was mended, or what swallowed the rest of it, with each part still broken mended."""
        text = site.text
        parts = self.language.parse(text).faults
        if not parts or parts[0].end - parts[0].start == len(text):
            return None
        if parts[0].start < head or parts[-1].end > len(text) - tail:
            return None
        for part in reversed(parts):
            fixes = self._run(part, DEPTH - edits)
            if not fixes:
                return None
            text = text[: part.start] + fixes[0].text + text[part.end :]
            cost, edits = cost + fixes[0].cost, edits + fixes[0].edits
        return Fix(text, cost, edits) if grammars.accepts(self.language, text) else None

    def _single(self, text: str, cost: float, edits: int, proposed: list[TokenEdit]) -> list[Fix]:
        """Edits that are enough by themselves."""
        found: list[Fix] = []
        # tree-sitter parses again only what an edit touches; Python's own parser decides for Python, and reads it all.
        parsed = None if self.language.name == "python" else self.language.parse(text)
        for tried, edit in enumerate(proposed[:MAX_TRIED]):
            if found and (edit.cost > found[0].cost - cost + MARGIN or len(found) >= ENOUGH):
                break
            if self.left <= 0 or (tried % 8 == 0 and self.expired()):
                break
            self.left -= len(text)
            after = text[: edit.start] + edit.new + text[edit.end :]
            if parsed is None:
                holds = grammars.accepts(self.language, after)
            else:
                holds = not parsed.replace(edit.start, edit.end, edit.new).broken
            if holds:
                found.append(Fix(after, cost + edit.cost, edits + 1))
        return found

    def _progress(self, text: str, proposed: list[TokenEdit], seen: set[str]) -> list[tuple[float, TokenEdit, str]]:
        """The edits behind which the parser reads furthest, for their cost: (gain, edit, text)."""
        scored: list[tuple[float, TokenEdit, str]] = []
        reading = grammars.Reading(self.language, text)
        left = reading.unread(text, 0)
        stop = len(text) - left
        for edit in proposed[:MEASURED]:
            if self.left <= 0 or self.expired():
                break
            self.left -= READING * len(text)
            after = text[: edit.start] + edit.new + text[edit.end :]
            if after in seen:
                continue
            seen.add(after)
            enough = _lines_on(after, max(stop, edit.start) + len(edit.new), FAR)
            rest = reading.unread(after, min(edit.start, stop), enough)
            # What is read beyond the old stop, in lines of code; an edit behind the stop gains nothing by deleting.
            lines = text.count("\n", stop, len(text) - rest) if rest < left else 0
            if edit.start < stop and edit.new.strip() in LONG_QUOTES:
                # Up to the old stop code was read as a string: what counts is what is code now.
                lines = max(after.count("\n", edit.start + len(edit.new), len(after) - rest) - 1, 0)
                if lines > 1:
                    scored.append((min(0.25 * lines, 1.5) + 0.3, edit, after))
                continue
            same_line = left - rest > 0 and not lines
            if rest < left and (lines or left - rest > 8):
                gain = min(0.25 * lines, 1.5) + (0.1 if same_line else 0.3)
                scored.append((gain, edit, after))
        scored.sort(key=lambda s: s[1].cost - s[0])
        return scored[:BEAM]


def _lines_on(text: str, at: int, count: int) -> int:
    """The end of the line that is `count` lines below an offset."""
    for _ in range(count + 1):
        at = text.find("\n", at) + 1
        if not at:
            return len(text)
    return at


def _distinct(found: list[Fix]) -> list[Fix]:
    best: dict[str, Fix] = {}
    for fix in found:
        if fix.text not in best or fix.cost < best[fix.text].cost:
            best[fix.text] = fix
    return sorted(best.values(), key=lambda fix: fix.cost)


def deadline_check(deadline: float | None, check: Callable[[], None]) -> Callable[[], bool]:
    """A function that says whether time is up, and raises when the request was cancelled."""

    def expired() -> bool:
        check()
        return deadline is not None and time.monotonic() >= deadline

    return expired
