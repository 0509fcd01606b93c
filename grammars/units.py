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
    r"(?:elif|else|except|finally|catch|then|and|or|instanceof)\b|[^\w\s@$#\"'`/]|//|/\*|'''|\"\"\"|case\b|default\b"
)
DECORATES = re.compile(r"@|async\s*$|export\s*$")
OPENS = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")


@dataclass(frozen=True, slots=True)
class Unit:
    """Lines [start, end) in characters, the last line break included."""

    start: int
    end: int


def units(language: Language, text: str, found: list[Token], lines: Lines | None = None) -> list[Unit]:
    """The text cut into units, in order and without gaps; `found` are its tokens."""
    lines = lines or Lines(text)
    hidden = _rows_inside(found, lines)
    borders = [0]
    decorated, conflict = False, False
    for row, start in enumerate(lines.starts):
        head = text[start : start + 1]
        if head in ("", " ", "\t", "\n", "\r", "\f") or row in hidden:
            continue
        line = text[start : start + 12]
        if line.startswith(OPENS):
            if line.startswith("<<<<<<<"):
                conflict = True
                borders.append(start)
            elif line.startswith(">>>>>>>"):
                conflict = False
            continue
        if conflict or CONTINUES.match(line):
            continue
        if not decorated and start:
            borders.append(start)
        decorated = DECORATES.match(line) is not None
    borders.append(len(text))
    return [Unit(a, b) for a, b in pairwise(borders) if a < b]


def _rows_inside(found: list[Token], lines: Lines) -> set[int]:
    """Rows that begin inside a comment or a string of several lines."""
    rows: set[int] = set()
    for token in found:
        if token.kind in ("string", "comment", "unclosed") and "\n" in token.text:
            rows.update(range(lines.row(token.start) + 1, lines.row(token.end - 1) + 1))
    return rows
