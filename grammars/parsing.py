"""Parses of guesses, given up when they cost far more than text of that size does.

Generalised LR keeps several readings of an ambiguous text, and a broken one can make them multiply: minutes for one
screen of TSX. The budget counts the parser's own progress reports, so it is the same on every machine.
"""

from __future__ import annotations

import ctypes
import re
import sys
from functools import cache

import tree_sitter
import tree_sitter_python

from grammars.registry import Language

REPORTS = 200  # progress reports that every parse may make
BYTES_A_REPORT = 12  # and one more for so many bytes: ten times what valid text needs
CHUNK = 16384
NOT_A_BREAK = re.compile(rb"[^\n]")


class Chunks:
    """Feeds a parser that reports its progress, which the binding wants to read in chunks.

    py-tree-sitter (0.23 to 0.26) never gives back the reference to a chunk that it was handed: some kilobytes a parse,
    hundreds of megabytes in a day of typing. `release` gives back exactly what was kept, where a probe shows the fault.
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._given: list[bytes] = []

    def read(self, byte: int, _: object) -> bytes:
        """What the parser asks for; always a new object, so that its references can be counted."""
        chunk = bytes(self._data[byte : byte + CHUNK])
        self._given.append(chunk)
        return chunk

    def release(self) -> None:
        """Call when the parse is over."""
        if _binding_keeps_chunks():
            for chunk in self._given:
                if kept(chunk):
                    ctypes.pythonapi.Py_DecRef(ctypes.py_object(chunk))
        self._given.clear()


def kept(chunk: bytes) -> bool:
    """Whether somebody besides a list and its caller's loop holds a chunk; short ones are Python's own."""
    # The list, the caller's variable, this function's, and getrefcount's own.
    return len(chunk) > 1 and sys.getrefcount(chunk) == 5


@cache
def _binding_keeps_chunks() -> bool:
    if sys.implementation.name != "cpython":
        return False
    data, given = memoryview(b"x = 1\n" * 64), []

    def read(byte: int, _: object) -> bytes:
        chunk = bytes(data[byte : byte + 64])
        given.append(chunk)
        return chunk

    tree_sitter.Parser(tree_sitter.Language(tree_sitter_python.language())).parse(read)
    found = [kept(chunk) for chunk in given if len(chunk) > 1]
    return len(found) > 2 and all(found)


def parse_within_budget(
    language: Language, data: bytes, old: tree_sitter.Tree | None = None
) -> tree_sitter.Tree | None:
    """The tree, from an edited `old` one where there is one, or None when the parse was given up."""
    left = REPORTS + len(data) // BYTES_A_REPORT

    def over(offset: int, has_error: bool) -> bool:
        nonlocal left
        left -= 1
        return left < 0

    parser, chunks = language.parser, Chunks(data)
    try:
        if old is not None:
            return parser.parse(chunks.read, old, progress_callback=over)
        return parser.parse(chunks.read, progress_callback=over)
    except ValueError:  # how the binding says that the callback stopped it
        parser.reset()
        return None
    finally:
        chunks.release()


def one_error(language: Language, data: bytes) -> tree_sitter.Tree:
    """A tree with an error at its start and nothing else, for a text whose parse was given up."""
    blank = NOT_A_BREAK.sub(b" ", data[1:])
    return language.parser.parse(b"(" + blank)
