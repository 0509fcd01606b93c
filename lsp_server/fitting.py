"""From what goes between prefix and suffix to what an editor can show: the text, and how much it replaces.

The engine's answer is exact; it does not know that an editor closed a bracket by itself, that ghost text which repeats
the next line is a nuisance, or that the cursor's line is already indented. The engine's answer has passed the parser;
so does every cut made here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import grammars
from grammars import Source
from lsp_server import indentation
from lsp_server.documents import unix

CLOSERS = re.compile(r"[)\]}\"'`]+")
BRACKETS = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A suggestion for the cursor: `text` (line breaks are `\\n`) replaces the next `over` characters of the line."""

    text: str
    over: int = 0


def normal(before: Source, cursor: int, middle: str, single_line: bool = False) -> str:
    """`middle` with line feeds and the document's indentation, of which the first line gets what it lacks."""
    prefix = unix(before.text[:cursor])
    text = middle.replace("\r\n", "\n").replace("\r", "\n")
    if single_line:
        text = text.split("\n", 1)[0]
    text = indentation.in_style_of(text, prefix, before.text[cursor:])
    return _first_of(_Judge(before, cursor), [_without_extra_indentation(text, prefix, before), text])


def fit(before: Source, cursor: int, text: str) -> Fitted | None:
    """A `normal` text made fit for the cursor of a file without it; None when nothing worth showing is left."""
    prefix, suffix = before.text[:cursor], before.text[cursor:]
    rest = re.split(r"[\r\n]", suffix, maxsplit=1)[0]
    judge = _Judge(before, cursor)
    if not rest.strip():
        text = text.rstrip()
    text = _first_of(judge, [*_without_following(text, prefix, suffix[len(rest) :]), *_without_rest(text, rest), text])
    if not text.strip():
        return None
    over = _over_closers(judge, text, prefix, rest)
    if over is None:
        return None
    if "\n" in text:
        # An editor's range is one line, and must reach its end when the text has several.
        return Fitted(text + rest[over:].rstrip(), len(rest))
    return Fitted(text, over)


class _Judge:
    """Says whether the file with a text at the cursor is no worse than without."""

    def __init__(self, before: Source, cursor: int) -> None:
        self.before = before
        self.cursor = cursor
        self._insertions = grammars.Insertions(before, cursor)

    def accepts(self, text: str, over: int = 0) -> bool:
        if not over:
            return not self._insertions.is_worse(text)
        after = self.before.replace(self.cursor, self.cursor + over, text)
        return not grammars.is_worse(self.before, after, self.cursor, self.cursor + len(text) - over)


def _first_of(judge: _Judge, texts: list[str]) -> str:
    """The first text that does no harm; the last one is what we had and is taken unasked."""
    *better, given = texts
    return next((t for t in better if t != given and (not t.strip() or judge.accepts(t))), given)


def _without_extra_indentation(text: str, prefix: str, before: Source) -> str:
    """The first line without indentation that the cursor's line already has."""
    blanks = indentation.leading(text)
    line = prefix[prefix.rfind("\n") + 1 :]
    if not blanks or line.strip() or not text.strip():
        return text
    step = indentation.unit(prefix)
    wanted = indentation.expected(prefix, before.language) or 0
    missing = max(wanted - indentation.columns(line, step), 0)
    kept = blanks
    while kept and indentation.columns(kept, step) > missing:
        kept = kept[:-1]
    return kept + text[len(blanks) :]


def _without_following(text: str, prefix: str, after: str) -> list[str]:
    """The text without last lines that the document already has right after the cursor's line."""
    following = [line.strip() for line in re.split(r"\r\n|\n|\r", after[:4000]) if line.strip()][:12]
    lines = text.split("\n")
    shown = [line.strip() for line in lines]
    shown[0] = (prefix[prefix.rfind("\n") + 1 :] + lines[0]).strip()
    for count in range(min(len(lines), len(following)), 0, -1):
        if shown[-count:] != following[:count]:
            continue
        if count == 1 and not re.search(r"\w{2}", shown[-1]):
            continue  # a lone closer: the parser knows whether one more is wanted
        return ["\n".join(lines[:-count]).rstrip()]
    return []


def _without_rest(text: str, rest: str) -> list[str]:
    """The text without an end that repeats the rest of the cursor's line."""
    ending = rest.strip()
    if len(ending) > 1 and re.search(r"\w", ending) and "\n" not in text and text.endswith(ending):
        return [text[: -len(ending)]]
    return []


def _over_closers(judge: _Judge, text: str, prefix: str, rest: str) -> int | None:
    """How many closers after the cursor the text brings itself; None when it harms either way."""
    found = CLOSERS.match(rest)
    closers = found.group() if found else ""
    if not closers or not any(c in text for c in closers):
        return 0
    if judge.before.tree.root_node.has_error:
        doubled = next((n for n in range(len(closers), 0, -1) if text.rstrip(";,").endswith(closers[:n])), 0)
        line = prefix[prefix.rfind("\n") + 1 :] + text + rest
        excess = sum(max(line.count(c) - line.count(BRACKETS[c]), 0) for c in BRACKETS)
        if doubled and excess:
            return min(doubled, excess)
    for over in range(len(closers) + 1):
        if judge.accepts(text, over):
            return over
    return None
