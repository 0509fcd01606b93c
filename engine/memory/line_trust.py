"""Which is right: the rest of a line that the memory offers, or what the denoiser wrote.

Two logistic functions, fitted on dev packages by `remask bench memory --fit`: the chance that a remembered line is what
comes next, and the chance that the denoiser's answer is, given its confidence. The likelier one is suggested.
"""

from __future__ import annotations

import math

from engine.memory.lines import Line

FEATURES = "bias length count this_file folder follows agrees share longest characters whole punctuation".split()
LINE: tuple[float, ...] = (-3.76, 0.32, 0.64, 0.19, 0.33, 0.95, 0.27, 4.21, 0.42, -0.96, -0.20, -1.72)
DENOISER: tuple[float, ...] = (-2.41, 1.05)
SURE = 0.6  # the chance from which on the denoiser is not asked
LEAST = 0.1  # and under which a line is not worth showing, even where the denoiser has nothing to say
DRAFTED = 0.25  # and from which on it is verified first


def features(line: Line) -> tuple[float, ...]:
    """What the chance of a remembered line depends on, in the order of `FEATURES`."""
    return (
        1.0,
        math.log2(1 + line.length),
        math.log1p(line.count),
        float(line.near == 0),
        float(line.near == 1),
        min(line.follows, 8) / 8,
        float(line.follows >= 3),
        line.share,
        float(line.longest),
        math.log1p(len(line.text)),
        float(line.whole),
        float(not any(c.isalnum() for c in line.text)),
    )


def chance_of_line(line: Line) -> float:
    """The chance that a remembered line is what comes next, 0 to 1."""
    return _logistic(sum(w * x for w, x in zip(LINE, features(line), strict=True)))


def chance_of_denoiser(confidence: float) -> float:
    """The chance that the denoiser's answer is right, given its confidence (0 where it has no answer)."""
    return _logistic(sum(w * x for w, x in zip(DENOISER, denoiser_features(confidence), strict=True)))


def denoiser_features(confidence: float) -> tuple[float, ...]:
    """What the chance of the denoiser's answer depends on: its odds."""
    kept = min(max(confidence, 0.01), 0.99)
    return (1.0, math.log(kept / (1.0 - kept)))


def _logistic(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))
