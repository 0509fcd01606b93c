"""JSX tags without a partner (JavaScript and TSX)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from grammars.edits.guess import Guess
from grammars.sites import Site

NAME = re.compile(r"[A-Za-z][\w.:-]*|(?=>)")
OPENING = re.compile(r"</|/>|(?:^|[\s(>{])<(?:[A-Za-z][\w.:-]*[\s>]|>)")
VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
LONGEST = 4000  # characters of one opening tag
FAR = 80  # lines between an opening tag and the place where its closing tag may be missing


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag; `closes` for `</a>`, `alone` for `<a />`."""

    start: int
    end: int
    name: str
    closes: bool
    alone: bool


def may_hold_tags(site: Site) -> bool:
    """Whether the language has JSX and the text may."""
    return site.language.name in ("javascript", "tsx") and OPENING.search(site.text) is not None


def propose(site: Site) -> Iterator[Guess]:
    """Close, drop, rename or finish tags."""
    if not may_hold_tags(site):
        return
    open_: list[Tag] = []
    found = list(tags(site))
    for tag in found:
        if tag.alone:
            continue
        if not tag.closes:
            open_.append(tag)
        elif open_ and open_[-1].name == tag.name:
            open_.pop()
        elif any(t.name == tag.name for t in open_):
            while open_[-1].name != tag.name:
                yield from _close(site, open_.pop(), tag)
            open_.pop()
        elif open_:
            yield tag.start, tag.end, f"</{open_[-1].name}>", 0.9
            yield tag.start, tag.end, "", 1.0
        else:
            yield tag.start, tag.end, "", 0.95
    for tag in open_[-4:]:
        yield from _close(site, tag, None)
    if found:
        yield from _unfinished(site)


def unclosed(site: Site) -> list[Tag]:
    """Tags that are never closed, in the order of the text."""
    open_: list[Tag] = []
    lost: list[Tag] = []
    for tag in tags(site):
        if tag.closes and any(t.name == tag.name for t in open_):
            while open_[-1].name != tag.name:
                lost.append(open_.pop())
            open_.pop()
        elif not tag.closes and not tag.alone:
            open_.append(tag)
    return sorted(lost + open_, key=lambda t: t.start)


def tags(site: Site) -> Iterator[Tag]:
    """Tags in the order of the text; type arguments and comparisons are told apart by what stands before them."""
    text, code = site.text, site.code
    at = 0
    for i, token in enumerate(code):
        if token.text != "<" or token.start < at:
            continue
        before = code[i - 1] if i else None
        if before is not None and before.kind in ("name", "number", "close", "string"):
            # A value before it: less-than, or a type's arguments; but JSX may follow text and braces.
            if before.text not in ("}", "return", "default", "case") and before.end == token.start:
                if text[token.end : token.end + 1] != "/":
                    continue
            elif before.kind == "number":
                continue
        closes = text[token.end : token.end + 1] == "/"
        name = NAME.match(text, token.end + closes)
        if name is None:
            continue
        end = _end(site, i, token.start)
        if end:
            at = end
            yield Tag(token.start, end, name.group(), closes, text[end - 2] == "/" and not closes)


def _end(site: Site, i: int, start: int) -> int:
    """The end of the tag that token `i` begins: its first `>` outside of braces; 0 when there is none."""
    depth = 0
    for n in range(i + 1, len(site.code)):
        token = site.code[n]
        if token.end - start > LONGEST:
            return 0
        if token.text == "{":
            depth += 1
        elif token.text == "}":
            depth -= 1
        elif not depth and token.text == ">":
            return token.end
        elif not depth and token.text in ("<", ";", "=>"):
            return 0
    return 0


def _close(site: Site, tag: Tag, before: Tag | None) -> Iterator[Guess]:
    """Close a tag: by itself, at its line's end, after the lines that are deeper, or before `before`."""
    closing = f"</{tag.name}>"
    yield tag.end - 1, tag.end - 1, " /", 0.75 if tag.name in VOID else 1.1
    if before is not None:
        yield before.start, before.start, closing, 0.95
    lines = site.lines
    row, last = lines.row(tag.start), lines.row(tag.end - 1)
    end = len(site.text[: lines.span(last)[1]].rstrip())
    yield end, end, closing, 0.9 if end > tag.end else 1.1
    deeper = last
    for following in range(last + 1, min(len(lines.starts), last + FAR)):
        if not lines.content(following).strip():
            continue
        if lines.indent(following) <= lines.indent(row):
            break
        deeper = following
    if deeper > last:
        at = lines.span(deeper)[1]
        yield at, at, site.newline + lines.margin(row) + closing, 0.8


def _unfinished(site: Site) -> Iterator[Guess]:
    """`<div` without `>`, `</div` without `>`, `div>` without `<`, `<div>` that was `</div>`."""
    for i, cost in site.near():
        token = site.code[i]
        place = site.code[i - 1].end if i else 0
        yield place, place, ">", 1.2 + cost
        yield place, place, " />", 1.3 + cost
        yield token.start, token.start, "<", 1.2 + cost
        yield token.start, token.start, "</", 1.25 + cost
        if token.text == "<":
            yield token.end, token.end, "/", 1.1 + cost
        if token.text == ">":
            yield token.start, token.start, " /", 1.1 + cost
