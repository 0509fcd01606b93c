"""Drafts from the window itself."""

from __future__ import annotations

from engine.memory.proposal import IN_WINDOW, NOTHING, Proposal, behind_match

LONGEST = 16  # tokens that are compared
AHEAD = 32


def look_back(known: list[int]) -> Proposal:
    """A proposal from the sequence itself (prompt lookup): what followed the last of the places that end most like it.

    After https://github.com/apoorvumang/prompt-lookup-decoding, with the longest match instead of a fixed one.
    """
    if not known:
        return NOTHING
    last, best, length = known[-1], 0, 0
    for at in range(len(known) - 1, 0, -1):
        if known[at - 1] != last:
            continue
        shared = 1
        while shared < min(at, LONGEST) and known[at - 1 - shared] == known[-1 - shared]:
            shared += 1
        if shared > length:
            best, length = at, shared
            if length == LONGEST:
                break
    return behind_match(known[best : best + AHEAD], length, IN_WINDOW) if length else NOTHING
