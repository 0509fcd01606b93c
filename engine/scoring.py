"""How likely the denoiser finds given middles: many candidates behind one window, in one pass where they fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from engine.alike import common_prefix
from engine.cancellation import CancelToken
from engine.denoiser import Denoiser
from engine.kv_cache import Cache
from engine.prediction import Prediction
from engine.sampler import Opening, Task, Writing
from engine.vocabulary import Vocabulary


class Reading(NamedTuple):
    """What the denoiser thinks of a given middle: log-probabilities in nats of its tokens and, last, of `<end>`.

    `best` are those of the likeliest token in each of these places.
    """

    logprobs: list[float]
    best: list[float]


class Readings(NamedTuple):
    """Of several middles; passes behind the prefill, tokens found cached, milliseconds of prefill.

    `opening` is what the last pass has verified of the first middle, where one pass read them all.
    """

    found: list[Reading]
    steps: int
    cached: int
    prefill_ms: float
    opening: Opening | None = None

    @property
    def logprobs(self) -> list[list[float]]:
        """Of each middle's tokens and end."""
        return [reading.logprobs for reading in self.found]

    @property
    def best(self) -> list[list[float]]:
        """Of the likeliest tokens in these places."""
        return [reading.best for reading in self.found]


class Scorer:
    """Causal log-likelihoods of candidate middles, each ended by `<end>`."""

    def __init__(self, denoiser: Denoiser, vocabulary: Vocabulary) -> None:
        self.denoiser = denoiser
        self.vocabulary = vocabulary

    def read(
        self,
        cache: Cache,
        ids: list[int],
        middles: list[list[int]],
        cancel: CancelToken,
        heal: bytes = b"",
        deadline: float | None = None,
    ) -> Readings:
        """Read each candidate token by token; where it spells `heal` again, among the tokens that do.

        Candidates are stacked as rows behind the shared window: each sees the window and itself alone. Those that
        `deadline`, a `time.monotonic()` instant, leaves no time for are missing at the end.
        """
        w = Writing(self.denoiser, self.vocabulary, cache, Task(ids=ids, cancel=cancel, deadline=deadline))
        steps, found, opening = 0, [], None
        room = self.denoiser.capacity - len(ids)
        at = 0
        while at < len(middles) and not w.out_of_time():
            take, rows = 1, len(middles[at])
            while at + take < len(middles) and rows + len(middles[at + take]) <= min(room, 128):
                rows += len(middles[at + take])
                take += 1
            group = [m[:room] for m in middles[at : at + take]]
            prediction, readings = self._group(w, group, heal)
            # The first stands where it would be written, so this pass is the one that verifies it as a draft.
            opening = None if at else Opening(group[0], prediction)
            found += readings
            steps += 1
            at += take
        return Readings(found, steps, w.cached, w.prefill_ms, opening)

    def _group(self, w: Writing, group: list[list[int]], heal: bytes) -> tuple[Prediction, list[Reading]]:
        known = w.known[w.committed :]
        start, n, base = w.committed, len(known), len(w.known)
        ids, positions = list(known), list(range(start, start + n))
        slots = list(positions)
        spans = []
        for middle in group:
            spans.append((len(ids), len(ids) + len(middle)))
            ids += middle
            positions += range(base, base + len(middle))
            slots += range(base + len(ids) - n - len(middle), base + len(ids) - n)
        sees = np.zeros((len(ids), max(slots) + 1), dtype=bool)
        for i in range(n):
            sees[i, : start + i + 1] = True
        for first, stop in spans:
            for row in range(first, stop):
                sees[row, :base] = True
                sees[row, base + first - n : base + row - n + 1] = True
        prediction = w.forward(ids, positions, slots, sees, n - 1)
        w.commit(len(w.known) - 1)
        return prediction, [
            self.reading(prediction, [0, *range(first - n + 1, stop - n + 1)], [*middle, w.end], heal)
            for middle, (first, stop) in zip(group, spans, strict=True)
        ]

    def reading(self, prediction: Prediction, rows: Iterable[int], tokens: Sequence[int], heal: bytes) -> Reading:
        """What rows of a prediction say of given tokens; those that spell `heal` are weighed among such tokens."""
        logprobs, best = [], []
        for row, token in zip(rows, tokens, strict=True):
            if heal:
                own = float(prediction.logits[row, token])
                base, top = self._allowed(prediction, row, heal, token, own)
                logprob, likeliest = own - base, top - base
                heal = heal[len(self.vocabulary.bytes[token]) :]
            else:
                logprob, likeliest = prediction.logprob(row, token), float(prediction.top_logprobs[row, 0])
            logprobs.append(logprob)
            best.append(likeliest)
        return Reading(logprobs, best)

    def _allowed(self, prediction: Prediction, row: int, heal: bytes, token: int, own: float) -> tuple[float, float]:
        """The log of the sum of e^logit over the tokens that spell `heal`, a given one among them, and the largest."""
        allowed = self.vocabulary.spelling(heal)
        base, top = prediction.among(row, allowed)
        if token in allowed:
            return base, top
        return float(np.logaddexp(base, own)), max(top, own)


def suffix_scores(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    cache: Cache,
    task: Task,
    middles: list[list[int]],
    suffix: list[int],
) -> tuple[list[float], int]:
    """log p(first tokens of the suffix | window, middle) in nats for each middle, and the passes it took (0 or 1).

    `suffix` are those tokens. That the middle has not ended is given: the share of `<end>` is taken out, so that ends
    the model is sure of and ends it has not learnt to mark compare. Middles share rows as far as they agree with
    the first of them; those that do not fit into the cache's scratch slots get minus infinity.
    """
    if not suffix:
        return [0.0] * len(middles), 0
    longest = max(middles, key=len)
    w = Writing(denoiser, vocabulary, cache, replace(task, ids=task.ids + longest))
    known, start, base = w.known[w.committed :], w.committed, len(w.known)
    ids, positions = list(known), list(range(start, base))
    slots, spans = list(positions), []
    for middle in middles:
        shared = len(task.ids) + common_prefix(middle, longest)
        # The last shared token again, so that its row is this middle's own; then what differs, then the suffix.
        row = [w.known[shared - 1], *(task.ids + middle)[shared:], *suffix[:-1]]
        if base + len(ids) - len(known) + len(row) > denoiser.capacity:
            break
        spans.append((len(ids), shared - 1, len(row)))
        slots += range(base + len(ids) - len(known), base + len(ids) - len(known) + len(row))
        positions += range(shared - 1, shared - 1 + len(row))
        ids += row
    sees = np.zeros((len(ids), max(slots) + 1), dtype=bool)
    sees[: len(known)] = np.arange(sees.shape[1])[None, :] <= np.arange(start, base)[:, None]
    for first, shared, size in spans:
        own = slots[first]
        sees[first : first + size, :shared] = True
        sees[first : first + size, own : own + size] = np.tril(np.ones((size, size), dtype=bool))
    prediction = w.forward(ids, positions, slots, sees, len(known))
    w.commit(len(w.known))
    scores = []
    for first, _, size in spans:
        rows = range(first - len(known) + size - len(suffix), first - len(known) + size)
        going_on = 1.0 - np.exp(min(prediction.logprob(rows[0], w.end), -1e-6))
        scores.append(
            sum(prediction.logprob(r, t) for r, t in zip(rows, suffix, strict=True)) - float(np.log(going_on))
        )
    return scores + [-math.inf] * (len(middles) - len(scores)), w.steps
