"""Drafts from the window itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from engine.memory.proposal import IN_WINDOW, NOTHING, Proposal, behind_match

LONGEST = 16  # tokens that are compared
AHEAD = 32


def look_back(known: list[int]) -> Proposal:
    """A proposal from the sequence itself (prompt lookup): what followed the last of the places that end most like it.

    After https://github.com/apoorvumang/prompt-lookup-decoding, with the longest match instead of a fixed one.
    """
    backwards, best, length = known[::-1], 0, 0
    for at in _again(backwards):
        shared = 1
        while shared < min(len(known) - at, LONGEST) and backwards[at + shared] == backwards[shared]:
            shared += 1
        if shared > length:
            best, length = len(known) - at, shared
            if length == LONGEST:
                break
    return behind_match(known[best : best + AHEAD], length, IN_WINDOW) if length else NOTHING


def _again(tokens: list[int]) -> Iterator[int]:
    """Where the first of some tokens comes again, in ascending order."""
    at = 0
    with suppress(ValueError):
        while tokens:
            at = tokens.index(tokens[0], at + 1)
            yield at
