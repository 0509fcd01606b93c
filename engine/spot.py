"""The place that a completion is asked for: one line or a block, and what the parser thinks of a text there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import grammars
from engine.ends import End, body_indent, cut_at_dedent
from engine.types import CompleteRequest, Completion
from engine.verify import Verifier
from engine.window import Window
from grammars.blocks import deeper_follows, opens_block

NEAR = 8  # ends that the parser is asked about
BRACKETS = (")", "]", "}")  # what a line may begin with that goes on with a statement which opened one
AUTOMATIC = ")]};, \t\r"  # what may stand behind a cursor that is at the end of what was typed
STYLE = 4_000  # characters of the prefix that show whether statements of this file end as its language has it
CLOSED = 4  # lines, at most, of a text that closes nothing by itself: a small model that finds no end repeats itself


@dataclass(frozen=True, slots=True)
class Spot:
    """The place that a request asks about: one line or a block, and what the parser thinks of a text there.

    `indent` is what a block's lines have at least. Where the text's first line is a header itself, or leaves a bracket
    open, one of `clauses` may stand in its column. `bracketed`: what is written must close a bracket that is open here.
    """

    request: CompleteRequest
    window: Window
    block: bool
    indent: int
    verifier: Verifier
    clauses: tuple[str, ...] = ()
    bracketed: bool = False

    @classmethod
    def at(cls, request: CompleteRequest, window: Window, block: bool, verifier: Verifier) -> Spot:
        """The place of a request: one line, or a block, of which a bracket above may be open still."""
        spot = cls(request, window, block, body_indent(request.prefix), verifier)
        if not block or not spot.ends_code or not verifier.before.tree.root_node.has_error:
            return spot
        return replace(spot, bracketed=spot.wants_closing(""))

    @property
    def ends_line(self) -> bool:
        """Whether nothing stands behind the cursor in its line."""
        return self.request.suffix[:1] in ("", "\n", "\r")

    @property
    def ends_code(self) -> bool:
        """Whether nothing but what an editor closed by itself stands behind the cursor in its line."""
        suffix = self.request.suffix
        stop = suffix.find("\n")
        return not suffix[: stop if stop >= 0 else len(suffix)].strip(AUTOMATIC)

    @property
    def typed(self) -> str:
        """What stands before the cursor in its line."""
        return self.request.prefix[self.request.prefix.rfind("\n") + 1 :]

    @property
    def head(self) -> str:
        """What stands before the cursor in its line, and where that is nothing, the line above that opens the block."""
        if self.typed.strip() or not self.block:
            return self.typed
        prefix = self.request.prefix
        return prefix[prefix.rfind("\n", 0, len(prefix.rstrip())) + 1 :]

    def cut(self, text: str) -> str:
        """What of a text belongs to the block, where there is one."""
        return cut_at_dedent(text, self.indent, self.clauses) if self.block else text

    def shaped(self, text: str) -> str:
        """A block's text without blanks at its end; closers of what was typed that follow get a line of their own."""
        if not self.block or not self.ends_code:
            return text
        if self.ends_line:
            return text.rstrip()
        typed, language = self.typed, self.verifier.before.language
        if not text.lstrip(" \t").startswith(("\n", "\r")) or not grammars.opens_at_end(language, typed):
            return text
        return text.rstrip() + "\n" + typed[: len(typed) - len(typed.lstrip())]

    def first_holding(self, found: list[End]) -> End | None:
        """The likeliest of some ends that does no harm and says something."""
        said = (e for e in found[:NEAR] if e.text.strip() and not (self.block and self.bare(e.text)))
        return next((e for e in said if self.verifier.holds(e.text)), None)

    def first_settling(self, lines: list[Completion]) -> Completion | None:
        """The first of some texts that `settles`."""
        return next((line for line in lines if self.settles(line.text)), None)

    def settles(self, text: str) -> bool:
        """Whether `text` does no harm and, as a block, is one, closed where it opened a bracket."""
        if self.block and (self.bare(text) or (self.bracketed and self.wants_closing(text))):
            return False
        return self.verifier.holds(text)

    def opened_by(self, text: str) -> Spot | None:
        """The place as one of several lines, where `text` is its line and opens a block, or a bracket left unclosed.

        None where one line was asked for, or where the block is there or the bracket closed already.
        """
        before, line = self.verifier.before, self.typed + text
        if self.block or self.request.multiline is not None or not self.ends_code:
            return None
        indent = body_indent(line)
        header = before.language.indentation_matters and opens_block(before, line.strip())
        if header:
            wanted = not deeper_follows(before.text, self.verifier.offset, indent - 1)
        else:
            wanted = grammars.opens_at_end(before.language, line) and self.wants_closing(text)
        if not wanted or (self.request.brief and self.settles(text)):
            return None
        clauses = before.language.clauses if header else BRACKETS
        return replace(self, block=True, indent=indent, clauses=clauses, bracketed=not header)

    def closed(self, lines: Sequence[str]) -> tuple[str, str] | None:
        """As many of the first lines as hold once what they leave open is closed, and what closes it."""
        for count in range(min(len(lines), CLOSED), 0, -1):
            text = "\n".join(lines[:count]).rstrip()
            if self.bare(text) or grammars.opens_at_end(self.verifier.before.language, text):
                continue
            for closing in self._closings(text):
                if self.verifier.holds(text + closing):
                    return text, closing
        return None

    def _closings(self, text: str) -> Iterator[str]:
        """What may close what `text` leaves open, in the style of the file."""
        language = self.verifier.before.language
        ends = f"{language.statement_end}\n"
        near = self.request.prefix[-STYLE:]
        return grammars.closings(language, self.head, text, ends in near or ends in text or "\n" not in near)

    def bare(self, text: str) -> bool:
        """Whether `text` is a comment alone, or ends by opening a block."""
        before = self.verifier.before
        code = [line.strip() for line in text.split("\n") if line.strip()]
        code = [line for line in code if not line.startswith(before.language.line_comment)]
        return not code or opens_block(before, code[-1])

    def wants_closing(self, text: str) -> bool:
        """Whether the file is less broken with the brackets closed that `text` leaves open."""
        broken = self.verifier.broken_bytes
        return any(broken(text + closing) < broken(text) for closing in self._closings(text))
