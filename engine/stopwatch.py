"""Where the time of a request goes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from engine.denoiser import Denoiser


@dataclass(slots=True)
class Stopwatch:
    """Milliseconds by phase, and how many of them the denoiser's passes took: all else is overhead."""

    denoiser: Denoiser
    spent: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.denoiser.seconds

    def lap(self, phase: str, minus: float = 0.0) -> None:
        """Book the time since the last lap, less what another phase already has."""
        now = time.perf_counter()
        self.spent[phase] = self.spent.get(phase, 0.0) + (now - self._last) * 1e3 - minus
        self._last = now

    def add(self, phase: str, milliseconds: float) -> None:
        """Book time measured elsewhere."""
        self.spent[phase] = self.spent.get(phase, 0.0) + milliseconds

    def report(self) -> dict[str, float]:
        """All phases, their `total`, and the `passes` that ONNX Runtime made meanwhile (part of the phases)."""
        passes = (self.denoiser.seconds - self._began) * 1e3
        known = self.spent | {"total": sum(self.spent.values()), "passes": passes}
        return {phase: round(milliseconds, 3) for phase, milliseconds in known.items()}
