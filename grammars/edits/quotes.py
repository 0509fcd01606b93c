"""Strings that are never closed, or never opened."""

from __future__ import annotations

import re
from collections.abc import Iterator

from grammars.edits.guess import Guess
from grammars.lexer import Token, tokens
from grammars.sites import Site

BEFORE_VALUES = frozenset((",", "=", ":", "+", "==", "===", "!=", "!==", "?", "||", "&&", "=>", "%", "|"))
NEARBY = 4  # strings of several lines before a stop that may have swallowed code
CODE = re.compile(r"[\w.\[\]'\"]+(?:, ?\w+)* ?[-+*/|&]?= ?\S|[\w.]+\(|@\w|raise |assert |del |pass$|yield |super\(")
METHOD = re.compile(r"\.(?:join|format|split|strip|replace|encode|startswith|endswith|lower|upper)\(")
DEFINES = re.compile(
    r"(?:async )?def \w+\(|(?:export )?class \w+ ?[(:{]|self\.\w+ = |from [\w.]+ import |import \w+(?: as \w+)?$"
    r"|(?:const|let|var) \w+ = |(?:export )?(?:async )?function \w+\("
)
PROSE = re.compile(r"\w|[^\n#\"']*?\b[A-Za-z]+ [A-Za-z]+ [a-z]+")  # what no code has behind a string
SWALLOWERS = 2  # strings that are taken for the first one that swallowed code
FAR = 160  # lines that a string which was meant to end may have swallowed


def propose(site: Site) -> Iterator[Guess]:
    """Close each unclosed string at its likely ends; open what is closed; drop a quote."""
    last = max(site.lines.row(stop) for stop in site.stops)
    for token in site.brackets.quotes:
        if site.lines.row(token.start) <= last + 1:
            yield from _close(site, token)
            yield from _open_before(site, token)
    long_ones = [t for t in site.brackets.tokens if t.kind == "string" and "\n" in t.text]
    near = [t for stop in site.stops for t in [t for t in long_ones if t.start <= stop][-NEARBY:]]
    for token in dict.fromkeys(near):  # what it swallowed is read as code soon after it
        yield from _close_early(site, token)
    for row in site.rows:
        for i in range(*site.line_tokens(row)):
            if site.code[i].text in ("'", '"'):
                yield from _open_before(site, site.code[i])
    for i, cost in site.near():
        token = site.code[i]
        if token.kind == "string" and len(token.text) >= 2:
            yield from _split(site, token, cost)


def swallowed(site: Site) -> Iterator[Guess]:
    """Ends for the first strings that swallowed code, where the text's last quote is one too many or too few.

    All strings behind such a one are inside out: their texts are read as code, and the code between them as text.
    """
    if any(len(opening(t.text)) == 3 or opening(t.text) == "`" for t in site.brackets.quotes):
        long_ones = [t for t in site.brackets.tokens if t.kind in ("string", "unclosed") and "\n" in t.text]
        for token in [t for t in long_ones if _swallows(site, t)][:SWALLOWERS]:
            yield from _close_early(site, token)


def _swallows(site: Site, token: Token) -> bool:
    """Whether words follow a string's end, or it holds lines that define something."""
    if token.kind == "unclosed" or PROSE.match(site.text, token.end):
        return True
    rows = range(site.lines.row(token.start) + 1, site.lines.row(token.end - 1))
    return any(DEFINES.match(site.lines.content(row).strip()) for row in rows)


def opening(text: str) -> str:
    """The quote that a string's text opens with, tripled or not."""
    body = text.lstrip("rRbBuUfFtT")
    return body[:3] if body[:3] in ('"""', "'''") else body[:1]


def _close(site: Site, token: Token) -> Iterator[Guess]:
    """Close a string that its line, or the text, ended: before the closers it swallowed, or at an inner border."""
    quote = opening(token.text)
    stop = min(token.end, site.lines.span(site.lines.row(token.start))[1])
    body_start = token.start + token.text.index(quote) + len(quote)
    yield from _ends(site, quote, body_start, stop, 0.0)
    yield token.start, body_start, "", 1.5
    last = site.text[body_start:stop].rstrip(" ,;:)]}")
    if len(quote) == 1 and last.endswith(("'", '"')) and quote != "`":  # opened with one quote, closed with the other
        yield body_start + len(last) - 1, body_start + len(last), quote, 0.8
        yield token.end - len(token.text) + token.text.index(quote), body_start, last[-1], 0.85
    if len(quote) == 3 or quote == "`":
        yield from _line_ends(site, quote, body_start, token.end)


def _ends(site: Site, quote: str, start: int, stop: int, extra: float) -> Iterator[Guess]:
    words = tokens(site.language, site.text, start, stop)
    words = [w for w in words if w.kind != "unclosed"]
    depth = 0
    for word in words:
        depth += (word.kind == "open") - (word.kind == "close")
        if depth < 0:  # a closer that nothing in the string opens is not the string's
            yield word.start, word.start, quote, 0.93 + extra
            break
        if METHOD.match(site.text, word.start):
            yield word.start, word.start, quote, 0.85 + extra
        if word.text == "," and not depth:
            one = not site.text[start : word.start].strip().count(" ")  # a word, and then the next argument
            follows = site.text[word.end : stop].lstrip(" ")
            argument = re.match(r"[A-Za-z_]\w*(?= *[=.,()\[\]}]| *$)", follows)
            code = argument is not None and (argument.group() in site.names or follows[argument.end() :][:1] == "=")
            yield word.start, word.start, quote, (0.9 if one and code else 1.0) + extra
    stop -= len(site.text[start:stop]) - len(site.text[start:stop].rstrip())
    tail = 0
    for word in reversed(words):
        if word.kind not in ("close",) and word.text not in (",", ":", ";"):
            break
        stop, tail = word.start, tail + 1
        yield stop, stop, quote, 1.0 - 0.03 * tail + extra
    end = words[-1].end if words else stop
    yield end, end, quote, extra + (1.0 if not tail else 1.25)
    for word in words:
        yield word.start, word.start, quote, 1.3 + extra
        yield word.end, word.end, quote, 1.25 + extra


