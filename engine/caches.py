"""A few key-value caches, and which of them serves a window best.

Longest common prefix over token ids decides; the least recently used cache is given up for a window that shares
nothing. Reuse is exact, so it never changes an answer, only its price. A request that is under way keeps the caches
that it got from requests on other threads.
"""

from __future__ import annotations

import threading

from engine.alike import common_prefix
from engine.denoiser import Denoiser
from engine.kv_cache import Cache


class CachePool:
    """At most `limit` caches of one sequence each (35 MB apiece for a full window of the packaged model).

    More while that many requests are under way. Calls take turns (`engine/turns.py`): no lock here.
    """

    def __init__(self, denoiser: Denoiser, limit: int = 3) -> None:
        self.denoiser = denoiser
        self.limit = limit
        self._caches: list[Cache] = []  # most recently used last
        self._holders: dict[Cache, int] = {}  # threads of requests under way
        self.tokens_asked = 0
        self.tokens_reused = 0

    def get(self, ids: list[int]) -> Cache:
        """The cache to write `ids` into; it is this thread's until `release`."""
        me = threading.get_ident()
        self._caches = [c for c in self._caches if self.denoiser.serves(c)]
        free = [c for c in self._caches if self._holders.get(c, me) == me]
        shared = [common_prefix(c.tokens[0], ids) for c in free]
        best = max(range(len(shared)), key=lambda i: (shared[i], i), default=None)
        # Less than a suffix in common: a new document, which deserves a cache of its own while there is room.
        if best is not None and (shared[best] >= 32 or len(self._caches) >= self.limit):
            index = best if shared[best] >= 32 else 0
            cache = free[index]
            self._caches.remove(cache)
            self.tokens_reused += min(shared[index], len(ids) - 1)
        else:
            cache = self.denoiser.new_cache()
        self._caches.append(cache)
        self._holders[cache] = me
        self.tokens_asked += len(ids)
        return cache

    def release(self) -> None:
        """This thread's request is over: its caches are for everyone again."""
        me = threading.get_ident()
        self._holders = {c: holder for c, holder in self._holders.items() if holder != me}
        spare = [c for c in self._caches if c not in self._holders][: max(len(self._caches) - self.limit, 0)]
        self._caches = [c for c in self._caches if c not in spare]

    def clear(self) -> None:
        """Forget everything; memory is released."""
        self._caches.clear()
        self._holders.clear()

    def stats(self) -> dict[str, float | int]:
        """Counters for `stats`."""
        asked = max(self.tokens_asked, 1)
        return {
            "caches": len(self._caches),
            "cache_bytes": sum(c.bytes for c in self._caches),
            "cache_hit_rate": round(self.tokens_reused / asked, 4),
            "prompt_tokens": self.tokens_asked,
            "prompt_tokens_cached": self.tokens_reused,
        }
