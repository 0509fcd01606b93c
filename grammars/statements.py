"""The top-level statements that an insertion touches: all that Python's parser has to read again.

`ast.parse` knows no context beyond one top-level statement (names, `return` and `await` are the compiler's business).
So a file whose text around such statements was accepted before is accepted again when they are, read alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grammars.source import Source


def touched(before: Source, after: Source, start: int, end: int) -> str:
    """The whole lines of `after` that may be read alone, [start, end) and a statement on either side among them.

    Both trees have no error. It is the whole text where the two differ elsewhere, or no border of statements is sure.
    """
    if after.data.count(b"\r") != after.data.count(b"\r\n"):
        return after.text  # Python ends a line there, tree-sitter does not
    cut, known = _borders(after), set(_borders(before))
    added = len(after.data) - len(before.data)
    first = next((b for b in reversed(cut[: bisect_left(cut, after.byte(start))]) if b in known), 0)
    behind = cut[bisect_right(cut, after.byte(end)) :]
    last = next((b for b in behind if b - added in known), len(after.data))
    if after.data[:first] != before.data[:first] or after.data[last:] != before.data[last - added :]:
        return after.text
    return after.data[first:last].decode()


def _borders(source: Source) -> list[int]:
    """Byte offsets of the lines that begin with a top-level statement, where no backslash joins them to another."""
    found = []
    for node in source.tree.root_node.children:
        at = node.start_byte
        if not node.is_named or node.type == "comment" or node.start_point.column:
            continue
        if not source.data[max(at - 3, 0) : at].rstrip(b"\r\n").endswith(b"\\"):
            found.append(at)
    return found
