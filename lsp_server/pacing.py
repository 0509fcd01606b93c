"""When to ask the engine: at once while it is idle, later under load; and only the newest question of a document.

An editor asks on every key. While a request is under way, a newer one cancels it and waits a fraction of what answers
take lately, so that a fast typist does not make the engine start what it will throw away. Neovim already waits 200 ms
by itself (`vim.lsp.inline_completion`), which is taken off.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

FRACTION = 0.5
LONGEST = 0.3  # seconds
NEOVIM_WAITS = 0.2
Line = tuple[str, int]  # a document and where a line begins in it

T = TypeVar("T")


class Pacing:
    """What requests took lately, in seconds, whether one is under way, and where keys come faster than answers."""

    def __init__(self) -> None:
        self.running = 0
        self.client_waits = 0.0
        self._took: deque[float] = deque(maxlen=20)
        self._unanswered: Line | None = None  # of the last automatic question, while it has no answer
        self._hasty: Line | None = None

    def took(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._took.append(seconds)

    def ask(self, line: Line) -> bool:
        """Note an automatic question; whether keys come so fast in its line that a short answer is worth more."""
        if self._unanswered == line:
            self._hasty = line
        self._unanswered = line
        return self._hasty == line

    def answered(self) -> None:
        """Note that the last question has its answer."""
        self._unanswered = None

    @property
    def median(self) -> float | None:
        """The median of the last answers, in seconds; None before the first."""
        return statistics.median(self._took) if self._took else None

    def delay(self) -> float:
        """Seconds to wait before asking; 0 while nothing is under way."""
        if not self.running:
            return 0.0
        return max(min((self.median or 0.0) * FRACTION, LONGEST) - self.client_waits, 0.0)


class Latest:
    """Runs one piece of work for each key: newer work cancels the older, which then answers None."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Any]] = {}

    async def run(self, key: str, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of `work`; None when newer work of the same key came. Cancelling this cancels the work."""
        self.cancel(key)
        task = self._running[key] = asyncio.ensure_future(work)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return None
        finally:
            if self._running.get(key) is task:
                del self._running[key]

    def cancel(self, key: str) -> None:
        """Cancel what is under way for a key."""
        task = self._running.get(key)
        if task is not None:
            task.cancel()

    def cancel_all(self) -> None:
        """Cancel what is under way for any key."""
        for key in list(self._running):
            self.cancel(key)
