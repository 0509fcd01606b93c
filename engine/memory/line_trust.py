"""Which is right: the rest of a line that the memory offers, or what the denoiser wrote.

Three logistic functions, fitted on dev packages by `remask bench memory --fit`: the chance that a remembered line is
what comes next, the same after the denoiser has read it, and the chance that the denoiser's own answer is, given its
confidence. The likelier one is suggested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.memory.lines import Line

FEATURES = "bias length count this_file folder follows agrees share longest characters whole punctuation".split()
LINE: tuple[float, ...] = (-3.69, 0.30, 0.56, 0.29, 0.36, 0.90, 0.38, 4.16, 0.34, -0.94, -0.20, -1.88)
READ_FEATURES = "bias odds lead nats nats_a_token end regret greedy tokens margin".split()
READ: tuple[float, ...] = (2.30, 0.85, 0.31, -0.64, 0.69, 0.29, -0.68, 0.98, -0.45, 0.19)
DENOISER: tuple[float, ...] = (-2.62, 1.16)
SURE = 0.6  # the chance from which on the denoiser is not asked
SURE_READ = 0.6  # and where it has read the line, from which on it need not write
WORTH_READING = 0.1  # and under which it need not read the line
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


def read_features(
    chances: Sequence[float], logprobs: Sequence[Sequence[float]], best: Sequence[Sequence[float]]
) -> list[tuple[float, ...]]:
    """What the chance of each line depends on once the denoiser has read all of them, in the order of `READ_FEATURES`.

    `chances` are those before; `logprobs` the log-probabilities of each line's tokens and of its end, `best` those of
    the likeliest tokens in their places.
    """
    odds = [_odds(chance) for chance in chances]
    nats = [sum(own[:-1]) for own in logprobs]
    rows: list[tuple[float, ...]] = []
    for i, (own, top) in enumerate(zip(logprobs, best, strict=True)):
        regret = sum(b - p for p, b in zip(own[:-1], top[:-1], strict=True))
        rival = max((nats[j] for j in range(len(nats)) if j != i), default=nats[i])
        lead = max((odds[j] for j in range(len(odds)) if j != i), default=odds[i])
        rows.append(
            (
                1.0,
                odds[i],
                odds[i] - lead,
                max(nats[i], -40.0) / 10,
                max(nats[i] / max(len(own) - 1, 1), -6.0),
                max(own[-1], -8.0),
                min(regret, 20.0) / 5,
                float(regret < 0.01),
                math.log1p(len(own)),
                min(max(nats[i] - rival, -10.0), 10.0) / 5,
            )
        )
    return rows


def chances_read(
    chances: Sequence[float], logprobs: Sequence[Sequence[float]], best: Sequence[Sequence[float]]
) -> list[float]:
    """The chance of each of some remembered lines once the denoiser has read them, 0 to 1; see `read_features`."""
    return [
        _logistic(sum(w * x for w, x in zip(READ, row, strict=True))) for row in read_features(chances, logprobs, best)
    ]


def chance_of_denoiser(confidence: float) -> float:
    """The chance that the denoiser's answer is right, given its confidence (0 where it has no answer)."""
    return _logistic(sum(w * x for w, x in zip(DENOISER, denoiser_features(confidence), strict=True)))


def denoiser_features(confidence: float) -> tuple[float, ...]:
    """What the chance of the denoiser's answer depends on: its odds."""
    return (1.0, _odds(confidence))


def _odds(chance: float) -> float:
    kept = min(max(chance, 0.01), 0.99)
    return math.log(kept / (1.0 - kept))


def _logistic(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))
