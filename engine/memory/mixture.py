"""The memory's distribution mixed into the denoiser's: p = (1 - trust) * denoiser + trust * memory.

After nested cache models (Hellendoorn and Devanbu 2017) and infini-gram (arXiv 2401.17377), with a fitted trust:
a logistic function of how long the match is, how often it was seen, how much its places agree, how near they are,
whether they go on to what follows the hole, and how unsure the denoiser is. `remask bench memory --fit` fits it on dev
packages and prints these numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from engine.memory.match import Match

FEATURES = ("bias", "length", "long", "count", "share", "doubt", "this_file", "folder", "agrees")
WEIGHTS: tuple[float, ...] = (-7.20, 0.59, 0.02, 0.35, 2.83, 0.75, 0.25, 0.69, 1.53)


def features(match: Match, doubt: float) -> tuple[float, ...]:
    """What trust depends on, in the order of `FEATURES`; `doubt` is -log p of the denoiser's best token, in nats."""
    return (
        1.0,
        math.log2(1 + match.length),
        float(match.length >= 8),
        math.log1p(match.count),
        match.share,
        min(doubt, 6.0),
        float(match.near == 0),
        float(match.near == 1),
        match.agrees,
    )


def trust(match: Match, doubt: float) -> float:
    """The memory's part of the mixture, 0 to 1."""
    z = sum(w * x for w, x in zip(WEIGHTS, features(match, doubt), strict=True))
    return 1.0 / (1.0 + math.exp(-z))


@dataclass(frozen=True, slots=True)
class Mixture:
    """The mixture at one position: `part` of it is the memory's, which is 0 where nothing matches."""

    match: Match = field(default_factory=Match)
    part: float = 0.0

    @classmethod
    def of(cls, match: Match, doubt: float) -> Mixture:
        """The mixture for a match and the denoiser's `doubt` (see `features`)."""
        return cls(match, trust(match, doubt)) if match.chances else cls()

    def logprob(self, logprob: float, *tokens: int) -> float:
        """The log-probability of any of `tokens`, to which the denoiser alone gives `logprob`."""
        if not self.part:
            return logprob
        remembered = sum(self.match.chances.get(t, 0.0) for t in tokens)
        return math.log(max((1.0 - self.part) * math.exp(logprob) + self.part * remembered, 1e-12))
