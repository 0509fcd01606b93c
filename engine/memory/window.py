"""Drafts from the window itself."""

from __future__ import annotations

GRAM = 4  # tokens that must agree
PROPOSAL = 6


def look_back(known: list[int], gram: int = GRAM) -> list[int]:
    """A proposal from the sequence itself (prompt lookup): what followed the last place that ends like it does."""
    end = known[-gram:]
    for at in range(len(known) - 1, gram, -1):
        if known[at - 1] == end[-1] and known[at - gram : at] == end:
            return known[at : at + PROPOSAL]
    return []
