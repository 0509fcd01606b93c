"""ERROR and MISSING nodes of a tree, found without visiting what has none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import tree_sitter


@dataclass(frozen=True, slots=True)
class ErrorNode:
    """A node that the parser could not make sense of, or that it had to invent (`missing`, of type `expected`).

    `depth` counts the error nodes around it: 0 is an outermost one.
    """

    start: int
    end: int
    missing: bool
    expected: str
    depth: int = 0


def error_nodes(tree: tree_sitter.Tree) -> Iterator[tuple[int, int, bool, str, int]]:
    """(start byte, end byte, missing, type, depth) of each, in the order of the text, without recursion."""
    cursor = tree.walk()
    depth = 0
    while True:
        node = cursor.node
        assert node is not None
        if node.is_missing:
            yield node.start_byte, node.end_byte, True, node.type, depth
        elif node.is_error:
            yield node.start_byte, node.end_byte, False, "", depth
        if node.has_error and cursor.goto_first_child():
            depth += node.is_error
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            parent = cursor.node
            assert parent is not None
            depth -= parent.is_error


def error_bytes(nodes: Iterable[tuple[int, int, bool, str, int]]) -> int:
    """The size of the union of the ERROR nodes among `error_nodes`; MISSING ones, which span nothing, count 1 each."""
    return sum(1 if missing else max(end - start, 1) for start, end, missing, _, depth in nodes if not depth)
