"""What a forward pass says about the rows that were asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.checkpoint import Array

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class HostEntropies:
    """Entropies of rows of logits (R, vocab) with `base` (R,): H = log Z - sum(p * logit), no logs of small numbers."""

    def __init__(self, logits: Floats, base: Floats) -> None:
        self._logits = logits
        self._base = base

    def __getitem__(self, row: int) -> float:
        logits, base = self._logits[row], self._base[row]
        return float(base - np.dot(np.exp(logits - base), logits))


class Prediction:
    """What a forward pass says about each wanted row: the token that follows it (the shift is kept).

    `top_ids` and `top_logprobs` (R, TOP) best first, `base` (R,) with
    `logprob = logit - base`, `end_logprobs` (R,) of `<end>`; `logits` (R, vocab) stay on the device until asked for.
    """

    def __init__(self, end: int, outputs: dict[str, Array], logits: Callable[[], Floats]) -> None:
        self.end = end
        self.top_ids: Ints = outputs["top_ids"]
        self.top_logprobs: Floats = outputs["top_logprobs"]
        self.base: Floats = outputs["logprobs_base"]
        self.end_logprobs: Floats = outputs["end_logprobs"]
        self._outputs = outputs
        self._logits = logits
        self._among: tuple[int, Array, tuple[float, float]] | None = None  # the last answer

    @cached_property
    def logits(self) -> Floats:
        """All logits, copied from the device."""
        return self._logits()

    def part(self, first: int, stop: int) -> Prediction:
        """What the pass says about some of its rows; nothing is copied."""
        outputs = {name: values[first:stop] for name, values in self._outputs.items()}
        return Prediction(self.end, outputs, lambda: self.logits[first:stop])

    @cached_property
    def entropy(self) -> Floats | HostEntropies:
        """Entropies by row, in nats: from the device, or computed row by row when asked for."""
        on_device: Floats | None = self._outputs.get("entropy")
        return HostEntropies(self.logits, self.base) if on_device is None else on_device

    def among(self, row: int, tokens: Array) -> tuple[float, float]:
        """Over some tokens, the log of the sum of e^logit, which `base` is over all of them, and the largest logit.

        The same tokens are asked about several times in a row.
        """
        if self._among is None or self._among[0] != row or self._among[1] is not tokens:
            logits = self.logits[row, tokens]
            top = float(logits.max())
            self._among = row, tokens, (top + float(np.log(np.exp(logits - top).sum())), top)
        return self._among[2]

    def logprob_among(self, row: int, tokens: Array) -> float:
        """The log-probability of any of some tokens; minus infinity where they have none."""
        if len(tokens) == 1:
            return self.logprob(row, int(tokens[0]))
        # No maximum is taken out: behind a pass nothing is in the processor's caches, and every ufunc is one more wait.
        chance = float(np.exp(self.logits[row, tokens] - self.base[row]).sum())
        return math.log(chance) if chance else -math.inf

    def logprob(self, row: int, token: int) -> float:
        """The log-probability of one token at one row."""
        if token == self.end:
            return float(self.end_logprobs[row])
        if (at := np.flatnonzero(self.top_ids[row] == token)).size:
            return float(self.top_logprobs[row, at[0]])
        return float(self.logits[row, token] - self.base[row])
