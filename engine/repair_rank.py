"""Which of several repairs was meant: edit cost against what the denoiser expects there."""

from __future__ import annotations

from dataclasses import dataclass

from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.denoiser import Denoiser
from engine.repair_search import Fix
from engine.scoring import Scorer
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder
from grammars import Fault, Source

RANKED = 8  # fixes that are compared
# How the two witnesses are weighed was measured on 94 files with one damage (docs/repair.md): asking the denoiser only
# where the second best costs nearly the same gives four fifths of what asking always gives, for a third of the time.
DECIDED = 0.1  # a fix that is cheaper than all others by this much needs no second opinion
CLOSE = 0.3  # otherwise those that cost at most this much more are compared
COST_WEIGHT = 4.0  # nats that are worth one unit of cost
LONGEST = 8  # characters of one token, generously: a longer span need not be tokenised to be known as too long
MAX_SPAN = 110  # tokens of the longest span that is scored


@dataclass(slots=True)
class Ranker:
    """Orders fixes of one fault."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    denoiser: Denoiser
    cancel: CancelToken
    steps: int = 0

    def order(self, source: Source, fixes: list[tuple[Fault, Fix]]) -> list[int]:
        """Indices of `fixes` (cheapest first), best first; those that are much costlier than the cheapest stay last."""
        costs = [fix.cost for _, fix in fixes]
        close = [i for i in range(min(len(fixes), RANKED)) if costs[i] <= costs[0] + CLOSE]
        rest = [i for i in range(len(fixes)) if i not in close]
        if len(close) < 2 or costs[1] >= costs[0] + DECIDED:
            return close + rest
        texts = [source.text[: f.start] + fix.text + source.text[f.end :] for f, fix in (fixes[i] for i in close)]
        scores = self.scores(source.text, texts)
        if scores is not None:
            close = [
                close[n] for n in sorted(range(len(close)), key=lambda n: COST_WEIGHT * costs[close[n]] - scores[n])
            ]
        return close + rest

    def scores(self, damaged: str, texts: list[str]) -> list[float] | None:
        """Log-likelihoods in nats of the lines in which the texts differ, given the damaged ones; None if too long."""
        first = min(_common(damaged, t) for t in texts)
        tail = min(_common(damaged[first:][::-1], t[first:][::-1]) for t in texts)
        first = damaged.rfind("\n", 0, first) + 1
        stop = damaged.find("\n", len(damaged) - tail)
        tail = len(damaged) - stop if stop >= 0 else 0
        spans = [t[first : len(t) - tail] for t in (damaged, *texts)]
        if max(map(len, spans)) > MAX_SPAN * LONGEST:
            return None
        middles = [self.vocabulary.encode(span) for span in spans]
        if max(map(len, middles)) > MAX_SPAN:
            return None
        window = self.windows.build(damaged[:first], damaged[len(damaged) - tail :], broken=spans[0])
        scorer = Scorer(self.denoiser, self.vocabulary)
        scores, steps = scorer.score(self.caches.get(window.ids), window.ids, middles[1:], self.cancel)
        self.steps += steps
        return scores


def _common(a: str, b: str) -> int:
    """Length of the common prefix."""
    limit, at, step = min(len(a), len(b)), 0, 256
    while at < limit and a[at : at + step] == b[at : at + step]:
        at += step
    return next((i for i in range(at, limit) if a[i] != b[i]), limit)
