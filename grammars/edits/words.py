"""Keywords: misspelt, split, grown together with their neighbour, or another language's."""

from __future__ import annotations

from collections.abc import Iterator

from grammars.edits.guess import Guess
from grammars.sites import Site

PYTHON_FOREIGN = {
    "elseif": ("elif",), "elsif": ("elif",), "function": ("def",), "func": ("def",), "fn": ("def",),
    "switch": ("match",),
    "catch": ("except",), "throw": ("raise",), "const": ("",), "let": ("",), "var": ("",), "public": ("",),
    "void": ("def",), "new": ("",), "foreach": ("for",), "do": ("",), "then": ("",), "unless": ("if not",),
}  # fmt: skip
SCRIPT_FOREIGN = {
    "elif": ("else if",), "elseif": ("else if",), "elsif": ("else if",), "def": ("function",), "fn": ("function",),
    "func": ("function",), "fun": ("function",), "and": ("&&",), "or": ("||",), "not": ("!",), "except": ("catch",),
    "raise": ("throw",), "pass": ("",), "unless": ("if",), "foreach": ("for",), "lambda": ("",), "is": ("===",),
}  # fmt: skip


NAMING = frozenset(("except", "import", "from", "with"))  # what begins a line in which `as` is expected
ABOVE = 10  # lines above the stop whose first words are looked at


def propose(site: Site) -> Iterator[Guess]:
    """Guesses for the names near the stops and on their rows."""
    script = not site.language.indentation_matters
    cost = dict(site.near())
    for row in site.rows:
        for i in range(*site.line_tokens(row)):
            cost.setdefault(i, 0.3)
    for row in range(max(site.rows[-1] - ABOVE, 0), max(site.rows)):  # a header of several lines begins above the stop
        first, last = site.line_tokens(row)
        for i in range(first, min(first + 3, last)):
            cost.setdefault(i, 0.1 + 0.01 * (max(site.rows) - row))
    foreign = SCRIPT_FOREIGN if script else PYTHON_FOREIGN
    for i, distance in cost.items():
        token = site.code[i]
        if token.kind != "name":
            continue
        for word in foreign.get(token.text, ()):
            end = token.end
            if (not word or word == "!") and site.text[end : end + 1] == " ":
                end += 1
            yield token.start, end, word, (0.7 if word in ("&&", "||") else 0.9) + distance
        following = site.code[i + 1] if i + 1 < len(site.code) else None
        if following is not None and following.kind == "name" and not site.last_on_line(i):
            joined = token.text + following.text
            if joined in site.language.keywords and joined not in ("forin",):
                yield token.start, following.end, joined, 0.9 + distance
            if not script and token.text == "else" and following.text == "if":
                yield token.start, following.end, "elif", 0.8 + distance
        if token.text in site.language.keywords:
            continue
        named = site.code[site.line_tokens(site.lines.row(token.start))[0]].text in NAMING
        for keyword in site.language.keywords:
            if close_to(token.text, keyword):
                first = site.first_on_line(i)
                shorter = len(keyword) <= 2
                yield token.start, token.end, keyword, (0.6 if first else 0.75) + distance + 0.3 * shorter
                if keyword == "as" and named and token.text.startswith(keyword):
                    yield token.start + 2, token.start + 2, " ", 0.7 + distance
            elif token.text.lower() == keyword.lower():
                yield token.start, token.end, keyword, 0.85 + distance
            elif token.text.startswith(keyword) and len(token.text) > len(keyword) and len(keyword) > 1:
                at = token.start + len(keyword)
                begins = site.first_on_line(i) or (
                    i > 0 and site.code[i - 1].text in ("}", "export", "async", "default")
                )
                rest = token.text[len(keyword) :]
                grown = rest in site.known or rest in site.language.keywords or keyword == "else"
                price = (0.75 if begins and len(keyword) > 3 else 1.0) - 0.1 * grown + 0.2 * (len(keyword) < 3)
                if keyword == "as" and named:
                    price = 0.7
                yield at, at, " ", price + distance
            elif token.text.endswith(keyword) and len(token.text) > len(keyword) and len(keyword) > 1:
                at = token.end - len(keyword)
                yield at, at, " ", 1.25 + distance + 0.2 * (len(keyword) < 3)


def close_to(word: str, keyword: str) -> bool:
    """One letter more, less, other or swapped (Damerau 1964)."""
    if word == keyword or abs(len(word) - len(keyword)) > 1 or min(len(word), len(keyword)) < 2:
        return False
    i = 0
    while i < min(len(word), len(keyword)) and word[i] == keyword[i]:
        i += 1
    a, b = word[i:], keyword[i:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (len(a) > 1 and a[1:2] + a[:1] + a[2:] == b)
