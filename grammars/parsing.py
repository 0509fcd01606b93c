"""Parses of guesses, given up when they cost far more than text of that size does.

Generalised LR keeps several readings of an ambiguous text, and a broken one can make them multiply: minutes for one
screen of TSX. The budget counts the parser's own progress reports, so it is the same on every machine.
"""

from __future__ import annotations

import tree_sitter

from grammars.registry import Language

REPORTS = 200  # progress reports that every parse may make
BYTES_A_REPORT = 12  # and one more for so many bytes: ten times what valid text needs
CHUNK = 65536


def parse_within_budget(language: Language, data: bytes) -> tree_sitter.Tree | None:
    """The tree, or None when the parse was given up."""
    left = REPORTS + len(data) // BYTES_A_REPORT

    def over(offset: int, has_error: bool) -> bool:
        nonlocal left
        left -= 1
        return left < 0

    parser = language.parser
    try:
        return parser.parse(lambda byte, _: data[byte : byte + CHUNK], progress_callback=over)
    except ValueError:  # how the binding says that the callback stopped it
        parser.reset()
        return None
