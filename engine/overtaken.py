"""What overtaken requests had drafted, so that a key that agrees with a draft does not throw it away.

Every key brings a newer request, which takes the place of the one under way. What that one had written by then, less
what has been typed since, is verified in the next one's first pass; so someone who types faster than a completion takes
still gets there. It is a draft like any other: it never changes an answer, only its price.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from engine.memory.proposal import Proposal, behind

KEPT = 8  # drafts, of as many documents
COMPARED = 256  # characters on either side of the cursor that tell a place
CLOSERS = 4  # characters that an editor may have added behind the cursor
CHANCE = 0.98  # that a token of such a draft holds (`remask bench drafts`)


class _Place(NamedTuple):
    """A cursor by what stands around it and how far it is from both ends of the file; `text` was drafted there."""

    left: str
    before: int
    right: str
    behind: int
    text: str


class Overtaken:
    """The last drafts, and what they say at a cursor now."""

    def __init__(self) -> None:
        self._kept: deque[_Place] = deque(maxlen=KEPT)

    def keep(self, prefix: str, suffix: str, text: str) -> None:
        """A request between `prefix` and `suffix` had drafted `text` when a newer one took its place."""
        if text:
            place = _Place(prefix[-COMPARED:], len(prefix), suffix[:COMPARED], len(suffix), text)
            self._kept.append(place)

    def rest(self, prefix: str, suffix: str) -> str:
        """What the newest draft that agrees with what has been typed since says next; empty when none does."""
        for place in reversed(self._kept):
            typed = prefix[place.before :]
            added = len(suffix) - place.behind
            if (
                len(prefix) >= place.before
                and 0 <= added <= CLOSERS
                and place.text.startswith(typed)
                and prefix.endswith(place.left, 0, place.before)
                and suffix.startswith(place.right, added)
            ):
                return place.text[len(typed) :]
        return ""


def proposal(tokens: list[int], written: list[int]) -> Proposal:
    """Those of a draft's tokens that come behind what is written, while the two agree."""
    left = behind(tokens, written)
    return Proposal(left, [CHANCE] * len(left))
