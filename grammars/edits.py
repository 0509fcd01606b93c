"""Small edits that the grammar may allow at an error, the most plausible first.

Insert, delete or substitute one token, or a quote together with what it swallowed; re-indent a line. Every edit is a
guess: whoever asks verifies it by parsing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from grammars.lexer import CLOSERS, OPENERS, Token, scan, tokens
from grammars.regions import Lines

if TYPE_CHECKING:
    from grammars.source import Region, Source, TokenEdit

INSERTIONS = (",", ":", ".", "=", "(", ")", "[", "]", "{", "}", ";")
MAX_TOKENS = 80  # of a region; more is not a line that somebody wrote


def single_edits(source: Source, region: Region) -> Iterator[TokenEdit]:
    """Distinct edits in ascending order of cost."""
    from grammars.source import TokenEdit

    best: dict[tuple[int, int, str], float] = {}
    for start, end, new, cost in _all(source, region):
        if source.text[start:end] == new:
            continue
        key = (start, end, new)
        if cost < best.get(key, 99.0):
            best[key] = cost
    for (start, end, new), cost in sorted(best.items(), key=lambda item: item[1]):
        yield TokenEdit(start, end, new, round(cost, 3))


Guess = tuple[int, int, str, float]


def _all(source: Source, region: Region) -> Iterator[Guess]:
    text, language = source.text, source.language
    lines = Lines(text)
    inside = tokens(language, text, region.start, region.end)[:MAX_TOKENS]
    brackets = scan(language, text)
    yield from _quotes(source, inside)
    yield from _brackets(source, region, inside, brackets.unclosed, brackets.unopened, brackets.swapped)
    yield from _header(source, region, inside)
    yield from _words(source, inside)
    yield from _deletions(text, inside)
    yield from _insertions(region, inside)
    yield from _substitutions(inside)
    yield from _indentation(source, region, lines)
    yield from _leftovers(text, region)


def _quotes(source: Source, inside: list[Token]) -> Iterator[Guess]:
    """Close a string that its line ended: before the closers it swallowed, or at one of its inner borders."""
    for token in inside:
        if token.kind != "unclosed":
            continue
        body = token.text.lstrip("rRbBuUfFtT")
        quote = body[:3] if body[:3] in ('"""', "'''") else body[0]
        words = [t for t in tokens(source.language, body[len(quote) :]) if t.kind != "unclosed"]
        base = token.end - len(body) + len(quote)
        stop = token.end
        tail = 0
        for word in reversed(words):
            closing = word.kind == "close" or word.text in (",", ":", ";")
            if not closing:
                break
            stop, tail = base + word.start, tail + 1
            yield stop, stop, quote, 1.0 - 0.05 * tail
        yield token.end, token.end, quote, 1.0 if not tail else 1.3
        for word in words:
            yield base + word.start, base + word.start, quote, 1.35
            yield base + word.end, base + word.end, quote, 1.3
        yield token.start, token.end - len(body) + len(quote), "", 1.4
        for word in words:
            if word.kind == "name":
                yield base + word.end, base + word.end, quote + ")", 2.2


def _brackets(
    source: Source,
    region: Region,
    inside: list[Token],
    unclosed: list[Token],
    unopened: list[Token],
    swapped: list[tuple[Token, Token]],
) -> Iterator[Guess]:
    """Close what is open, drop or open what is closed too often, swap what is mixed up."""
    text = source.text
    stop = inside[-1].end if inside else region.end
    if inside and inside[-1].kind == "comment":
        stop = inside[-2].end if len(inside) > 1 else inside[-1].start
    for token in unclosed:
        if token.start > region.end:
            continue
        closer = OPENERS[token.text]
        ends = [t.end for t in inside if t.end > token.start and t.kind != "comment"]
        for end in ends or [region.end]:
            near = 0.0 if end == stop else 0.05
            before_header_end = text[end : end + 1] in (source.language.header_end, ";") or text[end:].startswith(" {")
            yield end, end, closer, 0.9 + near - (0.06 if before_header_end else 0.0)
        if region.start <= token.start < region.end:
            yield token.start, token.end, "", 1.1
        if closer == "}" or region.end == region.start:
            indent = _line_indent(text, token.start)
            at = stop if inside else region.end
            yield at, at, "\n" + indent + closer, 1.0
    for token in unopened:
        if region.start <= token.start < region.end:
            yield token.start, token.end, "", 0.9
            opener = CLOSERS[token.text]
            for other in inside:
                if other.start < token.start:
                    yield other.start, other.start, opener, 1.1
                    yield other.end, other.end, opener, 1.15
    for opener_token, closer_token in swapped:
        if region.start <= closer_token.start < region.end:
            yield closer_token.start, closer_token.end, OPENERS[opener_token.text], 0.9
            yield closer_token.start, closer_token.start, OPENERS[opener_token.text], 1.0
        if region.start <= opener_token.start < region.end:
            yield opener_token.start, opener_token.end, CLOSERS[closer_token.text], 1.0


