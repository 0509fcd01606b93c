"""Where a parser cannot read on: the first token that no valid program could have there.

LR parsers detect an error before they shift the token that is wrong (the viable prefix property: Aho and Ullman 1972),
so everything before that place is the beginning of some valid text. A finished tree no longer shows it, because
recovery rewrites what came before; tree-sitter's log does. The parser's state there also gives the tokens that the
grammar would have taken.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tree_sitter

from grammars.parsing import BYTES_A_REPORT, REPORTS, Chunks

if TYPE_CHECKING:
    from grammars.registry import Language

MAX_LOGGED = 400_000  # bytes of a unit that are read with the parser's log on: about a second
PLACE = re.compile(r"version:(\d+), version_count:\d+, state:(\d+), row:(\d+), col:(\d+)")


@dataclass(frozen=True, slots=True)
class Stop:
    """A byte offset at or before the token that cannot be read, and the tokens that could have been there."""

    byte: int
    expected: frozenset[str]


def first_stop(language: Language, data: bytes, quiet: int = 0, until: int | None = None) -> Stop | None:
    """The first place where every reading of `data` fails; None when one of them reaches the end.

    The log costs several times what the parse does. It is off for the first `quiet` progress reports (see `reports`:
    what is read by then is known to be right), and reading stops behind byte `until`, where a `Stop` is then said.
    """
    place, found = "", ""
    seen, end = 0, len(data) + 1 if until is None else until

    def listen(kind: tree_sitter.LogType, message: str) -> None:
        nonlocal place, found
        if found:
            return
        if message.startswith("process"):
            place = message
        elif message.startswith("resume"):
            # All versions of the stack have failed, and recovery begins: the last one to be read got furthest.
            found = place

    left = REPORTS + len(data) // BYTES_A_REPORT

    def enough(offset: int, has_error: bool) -> bool:
        nonlocal left, seen
        left, seen = left - 1, seen + 1
        if seen == quiet:
            parser.logger = listen
        return bool(found) or left < 0 or offset > end

    parser = tree_sitter.Parser(language.compiled)
    if not quiet:
        parser.logger = listen
    chunks = Chunks(data)
    with suppress(ValueError):  # how the binding says that the callback stopped it
        parser.parse(chunks.read, progress_callback=enough)
    chunks.release()
    if left < 0 and not found:
        found = place
    match = PLACE.search(found)
    if match is None:
        return Stop(end, frozenset()) if end < len(data) else None
    _, state, row, column = map(int, match.groups())
    start = 0
    for _ in range(row):
        start = data.index(b"\n", start) + 1
    return Stop(min(start + column, len(data)), expected(language, state))


def reports(language: Language, data: bytes) -> list[int]:
    """Byte offsets at the progress reports of a parse: alike for all texts that begin alike, as far as they do."""
    offsets: list[int] = []
    most = REPORTS + len(data) // BYTES_A_REPORT

    def note(offset: int, has_error: bool) -> bool:
        offsets.append(offset)
        return len(offsets) > most

    chunks = Chunks(data)
    with suppress(ValueError):
        tree_sitter.Parser(language.compiled).parse(chunks.read, progress_callback=note)
    chunks.release()
    return offsets


def expected(language: Language, state: int) -> frozenset[str]:
    """Names of the terminals that the grammar takes in a parser's state; empty for the state of an error."""
    if not 0 < state < language.compiled.parse_state_count:
        return frozenset()
    iterator = language.compiled.lookahead_iterator(state)
    return frozenset(iterator.names()) if iterator is not None else frozenset()
