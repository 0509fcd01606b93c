"""How much one token may ask: a bucket that fills at a steady rate."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """A token bucket: `rate` units a second, `burst` at once (RFC 2697 with one colour)."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._level = burst
        self._then = clock()

    def take(self, units: float = 1.0) -> float:
        """Take so many and return 0.0, or take none and return the seconds until they would be there.

        What is larger than the whole bucket needs a full one and leaves a debt: it passes, slowly.
        """
        now = self._clock()
        self._level = min(self.burst, self._level + (now - self._then) * self.rate)
        self._then = now
        needed = min(units, self.burst)
        if self._level < needed:
            return (needed - self._level) / self.rate
        self._level -= units
        return 0.0

    def spend(self, units: float) -> None:
        """Take so many, into debt if need be."""
        self.take(0.0)
        self._level -= units
