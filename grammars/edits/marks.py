"""One token more, less or other near the stop: punctuation that the grammar takes there, operators mistaken."""

from __future__ import annotations

from collections.abc import Iterator

from grammars.edits.guess import Guess
from grammars.lexer import CLOSERS, Token
from grammars.sites import Site

INSERTIONS = {",": 1.2, ":": 1.25, ".": 1.3, "=": 1.25, "(": 1.3, ")": 1.2, "[": 1.4, "]": 1.3, "{": 1.4, "}": 1.3}
SCRIPT_INSERTIONS = {";": 1.4, "=>": 1.05, "?": 1.6, "+": 1.5, "`": 1.5}
TYPED_INSERTIONS = {">": 1.1}
TYPES = frozenset("string number boolean any unknown void never object symbol bigint".split())
PYTHON_INSERTIONS = {"in": 1.2, "import": 1.2, "->": 1.4, "+": 1.5, "as": 1.4, "%": 1.6, "*": 1.6}
UNEVEN = frozenset((",", ";", ":", ".", "?", "++", "--", "...", "*", "**", "&", "<", ">", "!"))
SPACED = frozenset(("=", "=>", "->", "+", "?", "in", "import", "as", "%", "*"))
PAIRS = {
    ";": ":,",
    ":": ";,=",
    ",": ":.;",
    ".": ",",
    "==": "=",
    "===": "=",
    "=>": ":",
    "-": ":=",
    "->": ":",
    "&": "&&",
    "|": "||",
}
PYTHON_WORDS = {
    "&&": "and", "||": "or", "===": "==", "!==": "!=", "<>": "!=", "=>": ":", "->": ":", "{": ":", ":=": "=",
    "++": "+= 1", "--": "-= 1", "!": "not ", "?": "if", "=<": "<=",
}  # fmt: skip
SCRIPT_WORDS = {"->": "=>", ":=": "=", "<>": "!==", "**": "*", "=": "=>", "==": "=>", "//": "/"}


def propose(site: Site) -> Iterator[Guess]:
    """Insertions, deletions and substitutions at the tokens near the stops, and a header's end."""
    yield from _header(site)
    for i, cost in site.near():
        yield from _insert(site, i, cost)
        yield from _delete(site, i, cost)
        yield from _substitute(site, site.code[i], cost)
    if site.code and len(site.code) in site.at:
        yield from _insert(site, len(site.code), 0.0)


def _header(site: Site) -> Iterator[Guess]:
    """End a header that lacks its end, as the rows near the stops suggest."""
    language = site.language
    for row in site.rows:
        a, b = site.line_tokens(row)
        if a == b:
            continue
        first, last = site.code[a], site.code[b - 1]
        second = site.code[a + 1].text if a + 1 < b else ""
        headed = first.text in language.headers or second in language.headers
        margin = site.lines.indent(row)
        following = site.lines.neighbour(row, 1)
        deeper = following >= 0 and site.lines.indent(following) > margin
        if language.header_end == ":":
            if last.text != ":":
                yield last.end, last.end, ":", 0.7 if headed and deeper else 0.85 if headed else 1.2
                if headed and last.kind in ("operator", "open"):
                    yield last.start, last.end, ":", 0.9
        elif last.text != "{":
            grown = deeper and (headed or last.text in (")", "=>"))
            space = site.text[last.end : last.end + 1] == " "
            yield last.end + space, last.end + space, " {"[space:], 0.75 if grown else 0.95 if headed or deeper else 1.3
            if grown:
                yield last.end, last.end, ") {", 1.5
            if last.text in (":", ";"):
                yield last.start, last.end, " {", 0.85
        elif b - a >= 2 and site.code[b - 2].kind not in ("operator", "open"):
            before = site.code[b - 2]
            yield before.end, before.end, ")", 1.0
            yield before.end, before.end, " =>", 1.05
        if language.header_end == ":" and headed:  # a colon inside of the line: `else return x`, `if x: return`
            for i in range(a, b - 1):
                yield site.code[i].end, site.code[i].end, ":", 1.0 if i == a else 1.15


