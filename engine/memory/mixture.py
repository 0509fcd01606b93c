"""The memory's distribution mixed into the denoiser's: p = (1 - trust) * denoiser + trust * memory.

After nested cache models (Hellendoorn and Devanbu 2017) and infini-gram (arXiv 2401.17377), with a fitted trust:
a logistic function of how long the match is, how often it was seen, how much its places agree, how near they are, and
how unsure the denoiser is. `remask bench memory --fit` fits it on dev packages and prints these numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.memory.match import Match

FEATURES = ("bias", "length", "long", "count", "share", "entropy", "this_file", "folder")
WEIGHTS: tuple[float, ...] = (-5.0, 1.2, 1.0, 0.1, 2.0, 0.6, 0.5, 0.2)


def features(match: Match, entropy: float) -> tuple[float, ...]:
    """What trust depends on, in the order of `FEATURES`; `entropy` in nats is the denoiser's at this position."""
    return (
        1.0,
        math.log2(1 + match.length),
        float(match.length >= 8),
        math.log1p(match.count),
        match.share,
        min(entropy, 6.0),
        float(match.near == 0),
        float(match.near == 1),
    )


def trust(match: Match, entropy: float) -> float:
    """The memory's part of the mixture, 0 to 1."""
    z = sum(w * x for w, x in zip(WEIGHTS, features(match, entropy), strict=True))
    return 1.0 / (1.0 + math.exp(-z))


def mix(match: Match, entropy: float, denoiser: Mapping[int, float]) -> list[tuple[int, float]]:
    """Tokens and log-probabilities under the mixture, best first.

    `denoiser` gives the denoiser's log-probability of its own best tokens and of every token in `match.chances`.
    """
    part = trust(match, entropy)
    mixed = {t: (1.0 - part) * math.exp(p) + part * match.chances.get(t, 0.0) for t, p in denoiser.items()}
    order = sorted(mixed.items(), key=lambda item: -item[1])
    return [(token, math.log(max(chance, 1e-12))) for token, chance in order]
