"""Brackets without a partner: close what is open, drop or open what is closed too often, swap what is mixed up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from grammars.edits.guess import Guess
from grammars.lexer import CLOSERS, OPENERS, Token
from grammars.sites import Site

FAR = 60  # lines from an opener, or before the stop, in which its closer may be missing
GOES_ON = re.compile(r"(?:else|catch|finally)\b")  # what stands behind a block's closing brace
LIMIT = 8  # unmatched brackets that are looked at


def propose(site: Site) -> Iterator[Guess]:
    """Guesses for every unmatched bracket up to the stops' rows."""
    last = max((site.lines.row(stop) for stop in site.stops), default=0)
    found = site.brackets
    for token in [t for t in found.unclosed if site.lines.row(t.start) <= last][-LIMIT:]:
        yield from _close(site, token, last)
    for token in found.unopened[:LIMIT]:
        yield from _unopened(site, token)
    for opener, closer in found.swapped[:LIMIT]:
        yield closer.start, closer.end, OPENERS[opener.text], 0.9
        yield closer.start, closer.start, OPENERS[opener.text], 0.95
        yield opener.start, opener.end, CLOSERS[closer.text], 1.05
        yield closer.start, closer.end, "", 1.1
        yield opener.start, opener.end, "", 1.2
    yield from _before_else(site)
    for i, cost in site.near():
        token = site.code[i]
        if token.kind in ("open", "close"):
            for other in OPENERS if token.kind == "open" else CLOSERS:
                if other != token.text:
                    yield token.start, token.end, other, 1.25 + cost


def _before_else(site: Site) -> Iterator[Guess]:
    """A block's closing brace that stood before what goes on with it; the blank behind the brace may still be there."""
    if site.language.indentation_matters:
        return
    for at in site.at:
        for i in range(max(at - 1, 0), min(at + 2, len(site.code))):
            token = site.code[i]
            if site.first_on_line(i) and GOES_ON.match(token.text) and i and site.code[i - 1].text != "}":
                margin = site.lines.margin(site.lines.row(token.start))
                blank = margin.endswith(" ") and len(margin.replace("\t", "")) % 2 == 1
                yield token.start - blank, token.start - blank, "}" if blank else "} ", 0.8


def _close(site: Site, opener: Token, last: int) -> Iterator[Guess]:
    """Close an opener: where it was found out, at its own line's token borders, at the ends of the lines after it."""
    closer, lines = OPENERS[opener.text], site.lines
    row, first = lines.row(opener.start), site.index(opener.start)
    yield opener.start, opener.end, "", 1.25
    witness = site.brackets.exposed.get(opener.start)
    if witness is not None and witness.kind == "close":
        i = site.index(witness.start)
        place = witness.start if site.first_on_line(i) or not i else site.code[i - 1].end
        yield place, place, closer, 0.84
    multiline = site.last_on_line(first)  # an opener at its line's end was closed on a line of its own
    yield from _close_on_its_line(site, first, row, closer, 0.3 if multiline else 0.0)
    margin, deeper = lines.indent(row), row
    for following in range(row + 1, min(last + 2, len(lines.starts))):
        if not lines.content(following).strip():
            continue
        if lines.indent(following) <= margin:
            break
        deeper = following
        if following < last - FAR and following > row + FAR:
            continue
        a, b = site.line_tokens(following)
        far = 0.02 * max(lines.row(site.stops[0]) - following, 0)
        for i in range(a, b):
            if site.code[i].kind not in ("open", "operator"):
                yield site.code[i].end, site.code[i].end, closer, (1.0 if site.last_on_line(i) else 1.15) + far
    yield from _on_a_line_of_its_own(site, row, deeper, closer, 0.0 if multiline else 0.25)


def _close_on_its_line(site: Site, first: int, row: int, closer: str, extra: float) -> Iterator[Guess]:
    depth = 0
    for i in range(first + 1, min(first + 60, len(site.code))):
        token = site.code[i]
        if site.lines.row(token.start) > row:
            break
        depth = max(depth + (token.kind == "open") - (token.kind == "close"), 0)
        if token.kind in ("open", "operator") and token.text not in ("++", "--", "..."):
            continue
        # Before a colon, a brace, a comma or a semicolon that ends the line is where a closer was.
        following = site.code[i + 1] if i + 1 < len(site.code) else None
        ends = site.last_on_line(i)
        before_end = following is not None and following.text in (site.language.header_end, ";", ",", "=>", ":")
        cost = 0.85 if before_end and site.last_on_line(i + 1) else 0.9 if ends else 1.0 if before_end else 1.05
        if token.kind == "close" and cost > 1.0:  # where one closer is missing, others are beside it
            cost = 1.0
        if following is not None and site.text[token.end : following.start] == "  ":  # the blanks on both sides of it
            yield token.end + 1, token.end + 1, closer, 0.8 + extra
        yield token.end, token.end, closer, cost + 0.15 * (depth > 0) + extra


