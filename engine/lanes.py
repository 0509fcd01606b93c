"""Requests that share a pass: each has a lane of the graph, bound to a cache of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from engine.kv_cache import Cache, Rows


class Lanes:
    """The session that several requests share, and which cache was bound to which of its lanes last."""

    def __init__(self, session: ort.InferenceSession, count: int, spare: Cache) -> None:
        """`spare` is a cache that lanes without a request write into."""
        self.session = session
        self.binding = session.io_binding()
        one, sees = np.zeros((1, 1), dtype=np.int64), np.ones((1, 1, 1), dtype=bool)
        self._nobody = Rows(spare, one, one, one, sees, np.zeros(0, dtype=np.int64))
        self._bound: list[tuple[Cache, int] | None] = [None] * count

    def seat(self, shares: Sequence[Rows]) -> list[Rows]:
        """What each lane is to do: a cache keeps the lane that it has."""
        seats: list[Rows | None] = [None] * len(self._bound)
        new = []
        for share in shares:
            lane = next((n for n, bound in enumerate(self._bound) if bound and bound[0] is share.cache), None)
            if lane is None:
                new.append(share)
            else:
                seats[lane] = share
        for share in new:
            seats[seats.index(None)] = share
        return [self._nobody if seat is None else seat for seat in seats]

    def bind(self, lanes: Sequence[Rows]) -> None:
        """Bind the caches that are not bound yet, or have grown."""
        for n, lane in enumerate(lanes):
            if self._bound[n] != (lane.cache, lane.cache.capacity):
                lane.cache.bind(self.binding, n)
                self._bound[n] = (lane.cache, lane.cache.capacity)
