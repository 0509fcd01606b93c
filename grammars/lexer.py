"""A forgiving lexical scan: tokens, brackets that do not match, quotes that do not close.

It reads broken text the way a person does: a plain string ends with its line at the latest, and a bracket that is
still open when a line begins left of it was forgotten.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from grammars.registry import Language

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
DEEPEST = 200  # brackets inside of one another that are looked through for a partner: junk must not cost its square
VALUE_WORDS = frozenset("this super null true false None True False self".split())


@dataclass(frozen=True, slots=True)
class Token:
    """A lexical token; `kind` is "name", "number", "string", "comment", "open", "close", "operator" or "unclosed".

    "unclosed" is a string that its line, or for a tripled quote or a template the text, ended.
    """

    start: int
    end: int
    kind: str
    text: str


@dataclass(slots=True)
class Scan:
    """What a scan found: unmatched brackets and quotes, each by the token that shows it, in the order of the text."""

    tokens: list[Token] = field(default_factory=list)
    unclosed: list[Token] = field(default_factory=list)  # openers without a closer
    unopened: list[Token] = field(default_factory=list)  # closers without an opener
    swapped: list[tuple[Token, Token]] = field(default_factory=list)  # opener and the wrong closer
    quotes: list[Token] = field(default_factory=list)  # strings that are never closed
    exposed: dict[int, Token] = field(default_factory=dict)  # by an unclosed opener's start: what shows that it is

    def expose(self, opener: Token, witness: Token) -> None:
        """Record that `witness` shows `opener` to be without a closer."""
        self.unclosed.append(opener)
        self.exposed[opener.start] = witness


class Lines:
    """Rows of a text and their spans, line breaks left out."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        at = text.find("\n")
        while at >= 0:
            self.starts.append(at + 1)
            at = text.find("\n", at + 1)

    def row(self, offset: int) -> int:
        """The row of a character offset."""
        return bisect_right(self.starts, offset) - 1

    def span(self, row: int) -> tuple[int, int]:
        """Start and end of a row, without its line break."""
        start = self.starts[row]
        end = self.starts[row + 1] - 1 if row + 1 < len(self.starts) else len(self.text)
        return start, end - (self.text[end - 1 : end] == "\r" and end > start)

    def content(self, row: int) -> str:
        """A row's text."""
        start, end = self.span(row)
        return self.text[start:end]

    def margin(self, row: int) -> str:
        """The white space that a row begins with."""
        content = self.content(row)
        return content[: len(content) - len(content.lstrip())]

    def indent(self, row: int) -> int:
        """Columns of white space before a row's first token, a tab counting to the next multiple of eight."""
        return len(self.margin(row).expandtabs(8))

    def neighbour(self, row: int, step: int) -> int:
        """The nearest row before or after that is not blank; -1 when there is none."""
        row += step
        while 0 <= row < len(self.starts):
            if self.content(row).strip():
                return row
            row += step
        return -1


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
    closed = "|".join(rf"{q}(?:\\(?:\r\n|.)|[^{q}\\\r\n])*{q}" for q in plain)
    open_ = "|".join(rf"{q}(?:\\(?:\r\n|.)|[^{q}\\\r\n])*" for q in plain)
    if "`" in language.quotes:
        closed += r"|`(?:\\.|[^`\\])*`"
        open_ += r"|`(?:\\.|[^`\\])*\Z"
    parts += [rf"(?P<string>{prefix}(?:{closed}))", rf"(?P<unclosed>{prefix}(?:{open_}))"]
    parts += [
        r"(?P<name>[^\W\d][\w$]*|\$[\w$]*)",
        r"(?P<number>\.?\d[\w.]*)",
        r"(?P<open>[(\[{])",
        r"(?P<close>[)\]}])",
    ]
    parts.append(
        r"(?P<operator>\*\*=|//=|>>>=|===|!==|\.\.\.|<<=|>>=|&&=|\|\|=|\?\?=|=>|->|:=|\?\.|\?\?|"
        r"[-+*/%&|^@<>=!]=|\*\*|//|<<|>>|&&|\|\||\+\+|--|[^\s\w])"
    )
    return re.compile("|".join(parts), re.DOTALL)