def _line_ends(site: Site, quote: str, start: int, stop: int) -> Iterator[Guess]:
    """A string that may span lines: its end may be any line's, the nearer the better."""
    row = site.lines.row(start)
    margin = site.lines.indent(row)
    code = 0  # lines that look like code, which nobody puts into a string
    for away, following in enumerate(range(row, min(site.lines.row(max(stop - 1, start)) + 1, row + FAR))):
        n = min(away, 10) + away // 10  # the first lines are told apart better than the far ones
        code += away > 0 and _is_code(site, following)
        code += 2 * (away > 0 and DEFINES.match(site.lines.content(following).strip()) is not None)
        n += min(8 * max(code - 1, 0), 60)
        first, last = site.lines.span(following)
        if last <= start:
            continue
        content = site.lines.content(following)
        end = first + len(content.rstrip())
        dedented = bool(content.strip()) and site.lines.indent(following) < margin
        nearby = _starts_code(site, following + 1)
        if n and content.lstrip()[:1] in tuple(".,)%") and content.strip():  # what is done with the string
            yield first + site.lines.indent(following), first + site.lines.indent(following), quote, 0.8 + 0.01 * n
        if not away and content.endswith(" "):  # the blank before the quote is still there
            yield last, last, quote, 0.7
        if n and content and not content.strip() and quote != "`":
            yield last, last, quote, 0.75 + 0.002 * n  # the quote's own line is still there, with its margin
        own = n and quote != "`" and nearby  # a string of several lines is closed on a line of its own
        if quote == "`":  # a template of several lines is rarer than one that was meant to end on its own
            far = 0.2 + 0.05 * n if n else -0.1
            yield end, end, quote, 1.0 + far
            yield from _ends(site, quote, max(first, start), last, far)
            continue
        yield end, end, quote, 1.0 + 0.02 * n - (0.1 if own else 0.2 if nearby else 0.0)
        if nearby or dedented:
            yield last, last, site.newline + site.lines.margin(row) + quote, (0.85 if own else 1.25) + 0.02 * n
        if dedented:
            return


def _starts_code(site: Site, row: int) -> bool:
    """Whether a row begins like a statement, after the text that a string holds."""
    if row >= len(site.lines.starts):
        return True
    return not site.lines.content(row).strip() or _is_code(site, row)


def _is_code(site: Site, row: int) -> bool:
    line = site.lines.content(row).strip()
    word = line.split(" ", 1)[0]
    return (
        CODE.match(line) is not None
        or word in site.language.headers
        or word in ("return", "import", "from", "const", "let", "self")
    )


def _close_early(site: Site, token: Token) -> Iterator[Guess]:
    """A string of several lines that swallowed code: it runs to the quote that was meant to open the next one."""
    quote = opening(token.text)
    if quote in ("'", '"') or not quote:
        return
    body = token.start + token.text.index(quote) + len(quote)
    yield from _line_ends(site, quote, body, token.end - len(quote))


def _open_before(site: Site, token: Token) -> Iterator[Guess]:
    """A closing quote that nothing opens: open it before one of the words on its left, or drop it."""
    quote = opening(token.text)
    if len(quote) != 1:
        return
    at = token.start + token.text.index(quote)
    line = site.line_tokens(site.lines.row(token.start))[0]
    last = next((i for i in range(line, len(site.code)) if site.code[i].end > at), len(site.code))
    for n in range(1, min(last - line, 40) + 1):
        word, before = site.code[last - n], site.code[last - n - 1] if last - n else None
        if word.kind in ("close",) or word.text in (",", ";"):
            continue
        begins = before is None or last - n == line or before.kind == "open"
        begins |= before is not None and (before.text in BEFORE_VALUES or before.text in site.language.keywords)
        yield word.start, word.start, quote, (0.9 if begins else 1.1) + 0.02 * n
    yield at, at + 1, "", 1.2


def _split(site: Site, token: Token, cost: float) -> Iterator[Guess]:
    """Two strings that ran into one, as in `'a, 'b'`: close the first before the comma inside of it."""
    quote = opening(token.text)
    if len(quote) != 1:
        return
    start = token.start + token.text.index(quote) + 1
    before = start
    for word in tokens(site.language, site.text, start, token.end - 1):
        if word.text in ("|", "||", "&&", "?") and before > start:  # an operator stands apart from the string
            yield before, before, quote, 0.95 + cost
        before = word.end
        if word.text in (",", ")", "]", "}", ":", ";", "+", "."):
            yield word.start, word.start, quote, 1.05 + cost
    yield token.end - 1, token.end, "", 1.5 + cost
