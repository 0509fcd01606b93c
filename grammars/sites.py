"""A broken place, with the witnesses of where its cause lies: what proposers of edits look at."""

from __future__ import annotations

import builtins
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from grammars.gaps import mask
from grammars.lexer import Lines, Scan, Token, scan
from grammars.registry import Language
from grammars.stop import MAX_LOGGED, first_stop
from grammars.validity import python_error

REACH = 14  # tokens before a stop that may be its cause
STEP = 0.05  # cost of a token's distance from the nearest witness

BUILTINS = frozenset(name for name in dir(builtins) if name[0] != "_")


@dataclass(frozen=True)
class Site:
    """A text that does not parse; `known` are names that the file around it uses.

    The parsers read it when something is asked that they must tell: sites that are only counted cost nothing.
    """

    language: Language
    text: str
    known: frozenset[str] = frozenset()

    @property
    def stops(self) -> tuple[int, ...]:
        """The character offsets at which parsers stopped."""
        return self._read[0]

    @property
    def expected(self) -> frozenset[str]:
        """What tree-sitter would have taken there."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[tuple[int, ...], frozenset[str]]:
        stops: list[int] = []
        data = mask(self.language, self.text).encode("utf-8", "replace")
        stop = first_stop(self.language, data[:MAX_LOGGED])
        expected: frozenset[str] = frozenset()
        if stop is not None:
            stops.append(len(data[: stop.byte].decode("utf-8", "ignore")))
            expected = stop.expected
        if self.language.name == "python":
            error = python_error(self.text)
            if error is not None and error.start is not None:
                stops.append(error.start)
                if error.end is not None and error.end > error.start and "forgot a comma" in error.message:
                    stops.append(error.end)
        return tuple(dict.fromkeys(stops)) or (0,), expected

    @cached_property
    def lines(self) -> Lines:
        """Rows of the text."""
        return Lines(self.text)

    @cached_property
    def newline(self) -> str:
        """The line break that the text uses."""
        return "\r\n" if "\r\n" in self.text else "\n"

    @cached_property
    def brackets(self) -> Scan:
        """Tokens, and brackets and quotes without a partner."""
        return scan(self.language, self.text)

    @cached_property
    def code(self) -> list[Token]:
        """Tokens without comments."""
        return [t for t in self.brackets.tokens if t.kind != "comment"]

    @cached_property
    def _ends(self) -> list[int]:
        return [t.end for t in self.code]

    @cached_property
    def names(self) -> frozenset[str]:
        """Words that the text or the file around it uses, and the language's: what a part of a joined word may be."""
        own = Counter(t.text for t in self.code if t.kind == "name")
        return self.known | {w for w, n in own.items() if n > 1} | frozenset(self.language.keywords) | BUILTINS

    def index(self, offset: int) -> int:
        """The index in `code` of the first token that ends after `offset`; its length when there is none."""
        return bisect_right(self._ends, offset)

    @cached_property
    def at(self) -> tuple[int, ...]:
        """Indices of the tokens at the stops."""
        return tuple(self.index(stop) for stop in self.stops)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Rows of the stops, the row before each (where a line's end is at fault), without blanks, best first."""
        rows: list[int] = []
        for stop in self.stops:
            row = self.lines.row(stop)
            for one in (row, self.lines.neighbour(row, -1)):
                if one >= 0 and one not in rows:
                    rows.append(one)
        return tuple(rows)

    def near(self) -> Iterator[tuple[int, float]]:
        """Indices of tokens that may be at fault and what their distance from the stops costs, nearest first."""
        cost: dict[int, float] = {}
        for at in self.at:
            for i in range(max(at - REACH, 0), min(at + 3, len(self.code))):
                gap = at - i if i <= at else 2 * (i - at)
                cost[i] = min(cost.get(i, 9.0), STEP * gap)
        return iter(sorted(cost.items(), key=lambda item: item[1]))

    def first_on_line(self, i: int) -> bool:
        """Whether token `i` is its line's first."""
        return i == 0 or "\n" in self.text[self.code[i - 1].end : self.code[i].start]

    def last_on_line(self, i: int) -> bool:
        """Whether token `i` is its line's last, comments aside."""
        return i + 1 >= len(self.code) or "\n" in self.text[self.code[i].end : self.code[i + 1].start]

    def line_tokens(self, row: int) -> tuple[int, int]:
        """Indices [first, last) of the tokens that begin on a row."""
        start, end = self.lines.span(row)
        first = self.index(start)
        last = first
        while last < len(self.code) and self.code[last].start < end:
            last += 1
        return first, last