def _header(source: Source, region: Region, inside: list[Token]) -> Iterator[Guess]:
    """End a header that lacks its end."""
    language = source.language
    code = [t for t in inside if t.kind != "comment"]
    if not code:
        return
    end = code[-1].end
    headed = code[0].text in language.headers or (len(code) > 1 and code[1].text in language.headers)
    if language.header_end == ":":
        yield end, end, ":", 0.8 if headed and code[-1].text != ":" else 1.2
        if headed and code[-1].text != ":":
            yield code[-1].start, end, ":", 1.0 if code[-1].kind == "operator" else 1.6
    else:
        yield end, end, " {", 0.85 if headed and code[-1].text != "{" else 1.3
        if headed:
            yield end, end, ") {", 1.6
    del region


def _words(source: Source, inside: list[Token]) -> Iterator[Guess]:
    """A misspelt keyword; two words that grew together."""
    for token in inside:
        if token.kind != "name" or token.text in source.language.keywords:
            continue
        for keyword in source.language.keywords:
            if _close_to(token.text, keyword):
                yield token.start, token.end, keyword, 1.0
            elif token.text.startswith(keyword) and len(token.text) > len(keyword) + 1 and len(keyword) > 2:
                yield token.start + len(keyword), token.start + len(keyword), " ", 1.2


