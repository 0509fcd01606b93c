"""Which of several repairs was meant: edit cost against what the denoiser expects there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.alike import common_prefix, common_suffix
from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.denoiser import Denoiser
from engine.repair_search import Fix
from engine.scoring import Scorer
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder
from grammars import Fault, Source

RANKED = 8  # fixes that are compared
LONGEST = 8  # characters of one token, generously: a longer span need not be tokenised to be known as too long
MAX_SPAN = 110  # tokens of the longest span that is scored


@dataclass(frozen=True, slots=True)
class Weighing:
    """How the two witnesses are weighed; `remask bench repair --fit` measures what to choose (docs/repair.md).

    A fix that is cheaper than all others by `decided` needs no second opinion; otherwise those that cost at most
    `close` more than the cheapest are compared, and `weight` nats are worth one unit of cost.
    """

    decided: float = 0.1
    close: float = 0.3
    weight: float = 4.0

    def compared(self, costs: Sequence[float]) -> list[int]:
        """Indices of the fixes that the denoiser is asked about, of costs in ascending order; [] when costs decide."""
        if len(costs) < 2 or costs[1] >= costs[0] + self.decided:
            return []
        return [i for i in range(min(len(costs), RANKED)) if costs[i] <= costs[0] + self.close]

    def order(self, costs: Sequence[float], scores: Sequence[float]) -> list[int]:
        """Indices of fixes with these costs and log-likelihoods in nats, best first."""
        return sorted(range(len(costs)), key=lambda i: self.weight * costs[i] - scores[i])


WEIGHING = Weighing()


@dataclass(slots=True)
class Ranker:
    """Orders fixes of one fault."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    denoiser: Denoiser
    cancel: CancelToken
    deadline: float | None = None
    steps: int = 0

    def order(self, source: Source, fixes: list[tuple[Fault, Fix]]) -> list[int]:
        """Indices of `fixes` (cheapest first), best first; those that are much costlier than the cheapest stay last."""
        costs = [fix.cost for _, fix in fixes]
        close = WEIGHING.compared(costs)
        texts = [source.text[: f.start] + fix.text + source.text[f.end :] for f, fix in (fixes[i] for i in close)]
        scores = self.scores(source.text, texts) if len(close) > 1 else None
        if scores is None:
            return list(range(len(fixes)))
        best = [close[n] for n in WEIGHING.order([costs[i] for i in close], scores)]
        return best + [i for i in range(len(fixes)) if i not in close]

    def scores(self, damaged: str, texts: list[str]) -> list[float] | None:
        """Log-likelihoods in nats of the lines in which the texts differ, given the damaged ones.

        None when they are too long, or the deadline leaves no time for all of them.
        """
        first = min(common_prefix(damaged, t) for t in texts)
        tail = min(common_suffix(damaged, t, min(len(damaged), len(t)) - first) for t in texts)
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
        readings = Scorer(self.denoiser, self.vocabulary).read(
            self.caches.get(window.ids), window.ids, middles[1:], self.cancel, deadline=self.deadline
        )
        self.steps += readings.steps
        return [sum(logprobs) for logprobs in readings.logprobs] if len(readings.found) == len(texts) else None