REGEX = re.compile(r"/(?![*/\s])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
SPACE = re.compile(r"\s*")


def tokens(language: Language, text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """Tokens of a span, white space left out."""
    return list(_tokens(language, text, start, len(text) if end is None else end))


def _tokens(language: Language, text: str, at: int, end: int) -> Iterator[Token]:
    pattern, scripted = _pattern(language), "`" in language.quotes
    last: Token | None = None
    while True:
        space = SPACE.match(text, at, end)
        at = space.end() if space else at
        if at >= end:
            return
        match = None
        if scripted and text[at] == "/" and _regex_may_follow(language, last):
            match = REGEX.match(text, at, end)
        if match is not None:
            token = Token(at, match.end(), "string", match.group())
        elif scripted and text[at] in "'\"" and last is not None and last.kind == "name" and last.end == at:
            # A quote that touches a word is an apostrophe in JSX text, or closes what nothing opened.
            token = Token(at, at + 1, "operator", text[at])
        else:
            match = pattern.match(text, at, end)
            if match is None:
                token = Token(at, at + 1, "operator", text[at])
            else:
                token = Token(at, match.end(), (match.lastgroup or "operator").rstrip("23"), match.group())
        yield token
        last, at = (last if token.kind == "comment" else token), token.end


def _regex_may_follow(language: Language, last: Token | None) -> bool:
    if last is None or last.kind == "open":
        return True
    if last.kind == "operator":
        return last.text not in ("<", "++", "--")
    return last.kind == "name" and last.text in language.keywords and last.text not in VALUE_WORDS


@dataclass(frozen=True, slots=True)
class _Open:
    """An opener on the stack: its token, its line's indentation, and where that line starts."""

    token: Token
    indent: int
    line: int


def scan(language: Language, text: str) -> Scan:
    """Match brackets over the whole text, with indentation as a witness."""
    result = Scan(tokens(language, text))
    stack: list[_Open] = []
    line_start, indent = 0, 0
    last_end = 0
    for token in result.tokens:
        first = "\n" in text[last_end : token.start] or not last_end
        if first:
            line_start = text.rfind("\n", 0, token.start) + 1
            indent = token.start - line_start
            _forget_left_behind(language, token, indent, stack, result)
        last_end = token.end
        if token.kind == "unclosed":
            result.quotes.append(token)
        elif token.kind == "open":
            stack.append(_Open(token, indent, line_start))
        elif token.kind == "close":
            if first and token.text == "}" and not language.indentation_matters:
                if _lost_its_header(text, line_start, indent, stack):
                    result.unopened.append(token)
                    continue
                _forget_deeper(token, indent, stack, result)
            _close(token, indent if first else -1, line_start, stack, result)
    result.unclosed += [opener.token for opener in stack]
    result.unclosed.sort(key=lambda t: t.start)
    return result


def _forget_left_behind(language: Language, token: Token, indent: int, stack: list[_Open], result: Scan) -> None:
    """At a line's first token: brackets that a new statement shows to have been forgotten."""
    if token.kind in ("close", "comment", "operator", "string"):
        return
    headed = token.text in language.headers and token.text not in ("for", "if", "else", "async", "case")
    while stack:
        opener, opened_at = stack[-1].token, stack[-1].indent
        if language.indentation_matters:
            stale = indent <= opened_at and (headed or indent < opened_at or token.text in STATEMENTS)
        else:
            stale = opener.text != "{" and indent <= opened_at and (headed or token.text in STATEMENTS)
            stale = stale or (opener.text == "{" and indent < opened_at) or (not indent and token.text in TOP_LEVEL)
        if not stale:
            return
        result.expose(stack.pop().token, token)


STATEMENTS = frozenset(
    "def class return import from raise while with try pass break continue assert del global nonlocal const let var "
    "function throw export interface type enum switch".split()
)
TOP_LEVEL = frozenset("import export".split())  # words that are never inside of anything


def _close(token: Token, indent: int, line: int, stack: list[_Open], result: Scan) -> None:
    """Match a closer; `indent` is its column when it is its line's first token, else -1."""
    wanted = CLOSERS[token.text]
    inner = enumerate(islice(reversed(stack), DEEPEST))
    depth = next((i for i, opener in inner if opener.token.text == wanted), None)
    if depth == 0:
        stack.pop()
        return
    if depth is None:
        if stack and (stack[-1].token.text != "{" or stack[-1].line == line):
            result.swapped.append((stack.pop().token, token))
        else:
            result.unopened.append(token)
        return
    partner = stack[-1 - depth]
    if stack[-1].line == line and partner.line != line:
        result.swapped.append((stack.pop().token, token))  # what it would close is on this line, its partner is not
        return
    braces = any(opener.token.text == "{" for opener in stack[len(stack) - depth :])
    if braces and partner.line != line and partner.indent != indent:
        result.unopened.append(token)  # it does not stand where the closer of a block's surroundings would
        return
    for _ in range(depth):
        result.expose(stack.pop().token, token)
    stack.pop()


def _lost_its_header(text: str, line: int, indent: int, stack: list[_Open]) -> bool:
    """Whether a brace at a line's start belongs to a header above it, at its indentation, that opened nothing."""
    if not stack or stack[-1].token.text != "{" or stack[-1].indent >= indent:
        return False
    below = -1
    for _ in range(200):
        if not line:
            return False
        line = text.rfind("\n", 0, line - 1) + 1
        content = text[line : text.find("\n", line)]
        if not content.strip():
            continue
        margin = len(content) - len(content.lstrip())
        if margin < indent:
            return False
        if margin == indent:
            return below > indent and not content.rstrip().endswith(("{", "(", "[", ",", ";"))
        below = margin
    return False


def _forget_deeper(token: Token, indent: int, stack: list[_Open], result: Scan) -> None:
    """A brace at a line's start closes the block that begins at its own indentation, or one was forgotten."""
    if not stack or stack[-1].token.text != "{" or stack[-1].indent <= indent:
        return
    if any(opener.token.text == "{" and opener.indent == indent for opener in stack[-DEEPEST:-1]):
        while stack and stack[-1].indent > indent:
            result.expose(stack.pop().token, token)
