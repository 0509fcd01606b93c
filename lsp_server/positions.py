"""LSP positions and character offsets.

A position is a line and a count of code units (LSP 3.18, `PositionEncodingKind`); an offset is a character index into
a Python `str`. A line ends at `\\n`, `\\r\\n` or `\\r` and nowhere else: `str.splitlines` knows seven more, which
editors do not.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from lsprotocol import types

Encoding = Literal["utf-8", "utf-16", "utf-32"]

LINE_END = re.compile(r"\r\n|\n|\r")
_CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2)}


@dataclass(frozen=True)
class Lines:
    """Where the lines of `text` begin, and the conversions that follow from it."""

    text: str
    encoding: Encoding = "utf-16"

    @cached_property
    def starts(self) -> list[int]:
        """Offsets of the first characters of all lines; never empty."""
        return [0, *(found.end() for found in LINE_END.finditer(self.text))]

    def edited(self, start: int, end: int, text: str) -> Lines:
        """The lines of `text`, this one with something else for `[start:end]`: only those near it are looked for.

        A key in a long file moves all lines behind it, and changes one.
        """
        lines = Lines(text, self.encoding)
        if (starts := self.__dict__.get("starts")) is None:
            return lines
        # A line break may have two characters: the neighbours count as touched.
        first, last = self.row(start - 1), self.row(end + 1)
        moved = len(text) - len(self.text)
        stop = starts[last + 1] + moved if last + 1 < len(starts) else len(text)
        within = [found.end() for found in LINE_END.finditer(text, starts[first], stop)]
        lines.__dict__["starts"] = [*starts[: first + 1], *within, *[at + moved for at in starts[last + 2 :]]]
        return lines

    def __len__(self) -> int:
        return len(self.starts)

    def row(self, offset: int) -> int:
        """The line, from 0, that `offset` lies on."""
        return bisect_right(self.starts, max(offset, 0)) - 1

    def span(self, row: int) -> tuple[int, int]:
        """Start and end of a line, its line break left out."""
        start = self.starts[row]
        end = self.starts[row + 1] if row + 1 < len(self.starts) else len(self.text)
        if row + 1 < len(self.starts):
            end -= 2 if self.text[end - 2 : end] == "\r\n" else 1
        return start, end

    def offset(self, position: types.Position) -> int:
        """The offset of a position; one that lies outside is moved to the nearest place inside, as LSP asks."""
        if position.line < 0:
            return 0
        if position.line >= len(self.starts):
            return len(self.text)
        start, end = self.span(position.line)
        return start + characters(self.text[start:end], max(position.character, 0), self.encoding)

    def position(self, offset: int) -> types.Position:
        """The position of an offset; clamped to the text."""
        offset = min(max(offset, 0), len(self.text))
        row = self.row(offset)
        start, end = self.span(row)
        return types.Position(row, units(self.text[start : min(offset, end)], self.encoding))

    def range(self, start: int, end: int) -> types.Range:
        """The range between two offsets."""
        return types.Range(self.position(start), self.position(end))

    def offsets(self, span: types.Range) -> tuple[int, int]:
        """The offsets of a range's ends, in ascending order."""
        a, b = self.offset(span.start), self.offset(span.end)
        return min(a, b), max(a, b)


def units(text: str, encoding: Encoding) -> int:
    """How many code units `text` has."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    codec, width = _CODECS[encoding]
    return len(text.encode(codec, "surrogatepass")) // width


def characters(text: str, count: int, encoding: Encoding) -> int:
    """How many characters the first `count` code units of `text` hold; a character that is cut is left out."""
    if encoding == "utf-32" or text.isascii():
        return min(count, len(text))
    codec, width = _CODECS[encoding]
    data = text.encode(codec, "surrogatepass")
    end = min(count * width, len(data))
    while end and _inside(data, end, width):
        end -= width
    return len(data[:end].decode(codec, "surrogatepass"))


def _inside(data: bytes, at: int, width: int) -> bool:
    """Whether `at` lies inside an encoded character."""
    if at >= len(data):
        return False
    if width == 1:
        return data[at] & 0xC0 == 0x80
    return data[at - 1] & 0xFC == 0xD8 and data[at + 1] & 0xFC == 0xDC
