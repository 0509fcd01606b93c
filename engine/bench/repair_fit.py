"""`remask bench repair --fit`: how the ranking should weigh edit cost against the denoiser, on damage of its own.

The damage is drawn with another seed than the benchmark's. Every file whose edits leave a choice is scored once; then
each weighing of a grid is judged on one half of the files and reported on both. What is best goes into
engine/repair_rank.py by hand: it is a part of the program, like the weights that it was measured with.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from rich.table import Table

import engine
from engine.bench import speed
from engine.bench.repair_cases import Case, same_tokens, single_cases
from engine.cancellation import CancelToken
from engine.core import Engine
from engine.repair_rank import RANKED, WEIGHING, Ranker, Weighing
from engine.repair_search import MARGIN, Search
from grammars import Fault

SEED = 1000  # added to the benchmark's: dev damage shares no draw with the damage that is reported
DECIDED = (0.05, 0.1, 0.15, 0.2, 0.3, MARGIN)
CLOSE = (0.1, 0.2, 0.3, MARGIN)
WEIGHTS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0)
SHOWN = 6
ASKING = 0.02  # of exact restoration that asking the denoiser of every file must bring: a pass costs a person's time


@dataclass(frozen=True, slots=True)
class Choice:
    """Fixes of one file in ascending order of cost: their costs, log-likelihoods, and which restore the original."""

    costs: list[float]
    scores: list[float]
    right: list[bool]

    def exact(self, weighing: Weighing) -> bool:
        """Whether the first one is right when they are weighed so."""
        close = weighing.compared(self.costs)
        if len(close) < 2:
            return self.right[0]
        return self.right[close[weighing.order([self.costs[i] for i in close], [self.scores[i] for i in close])[0]]]


def fit(languages: Sequence[str], args: argparse.Namespace) -> int:
    """Print what the best weighings restore, beside the one in use, cost alone, and what a perfect judge would."""
    console = speed.wide(120)
    choices: list[Choice] = []
    with engine.load(args.device, memory=False, model=args.model) as e:
        for language in languages:
            for case in single_cases(language, args.corpus, args.per_kind, args.seed + SEED):
                if case.determined and (found := choice(e, case)) is not None:
                    choices.append(found)
        model = e.model
    if len(choices) < 2:
        console.print("too few files leave a choice: ask for more with --per-kind")
        return 1
    half, rest = choices[::2], choices[1::2]
    grid = [Weighing(*w) for w in product(DECIDED, CLOSE, WEIGHTS) if w[1] >= w[0] or w[0] == DECIDED[0]]
    grid.sort(key=lambda w: ASKING * asked(half, w) - exact(half, w))
    table = Table(title=f"{len(choices)} files whose edits leave a choice, {model}", title_justify="left")
    for column in ("way", "decided", "close", "nats a unit of cost", "fitted half", "other half", "all", "asked"):
        table.add_column(column, justify="left" if column == "way" else "right")
    table.add_row(*_row("cost alone", Weighing(decided=0.0), half, rest))
    table.add_row(*_row("in use", WEIGHING, half, rest))
    for weighing in grid[:SHOWN]:
        table.add_row(*_row("fitted", weighing, half, rest))
    table.add_row("a perfect judge", "", "", "", *(f"{_best(part):.3f}" for part in (half, rest, choices)), "")
    console.print(table)
    return 0


def choice(e: Engine, case: Case) -> Choice | None:
    """What edits leave to choose from in a damaged file; None when there are fewer than two fixes, or too long ones."""
    r = e.repairer
    source = r.parser.parse(case.language, case.damaged.text)
    if len(source.faults) != 1:
        return None
    level: Fault | None = source.faults[0]
    while level is not None:
        fault = level
        found = [
            (fix, text)
            for fix in Search(source.language, lambda: False).run(fault)
            if not source.language.parse(text := source.replace(fault.start, fault.end, fix.text).text).broken
        ][:RANKED]
        if found:
            break
        level = fault.around
    if level is None or len(found) < 2:
        return None
    ranker = Ranker(r.vocabulary, r.windows, r.caches, r.denoiser, CancelToken())
    scores = ranker.scores(source.text, [text for _, text in found])
    if scores is None:
        return None
    right = [same_tokens(case.language, text, case.original) for _, text in found]
    return Choice([fix.cost for fix, _ in found], scores, right)


def exact(choices: list[Choice], weighing: Weighing) -> float:
    """The share of files that are restored."""
    return sum(c.exact(weighing) for c in choices) / len(choices)


def asked(choices: list[Choice], weighing: Weighing) -> float:
    """The share of files in which the denoiser is asked."""
    return sum(len(weighing.compared(c.costs)) > 1 for c in choices) / len(choices)


def _best(choices: list[Choice]) -> float:
    return sum(any(c.right) for c in choices) / len(choices)


def _row(name: str, weighing: Weighing, half: list[Choice], rest: list[Choice]) -> list[str]:
    both = half + rest
    shares = [exact(half, weighing), exact(rest, weighing), exact(both, weighing), asked(both, weighing)]
    return [
        name,
        f"{weighing.decided:.2f}",
        f"{weighing.close:.2f}",
        f"{weighing.weight:g}",
        *(f"{share:.3f}" for share in shares),
    ]
