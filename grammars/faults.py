"""The broken places of a text: which top-level units do not parse, and what the parsers say of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from grammars.lexer import Lines, scan
from grammars.registry import Language
from grammars.sites import Site
from grammars.stop import first_stop
from grammars.units import Unit, units
from grammars.validity import accepts, python_error

if TYPE_CHECKING:
    from grammars.source import Source

MAX_LOGGED = 400_000  # bytes of a unit that are read with the parser's log on: about a second
BACKWARD = ("was never closed", "unterminated", "EOF in multi-line", "does not match opening", "unmatched")


@dataclass(frozen=True, slots=True)
class Fault:
    """A unit [start, end) of the text that does not parse by itself, and its site, whose offsets begin at `start`."""

    start: int
    end: int
    site: Site


def faults(source: Source) -> tuple[Fault, ...]:
    """All broken units in ascending order; the whole text as one when only their combination is broken."""
    language, text = source.language, source.text
    if not source.broken:
        return ()
    found = scan(language, text)
    cut = units(language, text, found.tokens, Lines(text))
    broken = [unit for unit in cut if not unit_parses(language, text[unit.start : unit.end])]
    if not broken:
        broken = [Unit(0, len(text))]
    return tuple(Fault(u.start, u.end, site_of(language, text[u.start : u.end])) for u in broken)


@lru_cache(maxsize=4096)
def unit_parses(language: Language, text: str) -> bool:
    """Whether a unit parses by itself."""
    return accepts(language, text)


@lru_cache(maxsize=256)
def site_of(language: Language, text: str) -> Site:
    """Where the parsers stop in a text that does not parse."""
    stops: list[int] = []
    data = text.encode("utf-8", "replace")
    stop = first_stop(language, data[:MAX_LOGGED])
    expected: frozenset[str] = frozenset()
    if stop is not None:
        stops.append(len(data[: stop.byte].decode("utf-8", "ignore")))
        expected = stop.expected
    if language.name == "python":
        error = python_error(text)
        if error is not None and error.start is not None:
            stops.append(error.start)
            if error.end is not None and error.end > error.start and "forgot a comma" in error.message:
                stops.append(error.end)
    return Site(language, text, tuple(dict.fromkeys(stops)) or (0,), expected)


def unread(language: Language, text: str) -> int:
    """Characters of a text from the first place where a parser cannot read on: 0 when it parses."""
    data = text.encode("utf-8", "replace")
    stop = first_stop(language, data[:MAX_LOGGED])
    left = 0 if stop is None else len(data[stop.byte :].decode("utf-8", "ignore")) or 1
    if language.name == "python":
        error = python_error(text)
        if error is None:
            return 0
        if error.start is not None and (not left or not any(word in error.message for word in BACKWARD)):
            at = error.end or error.start if "forgot a comma" in error.message else error.start
            left = max(left, len(text) - at, 1)
    return left
