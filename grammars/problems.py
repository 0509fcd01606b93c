"""Errors as a person would name them: one problem for each independent error, at its cause."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from grammars.edits import tags
from grammars.edits.brackets import unopened_header
from grammars.edits.quotes import opening
from grammars.lexer import OPENERS, Token
from grammars.sites import Site
from grammars.validity import python_error

if TYPE_CHECKING:
    from grammars.source import Problem, Source

MAX_PROBLEMS = 50
CONFLICT = ("<<<<<<<", "=======", ">>>>>>>")
Told = tuple[int, int, str]


def problems(source: Source) -> list[Problem]:
    """In ascending order; [] when the text is not broken."""
    from grammars.source import Problem

    told: list[Problem] = []
    for fault in source.first_faults(MAX_PROBLEMS):
        for start, end, message in explain(fault.site, len(fault.head), len(fault.tail)):
            start, end = fault.shift + start, fault.shift + end
            # An empty span cannot be underlined: take the character before it.
            if end <= start:
                start, end = (
                    (start, start + 1) if source.text[start : start + 1].strip() else (max(start - 1, 0), start)
                )
            told.append(Problem(start, max(end, min(start + 1, len(source.text))), message))
    return sorted(told, key=lambda p: p.start)[:MAX_PROBLEMS]


def explain(site: Site, head: int = 0, tail: int = 0) -> list[Told]:
    """What is wrong with a unit: what no partner is found for, or else what the parsers stop at.

    Nothing is told about the first `head` and the last `tail` characters, which stand elsewhere in the text: what the
    parsers stop at there is told at the first or the last token between them.
    """
    limit = len(site.text) - tail
    last = max(site.lines.row(stop) for stop in site.stops)
    conflicts = _conflicts(site)
    found = conflicts or _quotes(site, last) or _brackets(site)
    found = [told for told in found if head <= told[0] < limit]
    stop = _stop(site)
    if tail and stop[0] >= limit:
        before = site.code[max(site.index(limit) - 1, 0)]
        stop = before.start, before.end, "the text ends in the middle of a statement"
    if not found:
        first = site.index(head)
        if stop[0] < head and first < len(site.code):
            stop = site.code[first].start, site.code[first].end, stop[2]
        return [told for told in _tags(site) if head <= told[0] < limit] or [stop]
    if not conflicts and stop[0] >= head and site.lines.row(stop[0]) < min(site.lines.row(told[0]) for told in found):
        found.append(stop)  # it comes before them, so none of them is its cause
    return found


def _conflicts(site: Site) -> list[Told]:
    """The first mark of a merge conflict; `=======` alone underlines a title."""
    marked = [row for row in range(len(site.lines.starts)) if site.text.startswith(CONFLICT, site.lines.starts[row])]
    if all(site.lines.content(row).startswith("=======") for row in marked):
        return []
    return [(*site.lines.span(marked[0]), "a merge conflict was left here")]


def _quotes(site: Site, last: int) -> list[Told]:
    found: list[Told] = []
    for token in site.brackets.quotes:
        token = _swallower(site, token)
        row = site.lines.row(token.start)
        if row <= last and all(site.lines.row(start) != row for start, _, _ in found):
            end = min(token.end, site.lines.span(row)[1])
            found.append((token.start, end, "this string is never closed"))
    return found


def _swallower(site: Site, last: Token) -> Token:
    """Of strings that may span lines, the first whose end is no end, because a word follows it: it swallowed code."""
    quote = opening(last.text)
    if len(quote) == 1 and quote != "`":
        return last
    code = site.code
    for token, following in pairwise(code):
        if token.start >= last.start:
            break
        joined = following.kind in ("name", "number", "unclosed") and following.text not in site.language.keywords
        same = token.kind == "string" and "\n" in token.text and opening(token.text) == quote
        if same and joined and "\n" not in site.text[token.end : following.start]:
            return token
    return last


def _brackets(site: Site) -> list[Told]:
    found: list[Told] = []
    brackets = site.brackets
    for token in brackets.unclosed[:MAX_PROBLEMS]:
        found.append((token.start, token.end, f"'{token.text}' opened here is never closed"))
    for opener, closer in brackets.swapped[:MAX_PROBLEMS]:
        message = f"'{closer.text}' closes '{opener.text}': expected '{OPENERS[opener.text]}'"
        found.append((closer.start, closer.end, message))
    for token in brackets.unopened[:MAX_PROBLEMS]:
        header = unopened_header(site, site.lines.row(token.start)) if token.text == "}" else None
        if header is not None:
            word = site.code[site.line_tokens(site.lines.row(header.start))[0]].text
            found.append((header.end - 1, header.end, f"expected '{{' at the end of this '{word}'"))
        else:
            found.append((token.start, token.end, f"unexpected '{token.text}': nothing here opened it"))
    one_a_line: dict[int, Told] = {}
    for told in found:
        one_a_line.setdefault(site.lines.row(told[0]), told)
    return list(one_a_line.values())


def _tags(site: Site) -> list[Told]:
    lost = tags.unclosed(site) if tags.may_hold_tags(site) else []
    return [(t.start, min(t.end, t.start + 1 + len(t.name)), f"<{t.name}> is never closed") for t in lost[-1:]]


def _stop(site: Site) -> Told:
    """The token at the first stop, or the header that lacks its end."""
    language = site.language
    error = python_error(site.text) if language.name == "python" else None
    if error is not None and error.start is not None and not error.message.startswith("invalid syntax"):
        if error.message.startswith("expected an indented block"):
            # The error is at what follows, or at the header's own end where nothing does: its colon comes before both.
            header = site.lines.row(site.code[max(site.index(error.start) - 1, 0)].start)
            start, end = site.lines.span(header)
            return start + len(site.lines.margin(header)), end, "expected an indented body after this line"
        return error.start, error.end or error.start, _sentence(error.message)
    stop = min(site.stops)
    i = site.index(stop)
    if i and (i >= len(site.code) or site.first_on_line(i)):
        before = site.code[i - 1]
        first, _ = site.line_tokens(site.lines.row(before.start))
        word = site.code[first].text if first < len(site.code) else ""
        if word in language.headers and language.header_end in site.expected and before.text != language.header_end:
            return before.end - 1, before.end, f"expected '{language.header_end}' at the end of this '{word}'"
        if i >= len(site.code):
            return before.start, before.end, "the text ends in the middle of a statement"
        if before.kind == "operator" and before.text not in (";", "}", ")"):
            return before.start, before.end, f"something is missing after '{before.text}'"
    if i >= len(site.code):
        return stop, stop, "this does not parse"
    token = site.code[i]
    if i and token.kind in ("name", "number", "string", "open") and not site.first_on_line(i):
        before = site.code[i - 1]
        if "," in site.expected and any(t in site.expected for t in (")", "]", "}")) and before.kind != "operator":
            return token.start, token.end, f"unexpected '{_short(token)}': a comma may be missing before it"
    return token.start, token.end, f"unexpected '{_short(token)}'"


def _short(token: Token) -> str:
    line = token.text.split("\n", 1)[0]
    return line if len(line) <= 20 else line[:17] + "..."


def _sentence(message: str) -> str:
    """CPython's message without the parts that only make sense in a traceback."""
    return message.split(" (<unknown>")[0].split(" (detected at")[0]
