"""The statements around a place in a Python file: all that has to be read again when something is inserted there.

No parser of Python knows a context beyond the block that a statement stands in (names, `return` and `await` are the
compiler's business). So a file without errors has none with an insertion exactly when the statements around it, read
alone, have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tree_sitter

if TYPE_CHECKING:
    from grammars.source import Source

OPENED = "if 1:\n"  # what statements of an inner block are read behind
LARGEST = 8_000  # characters; what is larger is sooner read again as an edit of the whole file
# A decorator and a line that is joined to the next need what stands behind them; line breaks that Python alone knows.
UNSURE = re.compile(r"\\|^[ \t]*@|[\r\f]", re.MULTILINE)
BEGUN = re.compile(r"^[ \t]*(?=\S)", re.MULTILINE)  # the indentation of each line that is not blank


@dataclass(frozen=True, slots=True)
class Frame:
    """Whole statements of one block (or of the whole text) around a place: what of them is before it, and behind."""

    indent: str
    before: str
    behind: str

    def read(self, new: str) -> str:
        """The statements with `new` in place."""
        return (OPENED if self.indent else "") + self.before + new + self.behind

    def holds(self, new: str) -> bool:
        """Whether `new` stays within the block: then all parses where the file does."""
        first, last = self.before.rfind("\n") + 1, self.behind.find("\n")
        lines = self.before[first:] + new + self.behind[: last if last >= 0 else len(self.behind)]
        return all(found.group().startswith(self.indent) for found in BEGUN.finditer(lines))


class Frames:
    """The frames of a place in a text without errors, from the innermost block outwards, found as they are needed."""

    def __init__(self, source: Source, at: int) -> None:
        text = source.text
        within_break = text[at - 1 : at + 1] == "\r\n" if at else False
        sure = not source.masked and not within_break and text.count("\r") == text.count("\r\n")
        self._more = _frames(source, at) if sure else iter(())
        self._found: list[Frame] = []

    def around(self, new: str) -> Frame | None:
        """The smallest that `holds` a text; None where nothing less than the file tells."""
        if UNSURE.search(new):
            return None
        return next((frame for frame in self._all() if frame.holds(new)), None)

    def _all(self) -> Iterator[Frame]:
        yield from self._found
        for frame in self._more:
            self._found.append(frame)
            yield frame


def _frames(source: Source, at: int) -> Iterator[Frame]:
    place, root = source.byte(at), source.tree.root_node
    # What is typed below a block may go on with it.
    last = max(len(source.data[:place].rstrip()) - 1, 0)
    node = root.descendant_for_byte_range(last, last)
    while node is not None:
        if node.type == "block" or node == root:
            frame = _frame(source, node, place, outermost=node == root)
            if frame is not None and frame.holds(""):
                if len(frame.before) + len(frame.behind) > LARGEST:
                    return
                yield frame
        node = node.parent


def _frame(source: Source, block: tree_sitter.Node, place: int, outermost: bool) -> Frame | None:
    """The statements of a block around a byte; None where no border between them is sure."""
    data = source.data
    borders = _borders(source, block)
    above = next((b for b in reversed(borders) if b < place), 0 if outermost else None)
    if above is None:
        return None
    behind = next((line for b in borders if (line := _line(data, b)) > place), None)
    if behind is None:
        end = data.find(b"\n", max(place, block.end_byte - 1))
        behind = len(data) if outermost or end < 0 else end + 1
    first = _line(data, above)
    return Frame(data[first:above].decode(), data[first:place].decode(), data[place:behind].decode())


def _line(data: bytes, byte: int) -> int:
    """Where the line of a byte begins."""
    return data.rfind(b"\n", 0, byte) + 1


def _borders(source: Source, block: tree_sitter.Node) -> list[int]:
    """Where those statements of a block begin that begin a line, which no backslash joins to another.

    All lines are indented alike, to the byte.
    """
    found, indent = [], None
    for node in block.children:
        at = node.start_byte
        if not node.is_named or node.type == "comment":
            continue
        line = at - node.start_point.column
        if (before := source.data[line:at]).strip(b" \t"):
            continue
        if source.data[max(line - 3, 0) : line].rstrip(b"\r\n").endswith(b"\\"):
            continue
        indent = before if indent is None else indent
        if before == indent:
            found.append(at)
    return found
