"""Whole rests of a line that stand elsewhere in the workspace behind what is left of the cursor.

Token by token, the memory and the denoiser outvote each other in turn, and a line that is half the one's and half the
other's is neither's. So a rest of a line is also offered whole, to be taken or left. The word or the operator that the
cursor stands in hides its context from a search by tokens, so the search is for what is left of it, and only places
count that go on as it begins.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.memory.index import NEARNESS, Place, View

UNFINISHED = re.compile(r"(?:\w+|[^\w\s]+)?\Z")
LEFT = 400  # characters of the prefix, at least, that a context is cut from,
LONGEST = 1_000  # and at most
REACH = 300  # neighbours on either side of the cursor's place in each sorted stream
AHEAD = 40  # tokens after a place that may be its rest of the line and what follows it
FOLLOWING = 8  # tokens behind the line that may agree with those of the suffix
LOOKED_AT = 2000  # places, the longest contexts first
KEPT = 64  # of them that go on as the cursor's word begins
MOST = 8


@dataclass(frozen=True, slots=True)
class Line:
    """The rest of a line, and what speaks for it.

    `length`: tokens of the longest context that it followed. `count`: how many places have it there. `near`: the
    nearest of them (0 this file, 1 its folder, 2 the workspace). `follows`: tokens behind the line that agree with the
    suffix, at best. `share`: its part of the weight of all rests found. `longest`: no rest has a longer context.
    `whole`: the cursor's line is blank.
    """

    text: str
    length: int
    count: int
    near: int
    follows: int
    share: float
    longest: bool
    whole: bool


def rests_of_line(view: View, prefix: str, suffix: str) -> list[Line]:
    """The rests of the cursor's line that the memory knows, most likely first, at most `MOST`."""
    # From a line on, so that what is read again with the next key begins alike.
    head = prefix[prefix.rfind("\n", 0, max(len(prefix) - LEFT, 0)) + 1 :][-LONGEST:]
    part = found.group() if (found := UNFINISHED.search(head)) else ""
    left = head[: len(head) - len(part)]
    left = left.rstrip(" \t") if left.strip() else left
    known = view.memory.vocabulary.encode_typed(left)
    if not known:
        return []
    weights: dict[str, float] = defaultdict(float)
    best: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for text, place, follows in _places(view, known, part, suffix):
        length = place.shared + bool(part)
        weights[text] += NEARNESS[place.near] * 2.0 ** (min(follows, 8) + min(length, 30))
        best[text].append((length, place.near, follows))
    total = sum(weights.values())
    longest = max((length for places in best.values() for length, _, _ in places), default=0)
    whole = not prefix[prefix.rfind("\n") + 1 :].strip()
    lines = []
    for text in sorted(weights, key=lambda t: -weights[t])[:MOST]:
        length = max(n for n, _, _ in best[text])
        near = min(near for n, near, _ in best[text])
        follows = max(f for _, _, f in best[text])
        count = sum(n == length for n, _, _ in best[text])
        lines.append(Line(text, length, count, near, follows, weights[text] / total, length == longest, whole))
    return lines


def _places(view: View, known: list[int], part: str, suffix: str) -> Iterator[tuple[str, Place, int]]:
    """The rest of the line at every place that goes on as the cursor's word begins, and how much behind it follows."""
    vocabulary, folding = view.memory.vocabulary, view.memory.folding
    tail = suffix[: suffix.find("\n")].rstrip() if "\n" in suffix else suffix.rstrip()
    behind = vocabulary.encode_again(suffix[len(tail) :][:200])[:FOLLOWING]
    folded = folding.of(_array(behind)).tolist()
    begins = part.encode("utf-8", "replace")

    def goes_on(token: int) -> bool:
        """Whether the cursor's word may begin with a token."""
        start = vocabulary.bytes[token].lstrip(b" \t")
        return start[: len(begins)] == begins[: len(start)]

    kept = 0
    for place in view.places(view.query(known), REACH, LOOKED_AT, goes_on):
        after, wall = place.segment.after(place.at, AHEAD).tolist(), place.segment.wall
        after = after[: after.index(wall)] if wall in after else after
        at = next((i for i, t in enumerate(after) if b"\n" in vocabulary.bytes[t]), len(after))
        if at == len(after) == AHEAD:
            continue  # too long to be seen whole
        text = vocabulary.decode(after[: at + 1]).lstrip(" \t").split("\n")[0].rstrip()
        if not text.startswith(part) or not text.endswith(tail):
            continue
        text = text[len(part) : len(text) - len(tail)]
        if not text.strip():
            continue
        next_line = folding.of(_array(after[at : at + FOLLOWING])).tolist()
        follows = 0
        while follows < min(len(next_line), len(folded)) and next_line[follows] == folded[follows]:
            follows += 1
        yield text, place, follows
        kept += 1
        if kept >= KEPT:
            return


def _array(tokens: list[int]) -> npt.NDArray[np.uint32]:
    return np.array(tokens, dtype=np.uint32)
