"""Spans of syntax that people write in one go, found once per file and stored beside its tokens.

Training machines need no grammars: they read `(start, length, kind)` from the shard. Offsets are bytes of UTF-8.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tree_sitter

import grammars

KINDS = ("statement", "block", "arguments", "expression")
DTYPE = np.dtype([("file", "<u2"), ("start", "<u4"), ("length", "<u2"), ("kind", "u1")])
LONGEST = 1600  # bytes: a middle longer than this does not fit a window
BYTES_PER_SPAN = 90  # one span is kept for so many bytes of text

Spans = npt.NDArray[np.void]


def find(language: str, data: bytes, rng: np.random.Generator) -> Spans:
    """A sample of the spans of one file (field `file` is 0); a file that does not parse gives none."""
    definition = grammars.get(language)
    tree = definition.parser.parse(data)
    if tree.root_node.has_error:
        return np.zeros(0, DTYPE)
    cursor = tree_sitter.QueryCursor(definition.query("cuts"))
    found = []
    for name, nodes in cursor.captures(tree.root_node).items():
        kind = KINDS.index(name)
        found += [
            (0, n.start_byte, n.end_byte - n.start_byte, kind) for n in nodes if n.end_byte - n.start_byte <= LONGEST
        ]
    spans = np.array(found, DTYPE) if found else np.zeros(0, DTYPE)
    keep = min(len(spans), max(len(data) // BYTES_PER_SPAN, 8))
    return np.sort(spans[rng.permutation(len(spans))[:keep]], order=["start", "length"])
