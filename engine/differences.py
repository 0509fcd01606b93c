"""The smallest edits between two texts, over lexical tokens: what a person would call the change."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from engine.types import Edit
from engine.verify import changed_span

TOKEN = re.compile(r"\w+|[^\S\n]+|\n|.", re.DOTALL)
MAX_TOKENS = 4000


def edits_between(old: str, new: str) -> list[Edit]:
    """Edits in ascending order, not overlapping, that turn `old` into `new` exactly."""
    if old == new:
        return []
    start, end, new_end = changed_span(old, new)
    # Grow to token borders: half a name is nobody's idea of an edit.
    while start > 0 and (old[start - 1].isalnum() or old[start - 1] == "_"):
        start -= 1
    while end < len(old) and (old[end].isalnum() or old[end] == "_"):
        end, new_end = end + 1, new_end + 1
    edits: list[Edit] = []
    # Lines first: the edits of a long file, and tokens only where lines differ, or a thousand lines take seconds.
    a, b = old[start:end].splitlines(keepends=True), new[start:new_end].splitlines(keepends=True)
    at = start
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        before = "".join(a[i1:i2])
        if kind != "equal":
            edits += _token_edits(at, before, "".join(b[j1:j2]))
        at += len(before)
    return edits


def _token_edits(start: int, old: str, new: str) -> list[Edit]:
    """The edits between two runs of lines, the older of which begins at `start`."""
    a, b = TOKEN.findall(old), TOKEN.findall(new)
    if len(a) * len(b) > MAX_TOKENS * MAX_TOKENS:
        return [Edit(start, start + len(old), old, new)]
    edits, at, done = [], start, 0
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        at += len("".join(a[done:i1]))
        done = i1
        if kind != "equal":
            before, after = "".join(a[i1:i2]), "".join(b[j1:j2])
            edits.append(Edit(at, at + len(before), before, after))
    return edits


def applied(text: str, edits: list[Edit]) -> str:
    """The text after edits that do not overlap."""
    for edit in sorted(edits, key=lambda e: e.start, reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text
