"""A forgiving lexical scan: tokens, brackets that do not match, quotes that do not close.

It reads broken text the way a person does: a plain string ends with its line at the latest, and a bracket that is
still open when a line begins left of it was forgotten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from grammars.registry import Language

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}


@dataclass(frozen=True, slots=True)
class Token:
    """A lexical token; `kind` is "name", "number", "string", "comment", "open", "close", "operator" or "unclosed"."""

    start: int
    end: int
    kind: str
    text: str


@dataclass(slots=True)
class Scan:
    """What a scan found: unmatched brackets by the token that shows them, and where an opener's closer belongs."""

    tokens: list[Token] = field(default_factory=list)
    unclosed: list[Token] = field(default_factory=list)  # openers without a closer
    unopened: list[Token] = field(default_factory=list)  # closers without an opener
    swapped: list[tuple[Token, Token]] = field(default_factory=list)  # opener and the wrong closer
    quotes: list[Token] = field(default_factory=list)  # strings that their line ended


@lru_cache(maxsize=8)
def _pattern(language: Language) -> re.Pattern[str]:
    parts = []
    if language.triple:
        parts.append(r"(?P<string3>(?:[rRbBuUfFtT]{0,2})(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"))")
        parts.append(r"(?P<unclosed3>(?:[rRbBuUfFtT]{0,2})(?:'''|\"\"\")(?:\\.|[^\\])*\Z)")
    if language.block_comment:
        a, b = map(re.escape, language.block_comment)
        parts.append(rf"(?P<comment2>{a}.*?(?:{b}|\Z))")
    parts.append(rf"(?P<comment>{re.escape(language.line_comment)}[^\n]*)")
    prefix = "(?:[rRbBuUfFtT]{0,2})" if language.triple else ""
    plain = "".join(q for q in language.quotes if q != "`")
    closed = "|".join(rf"{q}(?:\\(?:\r\n|.)|[^{q}\\\n])*{q}" for q in plain)
    open_ = "|".join(rf"{q}(?:\\(?:\r\n|.)|[^{q}\\\n])*" for q in plain)
    if "`" in language.quotes:
        closed += r"|`(?:\\.|[^`\\])*`"
        open_ += r"|`(?:\\.|[^`\\])*\Z"
    parts += [rf"(?P<string>{prefix}(?:{closed}))", rf"(?P<unclosed>{prefix}(?:{open_}))"]
    parts += [r"(?P<name>[^\W\d]\w*)", r"(?P<number>\.?\d[\w.]*)", r"(?P<open>[(\[{])", r"(?P<close>[)\]}])"]
    parts.append(
        r"(?P<operator>\*\*=|//=|>>>=|===|!==|\.\.\.|<<=|>>=|&&=|\|\|=|\?\?=|=>|->|:=|\?\.|\?\?|"
        r"[-+*/%&|^@<>=!]=|\*\*|//|<<|>>|&&|\|\||\+\+|--|[^\s\w])"
    )
    return re.compile("|".join(parts), re.DOTALL)


def tokens(language: Language, text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """Tokens of a span, whitespace left out."""
    found = []
    for match in _pattern(language).finditer(text, start, len(text) if end is None else end):
        kind = (match.lastgroup or "operator").rstrip("23")
        found.append(Token(match.start(), match.end(), kind, match.group()))
    return found


def scan(language: Language, text: str) -> Scan:
    """Match brackets over the whole text, with indentation as a witness."""
    result = Scan(tokens(language, text))
    stack: list[tuple[Token, int]] = []
    line_start, indent = 0, 0
    last_end = 0
    for token in result.tokens:
        if "\n" in text[last_end : token.start] or not last_end:
            line_start = text.rfind("\n", 0, token.start) + 1
            indent = token.start - line_start
            _forget_left_behind(language, token, indent, stack, result)
        last_end = token.end
        if token.kind == "unclosed":
            result.quotes.append(token)
        elif token.kind == "open":
            stack.append((token, indent))
        elif token.kind == "close":
            _close(token, indent, stack, result, language)
    result.unclosed += [token for token, _ in stack]
    result.unclosed.sort(key=lambda t: t.start)
    return result


def _forget_left_behind(
    language: Language, token: Token, indent: int, stack: list[tuple[Token, int]], result: Scan
) -> None:
    """At a line's first token: brackets that a new statement shows to have been forgotten."""
    if token.kind in ("close", "comment", "operator", "string"):
        return
    headed = token.text in language.headers and token.text not in ("for", "if", "else", "async", "case")
    while stack:
        opener, opened_at = stack[-1]
        if language.indentation_matters:
            stale = indent <= opened_at and (headed or indent < opened_at or token.text in STATEMENTS)
        else:
            stale = opener.text != "{" and indent <= opened_at and (headed or token.text in STATEMENTS)
        if not stale:
            return
        result.unclosed.append(stack.pop()[0])


STATEMENTS = frozenset(
    "def class return import from raise while with try pass break continue assert del global nonlocal const let var "
    "function throw export interface type enum switch".split()
)


def _close(token: Token, indent: int, stack: list[tuple[Token, int]], result: Scan, language: Language) -> None:
    wanted = CLOSERS[token.text]
    if stack and stack[-1][0].text == wanted:
        if not language.indentation_matters and token.text == "}":
            # A brace at a line's start closes the block that begins at its own indentation, or one was forgotten.
            _forget_deeper(token, indent, stack, result)
        if stack:
            stack.pop()
        return
    depth = next((i for i, (t, _) in enumerate(reversed(stack)) if t.text == wanted), None)
    if depth is None:
        if stack and stack[-1][0].text != "{":
            result.swapped.append((stack.pop()[0], token))
        else:
            result.unopened.append(token)
        return
    for _ in range(depth):
        result.unclosed.append(stack.pop()[0])
    stack.pop()


def _forget_deeper(token: Token, indent: int, stack: list[tuple[Token, int]], result: Scan) -> None:
    opener, opened_at = stack[-1]
    if opened_at > indent and any(t.text == "{" and at == indent for t, at in stack[:-1]):
        while stack and stack[-1][1] > indent:
            result.unclosed.append(stack.pop()[0])
    del opener
