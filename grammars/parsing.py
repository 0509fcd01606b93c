"""Parses of guesses, given up when they cost far more than text of that size does.

Generalised LR keeps several readings of an ambiguous text, and a broken one can make them multiply: minutes for one
screen of TSX. The budget counts the parser's own progress reports, so it is the same on every machine.
"""

from __future__ import annotations

import re

import tree_sitter

from grammars.registry import Language

REPORTS = 200  # progress reports that every parse may make
BYTES_A_REPORT = 12  # and one more for so many bytes: ten times what valid text needs
CHUNK = 65536
NOT_A_BREAK = re.compile(rb"[^\n]")


def parse_within_budget(
    language: Language, data: bytes, old: tree_sitter.Tree | None = None
) -> tree_sitter.Tree | None:
    """The tree, from an edited `old` one where there is one, or None when the parse was given up."""
    left = REPORTS + len(data) // BYTES_A_REPORT

    def over(offset: int, has_error: bool) -> bool:
        nonlocal left
        left -= 1
        return left < 0

    def read(byte: int, _: object) -> bytes:
        return data[byte : byte + CHUNK]

    parser = language.parser
    try:
        if old is not None:
            return parser.parse(read, old, progress_callback=over)
        return parser.parse(read, progress_callback=over)
    except ValueError:  # how the binding says that the callback stopped it
        parser.reset()
        return None


def one_error(language: Language, data: bytes) -> tree_sitter.Tree:
    """A tree with an error at its start and nothing else, for a text whose parse was given up."""
    blank = NOT_A_BREAK.sub(b" ", data[1:])
    return language.parser.parse(b"(" + blank)
