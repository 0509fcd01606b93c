"""How likely the denoiser finds given middles: many candidates behind one window, in one pass where they fit."""

from __future__ import annotations

import numpy as np

from engine.cancellation import CancelToken
from engine.denoiser import Cache, Denoiser
from engine.sampler import Task, Writing
from engine.vocabulary import Vocabulary


class Scorer:
    """Causal log-likelihoods of candidate middles, each ended by `<end>`."""

    def __init__(self, denoiser: Denoiser, vocabulary: Vocabulary) -> None:
        self.denoiser = denoiser
        self.vocabulary = vocabulary

    def score(
        self, cache: Cache, ids: list[int], middles: list[list[int]], cancel: CancelToken
    ) -> tuple[list[float], int]:
        """log p(middle, end | window) in nats for each candidate, and the passes it took.

        Candidates are stacked as rows behind the shared window: each sees the window and itself alone.
        """
        w = Writing(self.denoiser, self.vocabulary, cache, Task(ids=ids, cancel=cancel))
        steps, scores = 0, []
        room = self.denoiser.capacity - len(ids)
        at = 0
        while at < len(middles):
            cancel.check()
            take, rows = 1, len(middles[at])
            while at + take < len(middles) and rows + len(middles[at + take]) <= min(room, 128):
                rows += len(middles[at + take])
                take += 1
            group = [m[:room] for m in middles[at : at + take]]
            scores += self._group(w, group)
            steps += 1
            at += take
        return scores, steps

    def _group(self, w: Writing, group: list[list[int]]) -> list[float]:
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
        totals = []
        for middle, (first, stop) in zip(group, spans, strict=True):
            rows = [0, *range(first - n + 1, stop - n + 1)]
            totals.append(sum(prediction.logprob(r, t) for r, t in zip(rows, [*middle, w.end], strict=True)))
        return totals