def _insert(site: Site, i: int, cost: float) -> Iterator[Guess]:
    """Put one token before token `i`, the likelier the more the grammar asks for it."""
    script = not site.language.indentation_matters
    following = site.code[i] if i < len(site.code) else None
    before = site.code[i - 1] if i else None
    at_stop = i in site.at
    both = before is not None and following is not None
    marks = INSERTIONS | (SCRIPT_INSERTIONS if script else PYTHON_INSERTIONS)
    if site.language.name in ("typescript", "tsx"):
        marks |= TYPED_INSERTIONS
    for mark, base in marks.items():
        price = base + cost
        if at_stop and site.expected:
            price += -0.1 if mark in site.expected else 0.2
        if mark == "," and both and _value(before) and _value(following):
            price -= 0.25
        kinds = (before.kind if before else "", following.kind if following else "")
        if mark == "." and not (kinds[0] in ("name", "close") and kinds[1] == "name"):
            continue
        if mark == "=" and kinds[0] in ("name", "close") and _value(following):
            price -= 0.4 if _begins_statement(site, i) else 0.1
        if mark == ":" and following is not None and following.text in TYPES and kinds[0] in ("name", "close"):
            price -= 0.55
        if mark in ("in", "import", "as") and not (both and _value(before) and _value(following)):
            continue
        if mark == "=>" and not (before is not None and before.kind in ("close", "name")):
            continue
        place = before.end if before is not None else following.start if following is not None else 0
        gap = following.start - place if following is not None and before is not None else 0
        if gap == 2 and site.text[place : place + 2] == "  ":  # the blanks on both sides of what stood there
            price += -0.3 if mark == "=" else -0.15 if mark in SPACED else 0.15 if mark == "," else 0.0
        if mark in SPACED and gap == 2 and site.text[place : place + 2].isspace():
            yield place + 1, place + 1, mark, price
        else:
            yield place, place, f" {mark}" if mark in SPACED else mark, price
        if mark in "([{" and following is not None:
            yield following.start, following.start, mark, price + 0.02


def _begins_statement(site: Site, i: int) -> bool:
    """Whether what is left of token `i` on its line could be the target of an assignment, and nothing else."""
    first, _ = site.line_tokens(site.lines.row(site.code[i - 1].start))
    words = site.code[first:i]
    if words and words[0].text in ("const", "let", "var"):
        words = words[1:]
    depth = sum((t.kind == "open") - (t.kind == "close") for t in words)
    return (
        bool(words)
        and not depth
        and all(
            (t.kind in ("name", "open", "close", "number", "string") and t.text not in site.language.keywords)
            or t.text in (".", ":", "self", "this", "|", ",")
            for t in words
        )
    )


def _value(token: Token | None) -> bool:
    return token is not None and (token.kind in ("name", "number", "string", "open", "close") or token.text == "...")


def _delete(site: Site, i: int, cost: float) -> Iterator[Guess]:
    """Drop one token, with the space that it leaves behind; user text that says something costs more."""
    text, token = site.text, site.code[i]
    price = {"operator": 1.05, "close": 1.05, "open": 1.1}.get(token.kind, 1.45) + cost
    if i and site.code[i - 1].text == token.text and token.kind not in ("open", "close"):
        price -= 0.45 if token.kind == "operator" else 0.8  # typed twice
    if token.kind == "operator" and token.text not in UNEVEN and i:  # `a/ = b`: no operator of anybody's style
        left, right = text[token.start - 1].isspace(), text[token.end : token.end + 1].isspace()
        price -= 0.12 * (not left and right and not site.last_on_line(i))
    start, end = token.start, token.end
    if text[end : end + 1] == " " and text[start - 1 : start] in ("", " ", "\n", "(", "[", "{"):
        end += 1
    elif text[start - 1 : start] == " " and text[end : end + 1] in ("", "\n", "\r", ")", "]", "}", ",", ":", ";", " "):
        start -= 1
    if site.first_on_line(i) and site.last_on_line(i):  # alone: its line goes too
        row_start, row_end = site.lines.span(site.lines.row(token.start))
        yield row_start, min(row_end + 1 + (text[row_end : row_end + 2] == "\r\n"), len(text)), "", price + 0.05
    yield start, end, "", price
    if i + 1 < len(site.code) and site.code[i + 1].kind in ("operator", "close", "open", "name"):
        yield token.start, site.code[i + 1].end, "", price + 1.0
    if token.kind == "name" and i and site.code[i - 1].text in (".", ","):
        yield site.code[i - 1].start, token.end, "", price + 0.3


def _substitute(site: Site, token: Token, cost: float) -> Iterator[Guess]:
    """One mark for another, this language's word for another's."""
    script = not site.language.indentation_matters
    for other in PAIRS.get(token.text, ""):
        yield token.start, token.end, other, 1.15 + cost
    if token.text in ("&", "|") and script:
        yield token.start, token.end, token.text * 2, 1.2 + cost
    if token.text == "=":
        yield token.start, token.end, "==" if not script else "===", 0.95 + cost
        yield token.start, token.end, "==", 1.0 + cost
        yield token.start, token.end, ":", 1.15 + cost
    word = (SCRIPT_WORDS if script else PYTHON_WORDS).get(token.text)
    if word is not None:
        yield token.start, token.end, word, 0.85 + cost
    if token.text in CLOSERS or len(token.text) < 2:
        return
    if token.kind == "number":  # 1.2.3, 0777, 12px
        for n in range(1, len(token.text)):
            if not token.text[n].isalnum() or token.text[n].isalpha() != token.text[n - 1].isalpha():
                yield token.start + n, token.start + n, " ", 1.6 + cost
        if token.text.startswith("0") and token.text.lstrip("0"):
            yield token.start, token.end, token.text.lstrip("0"), 1.0 + cost
