"""The smallest edits between two texts, over lexical tokens: what a person would call the change."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from engine.types import Edit
from engine.verify import changed_span

TOKEN = re.compile(r"\w+|[^\S\n]+|\n|.", re.DOTALL)
MAX_PAIRS = 300 * 300  # of an old and a new token: comparing more of them takes longer than a repair may


def edits_between(old: str, new: str) -> list[Edit]:
    """Edits in ascending order, not overlapping, that turn `old` into `new` exactly."""
    if old == new:
        return []
    start, end, new_end = _changed_tokens(old, new)
    edits: list[Edit] = []
    # Lines first: the edits of a long file, and tokens only where lines differ, or a thousand lines take seconds.
    a, b = old[start:end].splitlines(keepends=True), new[start:new_end].splitlines(keepends=True)
    at = start
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        before, after = a[i1:i2], b[j1:j2]
        if kind == "equal":
            at += sum(map(len, before))
            continue
        # As many lines as before: each became another one. Their tokens together may be too many to compare.
        pairs = zip(before, after, strict=True) if i2 - i1 == j2 - j1 else [("".join(before), "".join(after))]
        for one, other in pairs:
            edits += _token_edits(at, one, other)
            at += len(one)
    return _joined(edits)


def _joined(edits: list[Edit]) -> list[Edit]:
    """Edits that touch as one: what is inserted where another begins has no order otherwise."""
    joined: list[Edit] = []
    for edit in edits:
        if joined and joined[-1].end == edit.start:
            last = joined.pop()
            edit = Edit(last.start, edit.end, last.old + edit.old, last.new + edit.new)
        joined.append(edit)
    return joined


def _changed_tokens(old: str, new: str) -> tuple[int, int, int]:
    """The smallest replacement between two texts that cuts no name: half a name is nobody's idea of an edit."""
    start, end, new_end = changed_span(old, new)
    while start > 0 and (old[start - 1].isalnum() or old[start - 1] == "_"):
        start -= 1
    while end < len(old) and (old[end].isalnum() or old[end] == "_"):
        end, new_end = end + 1, new_end + 1
    return start, end, new_end


def _token_edits(start: int, old: str, new: str) -> list[Edit]:
    """The edits between two runs of lines, the older of which begins at `start`; one where they are too long."""
    a, b = TOKEN.findall(old), TOKEN.findall(new)
    if len(a) * len(b) > MAX_PAIRS:
        first, last, new_last = _changed_tokens(old, new)
        return [Edit(start + first, start + last, old[first:last], new[first:new_last])]
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
