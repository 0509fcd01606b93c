"""The workspace's memory: what was written elsewhere in the project, as drafts for the `verified` sampler.

Code repeats itself locally (Hellendoorn and Devanbu 2017). The tokens of remembered files and of the window itself are
indexed by their last few tokens; the longest match proposes how the text went on there. The denoiser verifies a
proposal in one pass, so the memory makes an answer cheaper and never changes it.
"""

from __future__ import annotations

from collections import defaultdict

from engine.vocabulary import Vocabulary

GRAM = 4  # tokens that must agree before a place is looked at
PROPOSAL = 6
MAX_TOKENS = 2_000_000
PLACES = 16  # recent places remembered for each gram

Gram = tuple[int, ...]


class Memory:
    """Token ids of remembered files, found by their last `GRAM` tokens. Lives in RAM only."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._files: dict[str, list[int]] = {}
        self._index: dict[Gram, list[tuple[str, int]]] = defaultdict(list)
        self.tokens = 0
        self.proposed = 0

    def remember(self, path: str, text: str) -> None:
        """Add a file or replace its older text; it can be found when this returns."""
        self.forget(path)
        ids = self.vocabulary.encode(text)
        if self.tokens + len(ids) > MAX_TOKENS:
            return
        self._files[path] = ids
        self.tokens += len(ids)
        for i in range(GRAM, len(ids)):
            places = self._index[tuple(ids[i - GRAM : i])]
            places.append((path, i))
            if len(places) > PLACES:
                places.pop(0)

    def forget(self, path: str) -> None:
        """Drop a file; unknown paths are fine."""
        ids = self._files.pop(path, None)
        if ids is None:
            return
        self.tokens -= len(ids)
        for i in range(GRAM, len(ids)):
            gram = tuple(ids[i - GRAM : i])
            places = [p for p in self._index.get(gram, ()) if p[0] != path]
            if places:
                self._index[gram] = places
            else:
                self._index.pop(gram, None)

    def propose(self, known: list[int], path: str | None) -> list[int]:
        """How the text went on after the longest match of `known`'s end; [] when nothing matches.

        A file's own older copy is never matched: it would propose the very text that is being edited.
        """
        best, proposal = 0, []
        for where, at in reversed(self._index.get(tuple(known[-GRAM:]), ())):
            if where == path:
                continue
            ids = self._files[where]
            length = match_length(known, ids, at)
            if length > best and at < len(ids):
                best, proposal = length, ids[at : at + PROPOSAL]
        self.proposed += bool(proposal)
        return proposal

    def stats(self) -> dict[str, int]:
        """Counters for `stats`."""
        return {
            "memory_files": len(self._files),
            "memory_tokens": self.tokens,
            "memory_proposals": self.proposed,
        }


def look_back(known: list[int], gram: int = GRAM) -> list[int]:
    """A proposal from the sequence itself (prompt lookup): what followed the last place that ends like it does."""
    end = known[-gram:]
    for at in range(len(known) - 1, gram, -1):
        if known[at - 1] == end[-1] and known[at - gram : at] == end:
            return known[at : at + PROPOSAL]
    return []


def match_length(known: list[int], ids: list[int], at: int, limit: int = 64) -> int:
    """How many tokens before `at` in `ids` agree with the end of `known`."""
    length = 0
    while length < min(limit, len(known), at) and ids[at - 1 - length] == known[-1 - length]:
        length += 1
    return length
