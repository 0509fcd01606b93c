"""The broken places of a text: which top-level units do not parse, and what the parsers say of each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from grammars.gaps import mask
from grammars.lexer import Lines, Token, scan, tokens
from grammars.registry import Language
from grammars.sites import Site
from grammars.stop import MAX_LOGGED, first_stop, reports
from grammars.units import Unit, inner, units
from grammars.validity import accepts, python_error

if TYPE_CHECKING:
    from grammars.source import Source

MAX_PARTS = 12  # broken statements of one body; more are one error of what is around them
JOINED = 60  # units that are read as one, where brackets are open between them
# Characters of a unit that is worth remembering: longer ones, typed letter by letter, would fill the memory.
REMEMBERED = 8_000
BACKWARD = ("was never closed", "unterminated", "EOF in multi-line", "does not match opening", "unmatched")


@dataclass(frozen=True, slots=True)
class Fault:
    """Lines [start, end) of the text that do not parse by themselves.

    `site.text` is `head`, those lines, and `tail`: the header that they stand under and what closes it, as far as that
    is needed to read them alone. `around` is the fault of the unit that they are a part of.
    """

    start: int
    end: int
    site: Site
    head: str = ""
    tail: str = ""
    around: Fault | None = None

    @property
    def shift(self) -> int:
        """What to add to an offset of the site to get one of the text."""
        return self.start - len(self.head)


def faults(source: Source) -> Iterator[Fault]:
    """All independent faults in ascending order; the whole text as one when only the units' combination is broken."""
    language, text = source.language, source.text
    if not source.broken:
        return
    found = scan(language, text)
    cut = units(language, text, found.tokens, Lines(text))
    broken = [unit for unit in cut if not unit_parses(language, text[unit.start : unit.end])]
    broken = _standing(language, text, cut, broken)
    known = _known(found.tokens, broken)
    if not broken:
        broken = [Unit(0, len(text))]
    for u in broken:
        yield from narrowed(Fault(u.start, u.end, site_of(language, text[u.start : u.end], known)))


def _standing(
    language: Language, text: str, cut: list[Unit], broken: list[Unit], head: str = "", tail: str = ""
) -> list[Unit]:
    """Without units that parse with those behind them: statements whose later lines stand where one would begin."""
    left: list[Unit] = []
    places, rejected = {unit: n for n, unit in enumerate(cut)}, set(broken)
    opened: dict[int, int] = {}  # by a unit's place: each is behind many others that may be broken
    covered = 0  # the end of what was found to parse
    for unit in broken:
        if unit.start < covered:
            continue
        first, depth = places[unit], 0
        for n, other in enumerate(cut[first : first + JOINED]):
            if first + n not in opened:
                opened[first + n] = _opened(language, text, other)
            depth += opened[first + n]
            if n == 0 and depth <= 0 and cut[first + 1 : first + 2] and cut[first + 1] not in rejected:
                break  # nothing is open, and what follows stands by itself
            if n and depth <= 0:
                if unit_parses(language, head + text[unit.start : other.end] + tail):
                    covered = other.end
                break
        if unit.start >= covered:
            left.append(unit)
    return left


def _opened(language: Language, text: str, unit: Unit) -> int:
    """How many more brackets a unit opens than it closes."""
    return sum((t.kind == "open") - (t.kind == "close") for t in tokens(language, text, unit.start, unit.end))


def _known(found: list[Token], broken: list[Unit]) -> frozenset[str]:
    """Names that the text uses: more than once, or where nothing is wrong. Others may be mistakes themselves."""
    names = [t for t in found if t.kind == "name" and len(t.text) > 1]
    starts = [unit.start for unit in broken]
    count = Counter(t.text for t in names)

    def elsewhere(token: Token) -> bool:
        n = bisect_right(starts, token.start) - 1
        return n < 0 or token.start >= broken[n].end

    return frozenset(t.text for t in names if count[t.text] > 1 or elsewhere(t))


