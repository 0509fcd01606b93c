"""The memory's distribution mixed into the denoiser's: p = (1 - trust) * denoiser + trust * memory.

After nested cache models (Hellendoorn and Devanbu 2017) and infini-gram (arXiv 2401.17377), with a fitted trust:
a logistic function of how long the match is, how often it was seen, how much its places agree, how near they are,
whether the denoiser sees them anyway, whether they go on to what follows the hole, how unsure the denoiser is, and how
much likelier than the memory's best token it finds another. `remask bench memory --fit` fits it on dev packages and
prints these numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.memory.match import Match

FEATURES = ("bias", "length", "long", "count", "share", "doubt", "this_file", "folder", "agrees", "beside", "regret")
WEIGHTS: tuple[float, ...] = (-5.02, 0.40, 0.17, 0.16, 2.90, 0.35, 1.13, 0.97, 0.97, -2.85, -0.29)


class Opinion(NamedTuple):
    """The denoiser's, in nats: -log p of its best token, and how much less likely it finds the memory's likeliest."""

    doubt: float
    regret: float


def features(match: Match, opinion: Opinion) -> tuple[float, ...]:
    """What trust depends on, in the order of `FEATURES`."""
    return (
        1.0,
        math.log2(1 + match.length),
        float(match.length >= 8),
        math.log1p(match.count),
        match.share,
        min(opinion.doubt, 6.0),
        float(match.near == 0),
        float(match.near == 1),
        match.agrees,
        match.beside,
        min(opinion.regret, 8.0),
    )


def trust(match: Match, opinion: Opinion) -> float:
    """The memory's part of the mixture, 0 to 1."""
    z = sum(w * x for w, x in zip(WEIGHTS, features(match, opinion), strict=True))
    return 1.0 / (1.0 + math.exp(-z))


@dataclass(frozen=True, slots=True)
class Mixture:
    """The mixture at one position: `part` of it is the memory's, which is 0 where nothing matches."""

    match: Match = field(default_factory=Match)
    part: float = 0.0

    @classmethod
    def of(cls, match: Match, opinion: Opinion) -> Mixture:
        """The mixture for a match that has something to say, and what the denoiser thinks there."""
        return cls(match, trust(match, opinion))

    def logprob(self, logprob: float, *tokens: int) -> float:
        """The log-probability of any of `tokens`, to which the denoiser alone gives `logprob`."""
        if not self.part:
            return logprob
        remembered = sum(self.match.chances.get(t, 0.0) for t in tokens)
        return math.log(max((1.0 - self.part) * math.exp(logprob) + self.part * remembered, 1e-12))


UNMIXED = Mixture()  # the denoiser's distribution alone
