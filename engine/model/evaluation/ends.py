"""How the end of a middle is found: the same weights, the same greedy tokens, four ways to stop.

`as it comes`: at the model's own `<end>`. `cut at the line`: that text up to its first line break. `complete`: what the
engine answers, one line or a block by the syntax at the cursor and the best of several scored ends. `told the length`:
the number of tokens of the truth is given, which is as well as choosing the end alone could do.
"""

from __future__ import annotations

from collections.abc import Sequence

import grammars
from engine.calibration import draft_policy
from engine.core import Engine
from engine.model.evaluation.cases import Case
from engine.model.evaluation.measures import edit_similarity
from engine.model.evaluation.runner import MAX_TOKENS, Progress, Results, complete, same_middle
from engine.sampler import Task
from engine.verified import VerifiedSampler

ENDS_COLUMNS = ("as it comes", "cut at the line", "complete", "told the length")


def run_ends(engine: Engine, cases: Sequence[Case], results: Results, tick: Progress) -> None:
    """Book the four ways for each case."""
    for case in cases:
        group = f"{case.language} {case.kind}"
        tick(group)
        for column, text in _four_ways(engine, case).items():
            exact = same_middle(text, case)
            source = grammars.get(case.language).parse(case.prefix + text + case.suffix)
            results.book(group, "exact", column, exact)
            results.book(group, "edit similarity", column, edit_similarity(text, case.middle))
            results.book(group, "parses", column, not source.broken)
            results.answers.append(
                {"group": group, "case": case.name, "column": column, "answer": text, "truth": case.middle}
                | {"exact": exact}
            )


def _four_ways(engine: Engine, case: Case) -> dict[str, str]:
    completer, vocabulary = engine.completer, engine.vocabulary
    sampler = VerifiedSampler(engine.denoiser, vocabulary, draft_policy(engine.denoiser))
    window = completer.windows.build(case.prefix, case.suffix)
    length = len(vocabulary.encode(window.heal.decode("utf-8", "ignore") + case.middle))
    free = Task(window.ids, MAX_TOKENS, window.heal)
    told = Task(window.ids, min(length, MAX_TOKENS), window.heal, least=length)
    comes, exactly = (
        completer.text(window, sampler.run(completer.caches.get(window.ids), task).tokens) for task in (free, told)
    )
    answer, _, _ = complete(engine, sampler, case.prefix, case.suffix, case.language)
    line = comes.split("\n", 1)[0].removesuffix("\r")
    return dict(zip(ENDS_COLUMNS, (comes, line, answer, exactly), strict=True))
