"""How long to wait before an engine that failed is started, or called, again."""

from __future__ import annotations

import time

FIRST_SECONDS = 0.2
MOST_SECONDS = 30.0
MOST_DOUBLINGS = 10  # of the first wait: more would only pass what a float can hold
GOOD_SECONDS = 60.0  # an engine that lived this long has made up for earlier failures


class Backoff:
    """Doubles with each failure in a row; times are `time.monotonic()`, so a clock that jumps does no harm."""

    def __init__(self) -> None:
        self.failures = 0
        self._not_before = 0.0
        self._started = 0.0

    @property
    def left(self) -> float:
        """Seconds until the next attempt."""
        return max(self._not_before - time.monotonic(), 0.0)

    def success(self) -> None:
        """An engine is there."""
        self._started = time.monotonic()

    def failure(self, at_least: float = 0.0) -> None:
        """An engine died, or could not be started; `at_least` is a number of seconds that it asked for itself."""
        now = time.monotonic()
        if self._started and now - self._started > GOOD_SECONDS:
            self.failures = 0
        self._started = 0.0
        self.failures += 1
        wait = FIRST_SECONDS * 2.0 ** min(self.failures - 1, MOST_DOUBLINGS)
        self._not_before = now + max(min(wait, MOST_SECONDS), at_least)

    def reset(self) -> None:
        """Forget all failures."""
        self.failures, self._not_before = 0, 0.0
