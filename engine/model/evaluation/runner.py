"""Runs cases through a loaded engine, once with each sampler, and books the measures.

The columns are `verified` and `denoise`, the samplers that `engine.load` offers, and `K = 1`: the same weights writing
one token a pass, without drafts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import grammars
from engine.calibration import draft_policy
from engine.core import Engine
from engine.denoise import DenoiseSampler
from engine.differences import TOKEN, edits_between
from engine.kv_cache import Cache
from engine.model.evaluation.cases import Case
from engine.model.evaluation.damage import DamagedFile
from engine.model.evaluation.holes import solves
from engine.model.evaluation.losses import measure_loss
from engine.model.evaluation.measures import Measure, edit_similarity
from engine.sampler import Draft, Sampler, Task
from engine.types import CompleteRequest, RepairRequest
from engine.verified import DraftPolicy, VerifiedSampler

MAX_TOKENS = 64
COLUMNS = ("verified", "denoise", "K = 1")

Progress = Callable[[str], None]


class OneByOne:
    """The autoregressive baseline: one token a pass, no drafts of any kind."""

    def __init__(self, engine: Engine) -> None:
        self._inner = VerifiedSampler(engine.denoiser, engine.vocabulary, DraftPolicy(masks=0, row_cost=0.0))

    def run(self, cache: Cache, task: Task) -> Draft:
        """See `Sampler`."""
        return self._inner.run(cache, replace(task, propose=None))


class FirstDraft:
    """A sampler that remembers its first draft: what decoding alone took, before ends are chosen or errors mended."""

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner
        self.first: Draft | None = None

    def run(self, cache: Cache, task: Task) -> Draft:
        """See `Sampler`."""
        draft = self._inner.run(cache, task)
        self.first = self.first or draft
        return draft


def samplers(engine: Engine) -> dict[str, Sampler]:
    """The columns of the table."""
    return {
        "verified": VerifiedSampler(engine.denoiser, engine.vocabulary, draft_policy(engine.denoiser)),
        "denoise": DenoiseSampler(engine.denoiser, engine.vocabulary),
        "K = 1": OneByOne(engine),
    }


@dataclass(slots=True)
class Results:
    """Measures by group and name, in the order in which they were first booked, and every single answer."""

    measures: dict[tuple[str, str], Measure] = field(default_factory=dict)
    answers: list[dict[str, object]] = field(default_factory=list)

    def book(
        self, group: str, name: str, column: str, numerator: float, denominator: float = 1.0, higher: bool = True
    ) -> None:
        """Record one case's figure."""
        measure = self.measures.setdefault((group, name), Measure(group, name, higher))
        measure.add(column, numerator, denominator)


def run_completions(engine: Engine, cases: Sequence[Case], seed: int, results: Results, tick: Progress) -> None:
    """Losses on each true middle (next token is that of K = 1), and what `complete` answers, judged against it."""
    columns = samplers(engine)
    for case in cases:
        group = f"{case.language} {case.kind}"
        tick(group)
        loss = measure_loss(engine.vocabulary, engine.completer.windows, engine.caches, case, seed)
        results.book(group, "loss, nats a token", "verified", loss.masked, loss.masks, higher=False)
        results.book(group, "loss, nats a token", "K = 1", loss.next_token, loss.tokens, higher=False)
        results.book(group, "right tokens", "verified", loss.masked_right, loss.masks)
        results.book(group, "right tokens", "K = 1", loss.next_token_right, loss.tokens)
        truth = len(engine.vocabulary.encode(case.middle))
        for column, sampler in columns.items():
            drafting = FirstDraft(sampler)
            text, tokens, steps = complete(engine, drafting, case.prefix, case.suffix, case.language)
            exact = same_middle(text, case)
            source = grammars.get(case.language).parse(case.prefix + text + case.suffix)
            length = len(engine.vocabulary.encode(text))
            results.book(group, "answered", column, bool(text.strip()))
            results.book(group, "exact", column, exact)
            results.book(group, "edit similarity", column, edit_similarity(text, case.middle))
            results.book(group, "parses", column, not source.broken)
            results.book(group, "length error, tokens", column, abs(length - truth), higher=False)
            if (draft := drafting.first) is not None:
                results.book(group, "tokens a pass, drafting", column, len(draft.tokens) + draft.ended, draft.steps)
            results.book(group, "tokens a pass, all in all", column, tokens, steps)
            results.answers.append(
                {"group": group, "case": case.name, "column": column, "answer": text, "truth": case.middle}
                | {"exact": exact, "tokens": tokens, "steps": steps}
            )


def run_holes(engine: Engine, cases: Sequence[Case], results: Results, tick: Progress) -> None:
    """Holes that what follows decides, with it and without it."""
    columns = samplers(engine)
    for case in cases:
        tick(f"{case.language} hole, {case.kind}")
        group = f"{case.language} hole, {case.kind}"
        for name, suffix in (("solved, suffix seen", case.suffix), ("solved, suffix hidden", "")):
            for column, sampler in columns.items():
                text, _, _ = complete(engine, sampler, case.prefix, suffix, case.language)
                solved = solves(text, case.middle)
                results.book(group, name, column, solved)
                results.answers.append(
                    {"group": group, "case": case.name, "column": column, "answer": text, "truth": case.middle}
                    | {"measure": name, "exact": solved}
                )


def run_repairs(engine: Engine, files: Sequence[DamagedFile], results: Results, tick: Progress) -> None:
    """Damaged files through `repair` (BIFI's measure, arXiv 2106.06600: parses within 5 token edits; and restored)."""
    for file in files:
        tick(f"{file.language} repair")
        text = engine.run_repair(RepairRequest(file.broken, file.language)).repair.text
        for column in samplers(engine):  # the same for both: repair writes its drafts in a way of its own
            parses = not grammars.get(file.language).parse(text).broken
            near = token_edits(file.broken, text) <= 5
            group = f"{file.language} repair"
            results.book(group, "parses", column, parses)
            results.book(group, "parses, within 5 token edits", column, parses and near)
            results.book(group, "restored exactly", column, text == file.original)
            results.answers.append(
                {"group": group, "case": file.name, "column": column, "parses": parses}
                | {"exact": text == file.original}
            )


def complete(engine: Engine, sampler: Sampler, prefix: str, suffix: str, language: str) -> tuple[str, int, int]:
    """`complete` with one sampler: (text, tokens kept, passes)."""
    engine.completer.sampler = sampler
    answer = engine.run_complete(CompleteRequest(prefix, suffix, language, max_tokens=MAX_TOKENS))
    return (answer.items[0].text if answer.items else ""), answer.tokens, answer.steps


def same_middle(text: str, case: Case) -> bool:
    """Exact match; blanks before a line break are nobody's mistake."""
    if case.suffix[:1] in ("", "\n", "\r"):
        return text.rstrip() == case.middle.rstrip()
    return text == case.middle


def token_edits(old: str, new: str) -> int:
    """Tokens deleted plus tokens inserted, a substitution counted once, over lexical tokens that are not blank."""
    return sum(max(_tokens(edit.old), _tokens(edit.new)) for edit in edits_between(old, new))


def _tokens(text: str) -> int:
    return max(sum(not t.isspace() for t in TOKEN.findall(text)), 1 if text else 0)
