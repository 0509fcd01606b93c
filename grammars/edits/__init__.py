"""Small edits that may mend a site, the most plausible first.

Insert, delete or substitute a token; close a quote or a bracket; re-indent; undo what a keyboard, a merge or another
language left behind. Every edit is a guess: whoever asks verifies it by parsing. A cost of 1 is about one token that
somebody forgot; less is a guess with a witness, more is one without.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from grammars.edits import brackets, indentation, leftovers, marks, quotes, tags, words
from grammars.edits.guess import Guess
from grammars.sites import Site

if TYPE_CHECKING:
    from grammars.source import Source

PROPOSERS = (quotes, brackets, marks, words, indentation, leftovers, tags)


@dataclass(frozen=True, slots=True)
class TokenEdit:
    """Replace `text[start:end]` by `new`; `cost` counts changed tokens, plus what is implausible about it."""

    start: int
    end: int
    new: str
    cost: float


def propose(site: Site) -> list[TokenEdit]:
    """Distinct edits in ascending order of cost."""
    return _distinct(site, chain.from_iterable(proposer.propose(site) for proposer in PROPOSERS))


def swallowed(source: Source) -> list[TokenEdit]:
    """Edits that end a string which swallowed code, so that the rest of the file is inside out; by cost, or []."""
    site = Site(source.language, source.text)
    return _distinct(site, quotes.swallowed(site))


def _distinct(site: Site, guesses: Iterable[Guess]) -> list[TokenEdit]:
    best: dict[tuple[int, int, str], float] = {}
    for start, end, new, cost in guesses:
        if site.text[start:end] != new and cost < best.get((start, end, new), 99.0):
            best[start, end, new] = cost
    ranked = sorted(best.items(), key=lambda item: item[1])
    return [TokenEdit(start, end, new, round(cost, 3)) for (start, end, new), cost in ranked]


__all__ = ["Guess", "TokenEdit", "propose", "swallowed"]
