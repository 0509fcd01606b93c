"""A flag that one thread sets and the sampler reads between two forward passes."""

from __future__ import annotations

from engine.errors import CancelledError


class CancelToken:
    """Cooperative cancellation. Setting and reading one attribute is atomic, so no lock is needed."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        """Ask the work under way to stop after its current forward pass."""
        self.cancelled = True

    def check(self) -> None:
        """Raise `CancelledError` if `cancel` was called."""
        if self.cancelled:
            raise CancelledError("the request was cancelled")
