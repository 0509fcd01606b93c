"""JSX tags without a partner."""

from __future__ import annotations

import re
from collections.abc import Iterator

from grammars.edits.guess import Guess
from grammars.sites import Site

TAG = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z][\w.:-]*)?(?P<rest>(?:=>|\{[^{}]*\}|[^<>{}])*?)(?P<self>/?)>")
VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
FAR = 30


def propose(site: Site) -> Iterator[Guess]:
    """Close, drop or finish tags (JavaScript and TSX only)."""
    if site.language.name not in ("javascript", "tsx") or "<" not in site.text:
        return
    last = max(site.lines.row(stop) for stop in site.stops)
    quiet = [(t.start, t.end) for t in site.brackets.tokens if t.kind in ("string", "comment")]
    open_: list[re.Match[str]] = []
    for tag in TAG.finditer(site.text):
        if any(a < tag.start() < b for a, b in quiet) or (not tag["name"] and tag["rest"].strip()):
            continue
        name = tag["name"] or ""
        if tag["self"]:
            continue
        if not tag["close"]:
            if tag.start() and (site.text[tag.start() - 1].isalnum() or site.text[tag.start() - 1] in "_)"):
                continue  # a type's arguments, or less-than
            open_.append(tag)
            continue
        if open_ and (open_[-1]["name"] or "") == name:
            open_.pop()
            continue
        if any((t["name"] or "") == name for t in open_):
            while (open_[-1]["name"] or "") != name:
                yield from _close(site, open_.pop(), tag, last)
            open_.pop()
        elif open_:
            yield tag.start(), tag.end(), f"</{open_[-1]['name'] or ''}>", 0.95
            yield tag.start(), tag.end(), "", 1.0
        else:
            yield tag.start(), tag.end(), "", 1.0
    for tag in open_[-4:]:
        yield from _close(site, tag, None, last)
    yield from _unfinished(site)


def _close(site: Site, tag: re.Match[str], before: re.Match[str] | None, last: int) -> Iterator[Guess]:
    name = tag["name"] or ""
    closing = f"</{name}>"
    if name in VOID or tag["rest"].strip():
        yield tag.end() - 1, tag.end() - 1, " /", 0.8 if name in VOID else 1.1
    row = site.lines.row(tag.start())
    end = site.lines.span(row)[1]
    if before is not None:
        yield before.start(), before.start(), closing, 0.95
    text = site.text[:end].rstrip()
    yield len(text), len(text), closing, 0.95 if len(text) > tag.end() else 1.1
    following = row + 1
    deeper = row
    while following < min(len(site.lines.starts), row + FAR):
        if site.lines.content(following).strip():
            if site.lines.indent(following) <= site.lines.indent(row):
                break
            deeper = following
        following += 1
    if deeper > row:
        at = site.lines.span(deeper)[1]
        yield at, at, "\n" + site.lines.margin(row) + closing, 0.85
    del last


def _unfinished(site: Site) -> Iterator[Guess]:
    """`<div` without `>`, `</div` without `>`, `div>` without `<`."""
    for i, cost in site.near():
        token = site.code[i]
        place = site.code[i - 1].end if i else 0
        yield place, place, ">", 1.25 + cost
        yield place, place, " />", 1.3 + cost
        yield token.start, token.start, "<", 1.3 + cost
        if token.text == "<":
            yield token.end, token.end, "/", 1.2 + cost
        if token.text == ">":
            yield token.start, token.start, " /", 1.2 + cost