def _on_a_line_of_its_own(site: Site, row: int, deeper: int, closer: str, extra: float) -> Iterator[Guess]:
    """A closer that stood alone after the lines it encloses, at the indentation of the line that opens it."""
    lines, text = site.lines, site.text
    breaks = site.newline
    own, end = lines.margin(row), lines.span(deeper)[1]
    if deeper > row:
        below = lines.neighbour(deeper, 1)
        blanks = (below if below >= 0 else len(lines.starts) - 1) - deeper - 1
        if blanks >= 2 and blanks != 2 * site.language.indentation_matters:  # its line is still there, but empty
            yield end + len(breaks), end + len(breaks), own + closer, 0.87 + extra
        yield end, end, breaks + own + closer, 0.88 + extra
        if site.language.statement_end:
            for tail, cost in ((";", 1.2), (",", 1.2), (")", 1.5), (");", 1.3)):
                yield end, end, breaks + own + closer + tail, cost + extra
    following = lines.neighbour(deeper, 1)
    for blank in range(deeper + 1, following if following >= 0 else len(lines.starts)):
        if lines.content(blank) and not lines.content(blank).strip():
            same = 0.05 * (lines.content(blank) != own)
            yield (
                lines.span(blank)[1],
                lines.span(blank)[1],
                closer,
                0.8 + same,
            )  # its line is still there, with its margin
            break
    if following >= 0 and lines.indent(following) == lines.indent(row):
        start = lines.span(following)[0] + len(lines.margin(following))
        for i in range(*site.line_tokens(following)):  # `);` that was `});`, `, []);` that was `}, []);`
            if site.code[i].kind == "close":
                yield site.code[i].start, site.code[i].start, closer, 0.95
        joint = "" if text[start : start + 1] in ("", ")", ",", ";", "]", "}", ".") else " "
        yield start, start, closer + joint, (0.85 if not joint else 0.97) + extra / 2
        if site.language.statement_end and text[start : start + 1].isalpha():
            yield start, start, closer + ";" + breaks + own, 1.5


def _unopened(site: Site, token: Token) -> Iterator[Guess]:
    """A closer too many: drop it, with its line if it stands alone, or open it further left."""
    text = site.text
    space = text[token.start - 1 : token.start] == " " and text[token.end : token.end + 1] in (" ", "\n", "\r", "")
    at, opener = site.index(token.start), CLOSERS[token.text]
    # Typed twice, most of the time; behind a name, its opener was forgotten as often.
    alone = 0.08 * (at > 0 and site.code[at - 1].kind == "name" and site.code[at - 1].end == token.start)
    yield token.start - space, token.end, "", (0.89 if space else 0.9) + alone
    row = site.lines.row(token.start)
    start, end = site.lines.span(row)
    if text[start:end].strip() == token.text and end < len(text):
        yield start, end + 1 + (text[end : end + 2] == "\r\n"), "", 0.88
    if opener == "{":
        yield from _open_block(site, row)
    for n in range(1, 25):
        i = at - n
        if i < 0 or (site.first_on_line(i + 1) and token.text != "}"):
            break
        if opener == "(" and _parameters(site, i, at):
            yield site.code[i].start, site.code[i].start, opener, 0.86 + 0.02 * n
        before = site.code[i]
        if site.text[before.end : site.code[i + 1].start] == "  ":
            yield before.end + 1, before.end + 1, opener, 0.8 + 0.01 * n  # the blanks on both sides of it
        called = before.kind == "name" and before.text not in site.language.keywords
        if opener == "{" and site.last_on_line(i):
            yield before.end, before.end, " {", 1.0 + 0.02 * n
            continue
        yield from _open_inside(site, before, opener, 0.03 * n)
        yield before.end, before.end, opener, (0.9 if called and n == 1 else 1.0 if called else 1.2) + 0.03 * n
        yield before.start, before.start, opener, 1.1 + 0.03 * n
    # An earlier closer may be the one too many.
    for n in range(1, 12):
        if at - n >= 0 and site.code[at - n].text == token.text:
            other = site.code[at - n]
            twice = site.code[at - n - 1].text == other.text and site.code[at - n - 1].end == other.start
            yield other.start, other.end, "", (0.9 if at > n and twice else 1.0) + 0.03 * n


def _open_inside(site: Site, word: Token, opener: str, cost: float) -> Iterator[Guess]:
    """Two names that grew together when the bracket between them was lost: `lenitems)` was `len(items)`."""
    if word.kind != "name":
        return
    # A word that is used elsewhere is whole, most of the time; one that is not was two.
    whole = 0.2 * (word.text in site.names)
    for n in range(1, len(word.text)):
        left, right = word.text[:n], word.text[n:]
        index = opener == "[" and right.isdigit()
        if index or (right in site.names and (len(right) > 1 or left in site.names)):
            yield word.start + n, word.start + n, opener, 0.85 - 0.05 * (left in site.names) + whole + cost / 3
        elif left in site.names:
            yield word.start + n, word.start + n, opener, 0.95 + cost


def _open_block(site: Site, row: int) -> Iterator[Guess]:
    token = unopened_header(site, row)
    if token is not None:
        space = site.text[token.end : token.end + 1] == " "
        yield token.end + space, token.end + space, " {"[space:], 0.75
        if token.text == ";":
            yield token.start, token.end, " {", 0.85


def unopened_header(site: Site, row: int) -> Token | None:
    """For a row that begins with a brace that nothing opens: the last token of the header that should have.

    It is the nearest line above at the brace's indentation, if what follows it is deeper and it ends in no bracket.
    """
    lines, margin = site.lines, site.lines.indent(row)
    for above in range(row - 1, max(row - FAR, -1), -1):
        if lines.content(above).strip() and lines.indent(above) < margin:
            return None
        first, last = site.line_tokens(above)
        if first < last and lines.indent(above) == margin:
            deeper = lines.indent(max(lines.neighbour(above, 1), 0)) > margin
            return site.code[last - 1] if deeper and site.code[last - 1].text not in OPENERS else None
    return None


def _parameters(site: Site, i: int, closer: int) -> bool:
    """Whether tokens `i` to `closer` may be the parameters of an arrow function that lost their opening bracket."""
    if closer + 1 >= len(site.code) or site.code[closer + 1].text not in ("=>", ":"):
        return False
    return i == 0 or site.code[i - 1].text in ("(", ",", "=", "[", "{", ":", "return")
