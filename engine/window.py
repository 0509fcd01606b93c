"""From a document and a cursor to the token ids that the denoiser reads: `<suffix> S <prefix> P [<broken> B] <middle>`.

Suffix first, so that typing, which appends to P, leaves the keys and values of everything before it exact. The start
of P lies on a grid of lines and the end of S on a line's end, so that neither slides with every keystroke. A window is
a function of the text alone, never of what was asked before: the answer is the same, cached or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.checkpoint import Reserved
from engine.vocabulary import Vocabulary

LINE_GRID = 16
TOKEN_GRID = 64
CHARACTERS_PER_TOKEN = 6  # generous: what is tokenised in vain costs microseconds, a short window costs quality


@dataclass(frozen=True, slots=True)
class Budget:
    """Token limits of a window; `total` includes the reserved rows."""

    total: int = 448
    suffix: int = 160
    broken: int = 96


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids up to and including `<middle>`, and the bytes that the first tokens of the middle must spell.

    `heal` is the end of the prefix that what comes next may join in one token: half a name, white space, an opening
    bracket. It was dropped, so the middle's first tokens have to spell it again before they say anything new. `left`
    are the prefix's tokens alone, for the workspace's memory.
    """

    ids: list[int]
    heal: bytes
    left: list[int]


class WindowBuilder:
    """Cuts windows for one vocabulary and one budget."""

    def __init__(self, vocabulary: Vocabulary, reserved: Reserved, budget: Budget | None = None) -> None:
        self.vocabulary = vocabulary
        self.reserved = reserved
        self.budget = budget or Budget()

    def build(self, prefix: str, suffix: str, broken: str | None = None, heal: bool = True) -> Window:
        """The window around a masked span; `broken` is the damaged text that a repair replaces."""
        r = self.reserved
        after = self._suffix(suffix)
        damaged = [] if broken is None else [r.broken, *self.vocabulary.encode(broken)[: self.budget.broken]]
        room = self.budget.total - len(after) - len(damaged) - 3
        before, cut = self._prefix(prefix, room, heal and broken is None)
        return Window([r.suffix, *after, r.prefix, *before, *damaged, r.middle], cut, before)

    def _suffix(self, suffix: str) -> list[int]:
        limit = self.budget.suffix
        near = suffix[: limit * CHARACTERS_PER_TOKEN]
        return self.vocabulary.encode_again(near)[:limit]

    def _prefix(self, prefix: str, room: int, heal: bool) -> tuple[list[int], bytes]:
        piece = self.vocabulary.last_piece(prefix) if heal else ""
        cut = piece[self.vocabulary.settled(piece) :]
        return self._anchored(prefix[: len(prefix) - len(cut)], room), cut.encode("utf-8")

    def _anchored(self, text: str, room: int) -> list[int]:
        """The end of `text` in at most `room` tokens, starting on the line grid where that is possible."""
        reach = room * CHARACTERS_PER_TOKEN
        if len(text) <= reach:
            ids = self.vocabulary.encode_typed(text)
            if len(ids) <= room:
                return ids
        offset = max(text.rfind("\n", 0, max(len(text) - reach - 1, 0)), 0)
        line, starts = text.count("\n", 0, offset), []
        while (found := text.find("\n", offset)) >= 0:
            line, offset = line + 1, found + 1
            if line % LINE_GRID == 0 and len(text) - offset <= reach:
                starts.append(offset)
        for start in starts:
            ids = self.vocabulary.encode_typed(text[start:])
            if len(ids) <= room:
                return ids
        # Long lines: no grid line fits, so cut on a grid of tokens instead.
        tail = text[-reach:]
        if (first := tail.find("\n")) >= 0 and len(text) > reach:
            tail = tail[first + 1 :] or tail
        ids = self.vocabulary.encode(tail)
        excess = max(len(ids) - room, 0)
        return ids[-(-excess // TOKEN_GRID) * TOKEN_GRID :] if excess and room > TOKEN_GRID else ids[excess:]