def _close_to(word: str, keyword: str) -> bool:
    """One letter more, less, other or swapped (Damerau 1964)."""
    if word == keyword or abs(len(word) - len(keyword)) > 1 or min(len(word), len(keyword)) < 2:
        return False
    i = 0
    while i < min(len(word), len(keyword)) and word[i] == keyword[i]:
        i += 1
    a, b = word[i:], keyword[i:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (len(a) > 1 and a[1:2] + a[:1] + a[2:] == b)


def _deletions(text: str, inside: list[Token]) -> Iterator[Guess]:
    """Drop one token, with the space that it leaves behind; user text that says something costs more."""
    for i, token in enumerate(inside):
        if token.kind == "comment":
            continue
        cost = {"operator": 1.05, "close": 1.05, "open": 1.05}.get(token.kind, 1.5)
        if i and inside[i - 1].text == token.text:
            cost -= 0.2  # typed twice
        end = token.end
        if text[end : end + 1] == " " and (text[token.start - 1 : token.start] in ("", " ", "\n", "(", "[", "{")):
            end += 1
        yield token.start, end, "", cost
        if i + 1 < len(inside) and inside[i + 1].kind in ("operator", "close", "open"):
            yield token.start, inside[i + 1].end, "", cost + 0.9


def _insertions(region: Region, inside: list[Token]) -> Iterator[Guess]:
    """Put one mark between two tokens."""
    code = [t for t in inside if t.kind != "comment"]
    for i, token in enumerate(code):
        following = code[i + 1] if i + 1 < len(code) else None
        for mark in INSERTIONS:
            cost = 1.3
            if mark == "," and following is not None and _value(token) and _value(following):
                cost = 1.0
            if mark == "." and not (following and token.kind in ("name", "close") and following.kind == "name"):
                continue
            if mark == "=" and not (following and token.kind == "name"):
                continue
            spaced = f" {mark}" if mark == "=" else mark
            yield token.end, token.end, spaced, cost
        if i == 0:
            for mark in ("(", "[", "{", "}", ")"):
                yield token.start, token.start, mark, 1.4
    del region


def _value(token: Token) -> bool:
    return token.kind in ("name", "number", "string", "open", "close")


def _substitutions(inside: list[Token]) -> Iterator[Guess]:
    """One mark for another."""
    pairs = {
        ";": ":,",
        ":": ";,=",
        ",": ":.;",
        ".": ",",
        "=": ":",
        "==": "=",
        "===": "=",
        "=>": ":",
        "-": ":",
        "->": ":",
    }
    for token in inside:
        for other in pairs.get(token.text, ""):
            yield token.start, token.end, other, 1.15
        if token.text == "=":
            yield token.start, token.end, "==", 1.1
            yield token.start, token.end, "=>", 1.25
        if token.kind in ("open", "close"):
            for other in OPENERS if token.kind == "open" else CLOSERS:
                if other != token.text:
                    yield token.start, token.end, other, 1.2
        if token.text in ("&", "|"):
            yield token.start, token.end, token.text * 2, 1.2


def _indentation(source: Source, region: Region, lines: Lines) -> Iterator[Guess]:
    """Move the region's first line to an indentation that its neighbours suggest; a body that is missing altogether."""
    if not source.language.indentation_matters:
        return
    row = lines.row(region.start)
    content = lines.content(row)
    if not content.strip():
        return
    start = lines.span(row)[0]
    current = content[: len(content) - len(content.lstrip())]
    unit = indent_unit(source.text)
    before = lines.neighbour(row, -1)
    wanted: list[tuple[str, float]] = []
    if before >= 0:
        previous = lines.content(before)
        level = previous[: len(previous) - len(previous.lstrip())]
        opened = previous.rstrip().endswith((":", "(", "[", "{"))
        wanted.append((level + unit, 0.85 if opened else 1.4))
        wanted.append((level, 0.9 if not opened else 1.3))
        while level:
            level = level[: -len(unit)] if level.endswith(unit) else level[:-1]
            wanted.append((level, 1.1))
    after = lines.neighbour(row, 1)
    if after >= 0:
        following = lines.content(after)
        wanted.append((following[: len(following) - len(following.lstrip())], 1.0))
    for indent, cost in wanted:
        yield start, start + len(current), indent, cost
        yield from _shifted_block(lines, row, current, indent, cost + 0.2)
    if content.rstrip().endswith(":"):
        yield start + len(content), start + len(content), "\n" + current + unit + "pass", 1.6


def _shifted_block(lines: Lines, row: int, current: str, indent: str, cost: float) -> Iterator[Guess]:
    """The same move for the following lines of the same or deeper indentation."""
    last, rows = row, 0
    following = row + 1
    while following < len(lines.starts) and rows < 40:
        content = lines.content(following)
        if content.strip() and not content.startswith(current):
            break
        if content.strip():
            last, rows = following, rows + 1
        following += 1
    if last == row or (not current and not indent):
        return
    start, end = lines.span(row)[0], lines.span(last)[1]
    block = lines.text[start:end].split("\n")
    moved = [indent + line[len(current) :] if line.strip() else line for line in block]
    yield start, end, "\n".join(moved), cost + 0.02 * rows


def _leftovers(text: str, region: Region) -> Iterator[Guess]:
    """Drop a whole line: a merge marker, or something that was never finished."""
    end = region.end + (text[region.end : region.end + 1] == "\r")
    end += text[end : end + 1] == "\n"
    line = text[region.start : region.end]
    if line.startswith(("<<<<<<<", "=======", ">>>>>>>", "|||||||")):
        yield region.start, end, "", 0.8
    elif line.strip():
        yield region.start, end, "", 2.5


def indent_unit(text: str) -> str:
    """What one level of indentation is in this text."""
    for line in text.split("\n", 400)[:400]:
        if line.startswith("\t"):
            return "\t"
        width = len(line) - len(line.lstrip(" "))
        if width in (2, 4, 8) and line.strip():
            return " " * width
    return "    "


def _line_indent(text: str, offset: int) -> str:
    start = text.rfind("\n", 0, offset) + 1
    line = text[start : offset + 1]
    return line[: len(line) - len(line.lstrip())]
