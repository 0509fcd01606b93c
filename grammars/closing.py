"""What closes the brackets that a piece of text leaves open."""

from __future__ import annotations

from collections.abc import Iterator

from grammars.lexer import CLOSERS, OPENERS, Token, tokens
from grammars.registry import Language


def opens_at_end(language: Language, line: str) -> bool:
    """Whether the last thing that a line says, comments aside, is an opening bracket."""
    if not any(opener in line for opener in OPENERS):
        return False
    code = [token for token in tokens(language, line) if token.kind != "comment"]
    return bool(code) and code[-1].kind == "open"


def closings(language: Language, typed: str, text: str, ends: bool = True) -> Iterator[str]:
    """What may close the brackets that `text` leaves open behind `typed`, what stands before it in its first line.

    First with the brackets that `typed` left open, then without them, as what follows may close those. A closer gets a
    line of its own where its opener ends one, in the column of that line. Where the last closer is none of a block's,
    it comes with the language's end of a statement first, unless the file does without (`ends`).
    """
    whole = typed + text
    opened = _opened(language, whole)
    own = [token for token in opened if token.start >= len(typed)]
    for brackets in (opened, own) if len(own) < len(opened) else (opened,):
        if brackets:
            closed = _closing(whole, brackets)
            if ends and language.statement_end and not closed.endswith("}"):
                yield closed + language.statement_end
            yield closed


def _opened(language: Language, text: str) -> list[Token]:
    """The brackets that a text opens and does not close, outermost first."""
    stack: list[Token] = []
    for token in tokens(language, text):
        if token.kind == "open":
            stack.append(token)
        elif token.kind == "close" and stack and stack[-1].text == CLOSERS[token.text]:
            stack.pop()
    return stack


def _closing(text: str, brackets: list[Token]) -> str:
    closed, broken = "", -1  # where the line of the last closer that has one of its own began
    for token in reversed(brackets):
        start = text.rfind("\n", 0, token.start) + 1
        stop = text.find("\n", token.end)
        if stop >= 0 and start != broken and not text[token.end : stop].strip():
            line = text[start:]
            closed += "\n" + line[: len(line) - len(line.lstrip())]
            broken = start
        closed += OPENERS[token.text]
    return closed
