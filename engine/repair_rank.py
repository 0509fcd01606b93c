"""Which of several repairs was meant: edit cost against what the denoiser expects there."""

from __future__ import annotations

from dataclasses import dataclass

from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.denoise import DenoiseSampler
from engine.repair_search import MARGIN, Fix
from engine.scoring import Scorer
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder
from grammars import Fault, Source

RANKED = 8  # survivors that are compared
COST_WEIGHT = 8.0  # nats that are worth one unit of cost (docs/repair.md: how it was chosen)
MAX_SPAN = 110  # tokens of the longest span that is scored


@dataclass(slots=True)
class Ranker:
    """Orders fixes of one unit."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    denoise: DenoiseSampler
    cancel: CancelToken
    steps: int = 0

    def rank(self, source: Source, fault: Fault, fixes: list[Fix]) -> list[Fix]:
        """Best first; those that are much costlier than the cheapest keep their place at the end."""
        close = [f for f in fixes if f.cost <= fixes[0].cost + MARGIN][:RANKED]
        if len(close) < 2:
            return fixes
        scores = self.scores(source, fault, close)
        if scores is None:
            return fixes
        order = sorted(range(len(close)), key=lambda i: COST_WEIGHT * close[i].cost - scores[i])
        return [close[i] for i in order] + fixes[len(close) :]

    def scores(self, source: Source, fault: Fault, fixes: list[Fix]) -> list[float] | None:
        """Log-likelihoods in nats of the lines in which the fixes differ, given the damaged ones; None if too long."""
        text, unit = source.text, source.text[fault.start : fault.end]
        texts = [unit, *(fix.text for fix in fixes)]
        first = min(_common(unit, t) for t in texts[1:])
        tail = min(_common(unit[first:][::-1], t[first:][::-1]) for t in texts[1:])
        first = unit.rfind("\n", 0, first) + 1
        stop = unit.find("\n", len(unit) - tail)
        tail = len(unit) - stop if stop >= 0 else 0
        spans = [t[first : len(t) - tail] for t in texts]
        middles = [self.vocabulary.encode(span) for span in spans]
        if max(map(len, middles)) > MAX_SPAN:
            return None
        start, end = fault.start + first, fault.start + len(unit) - tail
        window = self.windows.build(text[:start], text[end:], broken=spans[0])
        scorer = Scorer(self.denoise.denoiser, self.vocabulary)
        scores, steps = scorer.score(self.caches.get(window.ids), window.ids, middles[1:], self.cancel)
        self.steps += steps
        return scores


def _common(a: str, b: str) -> int:
    """Length of the common prefix."""
    limit = min(len(a), len(b))
    return next((i for i in range(limit) if a[i] != b[i]), limit)
