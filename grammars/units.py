"""Top-level units: runs of lines that hold whole top-level statements, judged by their first column.

Code that is broken in one unit does not stop another from being read by itself, however much of the file the parser
has given up on. That makes errors in different units independent, and a candidate cheap to check: parse its unit
first, the file only when that worked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from grammars.lexer import Lines, Token
from grammars.registry import Language

CONTINUES = re.compile(
    r"(?:els\w*|eli\w*|eslef?|exce?p\w*|ecxept|fina?l+y|catch|then|and|or|instanceof)\b|[^\w\s@$#\"'`/]|//|/\*|'''|\"\"\"|case\b|default\b"
)
DECORATES = re.compile(r"@|async\s*$|export\s*$")
CONFLICT = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")


@dataclass(frozen=True, slots=True)
class Unit:
    """Lines [start, end) in characters, the last line break included."""

    start: int
    end: int


def units(language: Language, text: str, found: list[Token], lines: Lines | None = None) -> list[Unit]:
    """The text cut into units, in order and without gaps; `found` are its tokens."""
    lines = lines or Lines(text)
    return _cut(text, lines, rows_inside(found, lines), range(len(lines.starts)), "")


def _cut(text: str, lines: Lines, hidden: set[int], rows: range, margin: str) -> list[Unit]:
    """Runs of `rows` that begin with a line whose margin is exactly `margin` and that goes on no statement."""
    first, width = lines.starts[rows.start], len(margin)
    borders = [first]
    decorated, conflict, opened = False, False, False
    for row in rows:
        start = lines.starts[row]
        if text.startswith(CONFLICT if conflict else CONFLICT[:1], start):  # `=======` alone underlines a title
            conflict = not text.startswith(">>>>>>>", start)
            continue
        if row in hidden or conflict:
            continue
        headed, opened = opened, _opens(text, lines, row, opened)
        if headed or not text.startswith(margin, start):
            continue
        line = text[start + width : start + width + 12]
        if line[:1] in ("", " ", "\t", "\n", "\r", "\f"):
            continue
        if CONTINUES.match(line):
            while len(borders) > 1 and text.startswith(margin + "#", borders[-1]):
                borders.pop()  # a comment between a body and the `else` behind it begins nothing
            continue
        if not decorated and start > first:
            borders.append(start)
        decorated = DECORATES.match(line) is not None
    end = lines.starts[rows.stop] if rows.stop < len(lines.starts) else len(text)
    return [Unit(a, b) for a, b in pairwise([*borders, end]) if a < b]


def _opens(text: str, lines: Lines, row: int, before: bool) -> bool:
    """Whether what follows a row must belong to it, as behind a colon at its end; blank lines change nothing."""
    start, end = lines.span(row)
    line = text[start:end].split(" #")[0].rstrip()
    if not line or line.lstrip().startswith(("#", "//", "/*")):
        return before
    return line.endswith((":", "<"))


def inner(language: Language, text: str, found: list[Token]) -> list[Unit]:
    """The statements in the body of a unit that is one header and its body; [] for any other.

    What lies before the first is the header, what lies behind the last (a closing brace) the tail.
    """
    lines = Lines(text)
    if len(lines.starts) < 4:
        return []
    hidden = rows_inside(found, lines)
    top = 0 if lines.content(0).strip() else lines.neighbour(0, 1)
    base = lines.indent(top) if top >= 0 else -1
    row = top
    while 0 <= row < len(lines.starts) - 1:
        following = lines.neighbour(row, 1)
        if row not in hidden and lines.indent(row) == base and following >= 0 and lines.indent(following) > base:
            content = lines.content(row).split(f" {language.line_comment}")[0].rstrip()
            if content.endswith(language.header_end):
                break
        row += 1
    else:
        return []
    level = lines.margin(following)
    last = len(lines.starts) - 1
    if not lines.content(last).strip():
        last = lines.neighbour(last, -1)
    stop = last + 1
    if not language.indentation_matters:
        if lines.indent(last) != base or not lines.content(last).lstrip().startswith("}"):
            return []
        stop = last
    for between in range(following, stop):
        if between not in hidden and lines.content(between).strip() and lines.indent(between) <= base:
            return []  # another body, as behind an `else`
    cut = _cut(text, lines, hidden, range(row + 1, stop), level)
    return cut if len(cut) > 1 else []


def rows_inside(found: list[Token], lines: Lines) -> set[int]:
    """Rows that begin inside a comment or a string of several lines."""
    rows: set[int] = set()
    for token in found:
        if token.kind in ("string", "comment", "unclosed") and "\n" in token.text:
            rows.update(range(lines.row(token.start) + 1, lines.row(token.end - 1) + 1))
    return rows
