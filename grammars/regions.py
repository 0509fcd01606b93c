"""From what the parser reports to the few lines in which an error can be mended.

An ERROR node may cover the rest of the file and an error may be reported far from its cause, so several witnesses are
asked: Python's own parser, which stops at the first token it cannot use; brackets and quotes that a lexical scan finds
unmatched; the ends of ERROR nodes; and indentation, which tells where a forgotten closer belongs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grammars.lexer import Scan, Token, scan
from grammars.validity import verdict

if TYPE_CHECKING:
    from grammars.source import Region, Source

MAX_REGIONS = 24
NEAR = 2  # blank lines are skipped when a line's neighbour is asked for


def regions(source: Source) -> list[Region]:
    """Single lines, disjoint, the most telling first."""
    from grammars.source import Region

    if not source.broken:
        return []
    lines = Lines(source.text)
    wanted: dict[int, str] = {}
    for row, hint in _witnesses(source, lines):
        if 0 <= row < len(lines.starts):
            wanted.setdefault(row, hint)
        if len(wanted) >= MAX_REGIONS:
            break
    found: list[Region] = []
    for row in wanted:
        start, end = lines.span(row)
        found.append(Region(start, end, wanted[row]))
    return found


class Lines:
    """Rows of a text and their spans, line breaks left out."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        at = text.find("\n")
        while at >= 0:
            self.starts.append(at + 1)
            at = text.find("\n", at + 1)

    def row(self, offset: int) -> int:
        """The row of a character offset."""
        low, high = 0, len(self.starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.starts[middle] <= offset else (low, middle)
        return low

    def span(self, row: int) -> tuple[int, int]:
        """Start and end of a row, without its line break."""
        start = self.starts[row]
        end = self.starts[row + 1] - 1 if row + 1 < len(self.starts) else len(self.text)
        return start, end - (self.text[end - 1 : end] == "\r" and end > start)

    def content(self, row: int) -> str:
        """A row's text."""
        start, end = self.span(row)
        return self.text[start:end]

    def indent(self, row: int) -> int:
        """Columns of white space before a row's first token."""
        content = self.content(row)
        return len(content) - len(content.lstrip())

    def neighbour(self, row: int, step: int) -> int:
        """The nearest row before or after that is not blank; -1 when there is none."""
        row += step
        while 0 <= row < len(self.starts):
            if self.content(row).strip():
                return row
            row += step
        return -1


def _witnesses(source: Source, lines: Lines) -> list[tuple[int, str]]:
    """Rows worth a look, the most telling first."""
    rows: list[tuple[int, str]] = []
    found = verdict(source)
    brackets = scan(source.language, source.text)
    if found.start is not None:
        row = lines.row(found.start)
        rows += [(row, found.message), (lines.neighbour(row, -1), found.message)]
    for token in brackets.quotes[:4]:
        rows.append((lines.row(token.start), "quote"))
    for token in brackets.unopened[:4] + [closer for _, closer in brackets.swapped[:4]]:
        rows.append((lines.row(token.start), "bracket"))
    for token in brackets.unclosed[:4]:
        rows += [(row, "bracket") for row in closing_rows(source, lines, token)]
    for error in source.errors[:8]:
        first, last = lines.row(error.start), lines.row(max(error.end - 1, error.start))
        rows += [(first, "error"), (last, "error"), (lines.neighbour(first, -1), "error")]
        if error.missing:
            rows.append((lines.neighbour(first, -1), "missing"))
    if found.start is not None:
        row = lines.row(found.start)
        rows.append((lines.neighbour(row, 1), "after"))
    return rows


def closing_rows(source: Source, lines: Lines, opener: Token) -> list[int]:
    """Rows where a forgotten closer may belong: the opener's own, and the last one indented deeper than it."""
    row = lines.row(opener.start)
    indent = lines.indent(row)
    last = row
    following = lines.neighbour(row, 1)
    while following >= 0 and lines.indent(following) > indent and following - row < 400:
        last = following
        following = lines.neighbour(following, 1)
    rows = [row]
    if last != row:
        rows.append(last)
    if opener.text == "{" and following >= 0:
        rows.append(following)
    return rows


def first_unmatched(brackets: Scan) -> Token | None:
    """The first bracket or quote that has no partner."""
    tokens = [*brackets.unclosed, *brackets.unopened, *brackets.quotes, *(c for _, c in brackets.swapped)]
    return min(tokens, key=lambda t: t.start, default=None)
