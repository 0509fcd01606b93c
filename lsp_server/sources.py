"""Where the workspace says what a suggestion says: the places that its draft may have come from.

The memory is mixed into the denoiser's distribution token by token, so a suggestion has no single origin; what a person
wants to know is whether this was written here before, and where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
SHORTEST = 8  # characters besides blanks: less is in every file
PLACES = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """A span of a remembered file that agrees with a suggestion."""

    path: str
    start: int
    end: int


def origins(suggestion: str, files: Mapping[str, str]) -> tuple[str, list[Origin]]:
    """The longest beginning of a suggestion, in whole tokens, that some file has, and the places; ("", []) if none."""
    text = suggestion.strip()
    ends = [m.end() for m in TOKEN.finditer(text) if len("".join(text[: m.end()].split())) >= SHORTEST]
    low, high = 0, len(ends)  # the first `low` ends occur, the one at `high` does not
    while low < high:
        middle = (low + high + 1) // 2
        if _occurs(text[: ends[middle - 1]], files.values()):
            low = middle
        else:
            high = middle - 1
    if not low:
        return "", []
    found = text[: ends[low - 1]].rstrip()
    places: list[Origin] = []
    for path, content in files.items():
        at = content.find(found)
        while at >= 0 and len(places) < PLACES:
            places.append(Origin(path, at, at + len(found)))
            at = content.find(found, at + 1)
    return found, places


def _occurs(text: str, files: Iterable[str]) -> bool:
    return any(text in content for content in files)
