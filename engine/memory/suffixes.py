"""A suffix array over a token stream read backwards: every place whose left context ends like a given one.

The structure of infini-gram (arXiv 2401.17377), with the stream reversed so that the longest match of the *preceding*
tokens is found by one binary search. Sorted to a depth of `DEPTH` tokens by prefix doubling (Manber and Myers 1993); a
match longer than that is as good as certain.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.memory.folding import Tokens

DEPTH = 32  # tokens of left context that are told apart
EVERY = 16  # places of the order between two heads: half a byte a token
HEAD = 8  # bytes of a head


class Suffixes:
    """An immutable sorted stream. Big-endian bytes, so that comparing bytes compares token sequences."""

    def __init__(
        self, tokens: Tokens, width: int, wall: int = -1, between: Callable[[], object] = lambda: None
    ) -> None:
        """`tokens` (n,) in the order of the text; `width` bytes a token (2 when the vocabulary allows it).

        Places in front of a `wall` (where a text ends) have nothing to say and never count as a match. `between` is
        called before each round of the sorting, which takes up to a tenth of a second for a million tokens.
        """
        self.wall = wall
        backwards = tokens[::-1]
        self.width = width
        self.size = len(tokens)
        self._bytes = backwards.astype(f">u{width}").tobytes()
        self.stream = np.frombuffer(self._bytes, dtype=f">u{width}")
        self._order = _sorted(backwards, width, between)
        self._at = self._order.data  # a Python int a look-up, without numpy's scalars
        self._heads = self._first_bytes().data
        self._wall = wall.to_bytes(width) if wall >= 0 else b""

    @property
    def nbytes(self) -> int:
        """Memory that the stream and its order take."""
        return len(self._bytes) + self._order.nbytes + self._heads.nbytes

    def query(self, known: list[int]) -> bytes:
        """The last `DEPTH` tokens of `known`, backwards, as the stream spells them."""
        return np.array(known[: -DEPTH - 1 : -1], dtype=f">u{self.width}").tobytes()

    def longest(self, query: bytes, speaks: Callable[[int], bool] = lambda place: True) -> int:
        """Tokens of left context that the best place shares with `query`, of the backward indices that `speaks` allows.

        What may not speak must not stand before what may, and it does: a file's own older text shares most with it.
        """
        at = self._lower(query)
        before, after = at - 1, at
        while before >= 0 and (self._mute(before) or not speaks(self._at[before])):
            before -= 1
        while after < self.size and (self._mute(after) or not speaks(self._at[after])):
            after += 1
        return max(self._shared(before, query), self._shared(after, query))

    def _mute(self, index: int) -> bool:
        place = self._at[index]
        w = self.width
        return place == 0 or self._bytes[(place - 1) * w : place * w] == self._wall

    def places(self, query: bytes, length: int, limit: int) -> tuple[npt.NDArray[np.int64], int]:
        """Backward indices of places that share `length` tokens with `query`, at most `limit`, and how many there are.

        The token that follows place j in the text is `stream[j - 1]`.
        """
        head = query[: length * self.width]
        first = self._lower(head)
        last = self._lower(head + b"\xff" * (self.width + 1), first)
        count = last - first
        # Evenly over the range, which is sorted by what comes before the shared part.
        return self._order[first : last : max(-(-count // limit), 1)].astype(np.int64), count

    def near(self, query: bytes, reach: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Backward indices of at most `2 * reach` places, and the tokens that each shares with `query`.

        They stand around the query in the sorted order: no other place shares more than the least of them.
        """
        at, n = self._lower(query), len(query) // self.width
        places = self._order[max(at - reach, 0) : at + reach].astype(np.int64)
        columns = places[:, None] + np.arange(n)
        found = self.stream[np.minimum(columns, self.size - 1)]
        agree = (found == np.frombuffer(query, dtype=self.stream.dtype)) & (columns < self.size)
        return places, np.logical_and.accumulate(agree, axis=1).sum(axis=1)

    def _first_bytes(self) -> npt.NDArray[np.uint64]:
        """What every 16th place of the order begins with, as a number: where to look is found without reading."""
        columns = self._order[::EVERY, None] + np.arange(HEAD // self.width)
        found = np.where(columns < self.size, self.stream[np.minimum(columns, max(self.size - 1, 0))], 0)
        return found.astype(self.stream.dtype).view(f">u{HEAD}").ravel().astype(np.uint64)

    def _lower(self, query: bytes, least: int = 0) -> int:
        head = int.from_bytes(query[:HEAD].ljust(HEAD, b"\0"))
        low = EVERY * (bisect_left(self._heads, head) - 1) + 1
        high = min(EVERY * bisect_right(self._heads, head), self.size)
        data, n, w = self._bytes, len(query), self.width
        return bisect_left(self._at, query, max(low, least), high, key=lambda at: data[at * w : at * w + n])

    def _shared(self, index: int, query: bytes) -> int:
        if not 0 <= index < self.size:
            return 0
        start = self._at[index] * self.width
        found = self._bytes[start : start + len(query)]
        # As one number each, the first token that differs is the highest bit that does.
        other = int.from_bytes(found) ^ int.from_bytes(query[: len(found)])
        return (len(found) - (other.bit_length() + 7) // 8) // self.width


def _sorted(stream: Tokens, width: int, between: Callable[[], object]) -> npt.NDArray[np.int32]:
    """The places of `stream` in the order of the `DEPTH` tokens from each on; of equals the first one first.

    After Larsson and Sadakane (1999): what is told apart already is not sorted again, and a place's rank is where its
    group of equals begins. What lies beyond the end has rank 0.
    """
    n, depth = len(stream), HEAD // width
    key = np.zeros(n + depth - 1, dtype=np.uint64)
    key[:n] = stream
    for doubled in (1 << i for i in range(depth.bit_length() - 1)):  # as many tokens as fit in a number
        key[: len(key) - doubled] = key[: len(key) - doubled] << np.uint64(8 * width * doubled) | key[doubled:]
    # Beyond the end reads like token 0, and comes before it: so do the last places, of which no two are equal.
    whole = max(n - depth + 1, 0)
    order = np.concatenate([np.arange(n - 1, whole - 1, -1), np.arange(whole)])
    order = order[np.argsort(key[order], kind="stable")]
    rank = np.empty(n, dtype=np.int64)
    last = order >= whole
    tied = _regroup(rank, order, np.arange(n), _differ(key[order]) | last[1:] | last[:-1])
    while len(tied) and depth < DEPTH:
        between()
        group = order[tied]
        behind = group + depth
        keys = rank[group] * (n + 1)
        keys += np.where(behind < n, rank[np.minimum(behind, n - 1)], 0)
        by_key = np.argsort(keys, kind="stable")
        order[tied] = group[by_key]
        tied = _regroup(rank, order, tied, _differ(keys[by_key]))
        depth *= 2
    return order.astype(np.int32)


def _differ(keys: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each but the first differs from the one before it."""
    return keys[1:] != keys[:-1]


def _regroup(
    rank: npt.NDArray[np.int64], order: npt.NDArray[np.int64], at: npt.NDArray[np.int64], differ: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Set the ranks of what stands `at` some places of the order, by which of them differ; where equals are left."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(at), 1), dtype=bool), differ]))
    sizes = np.diff(starts, append=len(at))
    rank[order[at]] = np.repeat(at[starts], sizes) + 1
    return at[np.repeat(sizes > 1, sizes)]
