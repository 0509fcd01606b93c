"""Errors as a person would name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grammars.lexer import OPENERS, Token, scan, tokens
from grammars.regions import Lines
from grammars.validity import verdict

if TYPE_CHECKING:
    from grammars.source import Problem, Source

MAX_PROBLEMS = 50


def problems(source: Source) -> list[Problem]:
    """One problem for each independent error, in ascending order; [] when the text is not broken."""
    from grammars.source import Problem

    found = verdict(source)
    if not found.broken:
        return []
    lines = Lines(source.text)
    brackets = scan(source.language, source.text)
    told: list[Problem] = []

    def tell(start: int, end: int, message: str) -> None:
        """One problem a line is enough: the first witness is the best."""
        row = lines.row(start)
        if len(told) < MAX_PROBLEMS and all(abs(lines.row(p.start) - row) > 0 for p in told):
            told.append(Problem(start, max(end, start + (start < len(source.text))), message))

    for token in brackets.quotes:
        tell(token.start, token.end, "this string is never closed")
    for token in brackets.unclosed:
        tell(token.start, token.end, f"'{token.text}' opened here is never closed")
    for opener, closer in brackets.swapped:
        tell(closer.start, closer.end, f"'{closer.text}' closes '{opener.text}': expected '{OPENERS[opener.text]}'")
    for token in brackets.unopened:
        tell(token.start, token.end, f"unexpected '{token.text}': nothing here opened it")
    if found.start is not None and not (told and "never closed" in found.message):
        covered = [
            p for p in told if lines.row(p.start) in range(lines.row(found.start) - 1, lines.row(found.start) + 1)
        ]
        if not covered:
            tell(found.start, found.end or found.start, _sentence(found.message))
    for error in source.errors:
        if error.depth or (told and error.end - error.start > 200):
            continue
        row = lines.row(error.start)
        if any(lines.row(p.start) in (row - 1, row, row + 1) or error.start <= p.start <= error.end for p in told):
            continue
        if error.missing:
            tell(error.start, error.end, f"expected {_name(error.expected)}")
        else:
            tell(*_blamed(source, lines, error.start, error.end))
    if not told:
        start, end = (source.errors[0].start, source.errors[0].end) if source.errors else (0, min(1, len(source.text)))
        tell(start, min(end, lines.span(lines.row(start))[1]), _sentence(found.message or "this does not parse"))
    return sorted(told, key=lambda p: p.start)


def _blamed(source: Source, lines: Lines, start: int, end: int) -> tuple[int, int, str]:
    """The part of an ERROR node to underline, and what to say of it."""
    row_end = lines.span(lines.row(start))[1]
    inside = tokens(source.language, source.text, start, min(end, row_end) if row_end > start else end)
    if len(inside) == 1:
        return inside[0].start, inside[0].end, f"unexpected '{_short(inside[0])}'"
    header = lines.content(lines.row(start)).strip()
    first = header.split(" ", 1)[0] if header else ""
    language = source.language
    if first in language.headers and language.header_end not in header:
        return start, row_end, f"expected '{language.header_end}' after the {first} header"
    return start, max(row_end, start), "this does not parse"


def _short(token: Token) -> str:
    return token.text if len(token.text) <= 20 else token.text[:17] + "..."


def _sentence(message: str) -> str:
    """CPython's message without the parts that only make sense in a traceback."""
    return message.split(" (<unknown>")[0].removeprefix("invalid syntax. ") or "this does not parse"


def _name(node_type: str) -> str:
    return node_type if node_type.isidentifier() else f"'{node_type}'"