def narrowed(fault: Fault) -> list[Fault]:
    """The statements of a unit's body that are broken, as far down as they can be read alone; or the fault itself."""
    site, language, known = fault.site, fault.site.language, fault.site.known
    text = site.text[len(fault.head) : len(site.text) - len(fault.tail)]
    parts = inner(language, text, tokens(language, text))
    if not parts:
        return [fault]
    head, tail = fault.head + text[: parts[0].start], text[parts[-1].end :] + fault.tail
    broken = [
        p
        for p in parts
        if not unit_parses(language, head + text[p.start : p.end] + tail) and _has_code(language, text, p)
    ]
    broken = _standing(language, text, parts, broken, head, tail)
    if not broken or len(broken) > MAX_PARTS or not _header_parses(language, head, tail, text[parts[0].start :]):
        return [fault]  # the header is at fault, or what binds the parts together
    found: list[Fault] = []
    for p in broken:
        at, part = fault.start + p.start, head + text[p.start : p.end] + tail
        found += narrowed(Fault(at, at + p.end - p.start, site_of(language, part, known), head, tail, fault))
    return found


def _has_code(language: Language, text: str, part: Unit) -> bool:
    """A part of comments alone is no body, but nothing is wrong with it either."""
    return any(token.kind != "comment" for token in tokens(language, text, part.start, part.end))


def _header_parses(language: Language, head: str, tail: str, body: str) -> bool:
    if not language.indentation_matters:
        return unit_parses(language, head + tail)
    margin = body[: len(body) - len(body.lstrip(" \t"))]
    return unit_parses(language, f"{head}{margin}pass\n{tail}")


def unit_parses(language: Language, text: str) -> bool:
    """Whether a unit parses by itself; remembered for small ones, which most units are while one of them is typed."""
    return _unit_parses(language, text) if len(text) <= REMEMBERED else accepts(language, text)


@lru_cache(maxsize=2048)
def _unit_parses(language: Language, text: str) -> bool:
    return accepts(language, text)


def site_of(language: Language, text: str, known: frozenset[str] = frozenset()) -> Site:
    """The site of a text that does not parse; remembered, with what is read of it, for small ones."""
    return _site_of(language, text, known) if len(text) <= REMEMBERED else Site(language, text, known)


@lru_cache(maxsize=128)
def _site_of(language: Language, text: str, known: frozenset[str]) -> Site:
    return Site(language, text, known)


def unread(language: Language, text: str) -> int:
    """Characters of a text from the first place where a parser cannot read on: 0 when it parses."""
    return Reading(language, text).unread(text, 0)


class Reading:
    """How far parsers read texts that begin as one text does, which is read once without the log."""

    def __init__(self, language: Language, text: str) -> None:
        self.language = language
        self._reports = reports(language, _bytes(language, text))

    def unread(self, text: str, alike: int, until: int | None = None) -> int:
        """What is unread of a text (`unread`) that is known to be right for `alike` characters; `until` is far enough.

        Neither is counted exactly: a few tokens before `alike` are read with the log on, a few behind `until` too.
        """
        language, data = self.language, _bytes(self.language, text)
        quiet = max(bisect_left(self._reports, _size(text, alike)) - 1, 0)
        stop = first_stop(language, data, quiet, None if until is None else _size(text, until))
        left = 0 if stop is None else len(data[stop.byte :].decode("utf-8", "ignore")) or 1
        if language.name == "python":
            error = python_error(text)
            if error is None:
                return 0
            if error.start is not None and (not left or not any(word in error.message for word in BACKWARD)):
                at = error.end or error.start if "forgot a comma" in error.message else error.start
                left = max(left, len(text) - at, 1)
        return left


def _bytes(language: Language, text: str) -> bytes:
    return mask(language, text).encode("utf-8", "replace")[:MAX_LOGGED]


def _size(text: str, characters: int) -> int:
    return characters if text.isascii() else len(text[:characters].encode("utf-8", "replace"))
