"""A suffix array over a token stream read backwards: every place whose left context ends like a given one.

The structure of infini-gram (arXiv 2401.17377), with the stream reversed so that the longest match of the *preceding*
tokens is found by one binary search. Sorted to a depth of `DEPTH` tokens by prefix doubling (Manber and Myers 1993),
which numpy does at about two million tokens a second; a match longer than that is as good as certain.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from engine.memory.folding import Tokens

DEPTH = 32  # tokens of left context that are told apart
ROUNDS = DEPTH.bit_length() - 1


class Suffixes:
    """An immutable sorted stream. Big-endian bytes, so that comparing bytes compares token sequences."""

    def __init__(self, tokens: Tokens, width: int, wall: int = -1) -> None:
        """`tokens` (n,) in the order of the text; `width` bytes a token (2 when the vocabulary allows it).

        Places in front of a `wall` (where a text ends) have nothing to say and never count as a match.
        """
        self.wall = wall
        backwards = tokens[::-1]
        self.width = width
        self.size = len(tokens)
        self._bytes = backwards.astype(f">u{width}").tobytes()
        self.stream = np.frombuffer(self._bytes, dtype=f">u{width}")
        self._order = _sorted(backwards)
        self._at = self._order.data  # a Python int a look-up, without numpy's scalars

    @property
    def nbytes(self) -> int:
        """Memory that the stream and its order take."""
        return len(self._bytes) + self._order.nbytes

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
        return place == 0 or int(self.stream[place - 1]) == self.wall

    def places(self, query: bytes, length: int, limit: int) -> tuple[npt.NDArray[np.int64], int]:
        """Backward indices of places that share `length` tokens with `query`, at most `limit`, and how many there are.

        The token that follows place j in the text is `stream[j - 1]`.
        """
        head = query[: length * self.width]
        first, last = self._lower(head), self._lower(head + b"\xff" * (self.width + 1))
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

    def _lower(self, query: bytes) -> int:
        low, high, n, w, data, at = 0, self.size, len(query), self.width, self._bytes, self._at
        while low < high:
            middle = (low + high) >> 1
            start = at[middle] * w
            if data[start : start + n] < query:
                low = middle + 1
            else:
                high = middle
        return low

    def _shared(self, index: int, query: bytes) -> int:
        if not 0 <= index < self.size:
            return 0
        start = self._at[index] * self.width
        found = self._bytes[start : start + len(query)]
        for i in range(0, len(found), self.width):
            if found[i : i + self.width] != query[i : i + self.width]:
                return i // self.width
        return len(found) // self.width


def _sorted(stream: Tokens) -> npt.NDArray[np.int32]:
    n = len(stream)
    rank = stream.astype(np.int64)
    order = np.argsort(rank, kind="stable")
    rank = _ranks(rank[order], order)
    for doubled in range(ROUNDS):
        if n == 0 or rank[order[-1]] == n:  # all told apart
            break
        step = 1 << doubled
        key = rank * (n + 1)
        key[: n - step] += rank[step:]
        order = np.argsort(key, kind="stable")
        rank = _ranks(key[order], order)
    return order.astype(np.int32)


def _ranks(ordered: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Dense ranks from 1; 0 is left for what lies beyond the end."""
    dense = np.ones(len(order), dtype=np.int64)
    dense[1:] += np.cumsum(ordered[1:] != ordered[:-1])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = dense
    return rank
