"""The smallest edits between two texts, over lexical tokens: what a person would call the change."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from engine.alike import changed_span
from engine.types import Edit

TOKEN = re.compile(r"\w+|[^\S\n]+|\n|.", re.DOTALL)
MAX_PAIRS = 300 * 300  # of an old and a new token: comparing more of them takes longer than a repair may
MAX_LINES = 400  # removed and added ones that are looked for exactly
NEAR = 3  # lines around a change that tell what became of which: changes between which there are no more are compared
PLACE = 100  # as one, in so many lines at most
Run = tuple[int, int, int, int]  # lines [i, j) of the old text that became lines [k, l) of the new one


def edits_between(old: str, new: str) -> list[Edit]:
    """Edits in ascending order, not overlapping, that turn `old` into `new` exactly."""
    if old == new:
        return []
    start, end, new_end = _changed_tokens(old, new)
    edits: list[Edit] = []
    # Lines first: the edits of a long file, and tokens only where lines differ, or a thousand lines take seconds.
    a, b = old[start:end].splitlines(keepends=True), new[start:new_end].splitlines(keepends=True)
    at, done = start, 0
    for i1, i2, j1, j2 in _line_runs(a, b):
        at += sum(map(len, a[done:i1]))
        before, after, done = a[i1:i2], b[j1:j2], i2
        # As many lines as before: each became another one. Their tokens together may be too many to compare.
        pairs = zip(before, after, strict=True) if i2 - i1 == j2 - j1 else [("".join(before), "".join(after))]
        for one, other in pairs:
            edits += _token_edits(at, one, other)
            at += len(one)
    return _joined(edits)


def _line_runs(a: list[str], b: list[str]) -> list[Run]:
    """Runs of lines that differ, as a person would see them."""
    fewest = _fewest(a, b)
    if fewest is None:
        return _compared(a, b, (0, len(a), 0, len(b)), autojunk=True)
    places: list[list[Run]] = []
    for run in fewest:
        if places and run[0] - places[-1][-1][1] <= 2 * NEAR:
            places[-1].append(run)
        else:
            places.append([run])
    found: list[Run] = []
    for place in places:
        # The fewest changes are not the plainest: a blank line that stays may come between a line and what it became.
        (i, _, j, _), (_, i2, _, j2) = place[0], place[-1]
        before, behind = min(i, j, NEAR), min(len(a) - i2, len(b) - j2, NEAR)
        around = i - before, i2 + behind, j - before, j2 + behind
        found += _compared(a, b, around, autojunk=False) if i2 - i + j2 - j <= PLACE else place
    return found


def _compared(a: list[str], b: list[str], place: Run, autojunk: bool) -> list[Run]:
    """The runs in one place, the longest common lines first."""
    i, i2, j, j2 = place
    codes = SequenceMatcher(None, a[i:i2], b[j:j2], autojunk=autojunk).get_opcodes()
    return [(i + w, i + x, j + y, j + z) for kind, w, x, y, z in codes if kind != "equal"]


def _fewest(a: list[str], b: list[str]) -> list[Run] | None:
    """The fewest changes: Myers 1986, whose time grows with them, not with lines that repeat; None beyond a bound."""
    numbers: dict[str, int] = {}
    old, new = ([numbers.setdefault(line, len(numbers)) for line in lines] for lines in (a, b))
    furthest, trail = {1: 0}, []  # by diagonal, the old line that is reached with so many changes
    for changes in range(MAX_LINES + 1):
        trail.append(furthest.copy())
        for k in range(-changes, changes + 1, 2):
            added = _adds(furthest, k, changes)
            i = furthest[k + 1] if added else furthest[k - 1] + 1
            furthest[k] = i + _alike(old, new, i, i - k)
            if furthest[k] >= len(a) and furthest[k] - k >= len(b):
                return _way(trail, len(a), len(b))
    return None


def _adds(furthest: dict[int, int], k: int, changes: int) -> bool:
    """Whether a diagonal is reached furthest by adding a line, not by removing one."""
    return k == -changes or (k != changes and furthest[k - 1] < furthest[k + 1])


def _alike(old: list[int], new: list[int], i: int, j: int) -> int:
    """How many lines are alike from two places on, by slices that double and halve again."""
    first, step = i, 1
    while step:
        piece = old[i : i + step]
        same = len(piece) == step and piece == new[j : j + step]
        i, j = (i + step, j + step) if same else (i, j)
        step = step * 2 if same else step // 2
    return i - first


def _way(trail: list[dict[int, int]], i: int, j: int) -> list[Run]:
    """What was changed on the way to the texts' ends."""
    runs: list[Run] = []
    for changes in range(len(trail) - 1, 0, -1):
        furthest, k = trail[changes], i - j
        added = _adds(furthest, k, changes)
        last = k + 1 if added else k - 1
        i1 = furthest[last]
        j1 = i1 - last
        i2, j2 = (i1, j1 + 1) if added else (i1 + 1, j1)
        if runs and (runs[-1][0], runs[-1][2]) == (i2, j2):
            _, i2, _, j2 = runs.pop()
        runs.append((i1, i2, j1, j2))
        i, j = i1, j1
    return runs[::-1]


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
