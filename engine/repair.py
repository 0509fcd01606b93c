"""Repair: find the broken region, try small edits and denoised text, keep what the parser accepts, offer the least.

Errors are mended one region at a time, first in the file first. A candidate counts only when the whole file, re-parsed,
is less broken than before; ties are broken by how likely the denoiser finds the mended lines, given the damaged ones.
Bytes outside the regions are never touched.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import grammars
from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.completion import Stopwatch
from engine.denoise import DenoiseSampler
from engine.differences import edits_between
from engine.sampler import Observer, Sampler, Task
from engine.scoring import Scorer
from engine.types import Repair, RepairAnswer, RepairRequest
from engine.verify import Parser
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder
from grammars import Region, Source

MAX_ROUNDS = 16  # errors mended in one file
MAX_EDITS = 600  # small edits tried at one region
RANKED = 6  # survivors that the denoiser compares
COST_MARGIN = 1.0  # a candidate this much costlier than the cheapest is not compared
COST_WEIGHT = 2.0  # nats that one more token edit must gain in likelihood
ENOUGH = 12  # survivors after which the search for edits stops
REGION_LINES = 12  # a region longer than this is not denoised


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mended file: its parse, where the change lies in the file before it, and what it costs in token edits."""

    source: Source
    start: int
    end: int
    new: str
    cost: float


@dataclass(slots=True)
class Repairer:
    """What repair needs, and `run`."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    sampler: Sampler
    denoise: DenoiseSampler
    parser: Parser

    def run(self, request: RepairRequest, cancel: CancelToken, observe: Observer | None = None) -> RepairAnswer:
        """Answer a request; raises `CancelledError`. At the deadline: the errors mended by then."""
        clock = Stopwatch()
        source = self.parser.parse(request.language, request.text)
        before = len(source.problems)
        clock.lap("regions")
        if not before:
            return RepairAnswer(Repair([], request.text, 0, 0), 0, clock.report())
        steps = 0
        current = source
        skipped: set[tuple[int, int]] = set()
        for _ in range(MAX_ROUNDS):
            region = next((r for r in current.regions if (r.start, r.end) not in skipped), None)
            clock.lap("regions")
            if region is None or not current.broken or _late(request):
                break
            survivors = self._small_edits(current, region, request, cancel)
            clock.lap("candidates")
            if not survivors or survivors[0].source.broken:
                drafted, spent = self._denoised(current, region, request, cancel, observe)
                steps += spent
                survivors = _best(survivors + drafted)
                clock.lap("candidates")
            if not survivors:
                skipped.add((region.start, region.end))
                continue
            chosen, spent = self._choose(current, region, survivors, cancel)
            steps += spent
            clock.lap("rank")
            current = chosen.source
        after = len(current.problems)
        text = current.text if after < before else request.text
        repair = Repair(edits_between(request.text, text), text, before, min(after, before))
        clock.lap("regions")
        return RepairAnswer(repair, steps, clock.report())

    def _small_edits(
        self, source: Source, region: Region, request: RepairRequest, cancel: CancelToken
    ) -> list[Candidate]:
        """One-token edits that make the file less broken, the least broken first, then the cheapest."""
        found: list[Candidate] = []
        clean = 0
        for tried, edit in enumerate(source.single_edits(region)):
            if tried >= MAX_EDITS or clean >= ENOUGH or _late(request):
                break
            if tried % 16 == 0:
                cancel.check()
            after = source.replace(edit.start, edit.end, edit.new)
            if grammars.progress(source, after):
                found.append(Candidate(after, edit.start, edit.end, edit.new, edit.cost))
                clean += not after.broken
        return _best(found)

    def _denoised(
        self, source: Source, region: Region, request: RepairRequest, cancel: CancelToken, observe: Observer | None
    ) -> tuple[list[Candidate], int]:
        """The region's lines written anew by the denoiser, which sees the damaged ones; wider if that fails."""
        text, steps = source.text, 0
        for widen in (0, 1):
            start, end = whole_lines(text, region.start, region.end, widen)
            damaged = text[start:end]
            if damaged.count("\n") >= REGION_LINES:
                break
            window = self.windows.build(text[:start], text[end:], broken=damaged)
            task = Task(
                ids=window.ids,
                max_tokens=len(self.vocabulary.encode(damaged)) + 12,
                deadline=request.deadline,
                cancel=cancel,
                observe=observe,
            )
            draft = self.sampler.run(self.caches.get(window.ids), task)
            steps += draft.steps
            for _ in range(2):
                new = self.vocabulary.decode(draft.tokens)
                after = source.replace(start, end, new)
                if new.strip() and grammars.progress(source, after):
                    cost = float(len(edits_between(damaged, new)))
                    return [Candidate(after, start, end, new, cost)], steps
                suspects = self._suspects(after, start, len(new), draft.tokens)
                if not suspects or _late(request):
                    break
                draft = self.denoise.renoise(
                    self.caches.get(window.ids), replace(task, observe=observe), draft.tokens, suspects
                )
                steps += draft.steps
        return [], steps

    def _suspects(self, after: Source, start: int, length: int, tokens: list[int]) -> set[int]:
        """Tokens of a draft that lie under the errors that remain in it."""
        spans = [(e.start - start, e.end - start) for e in after.errors if e.end >= start and e.start <= start + length]
        suspects, at = set(), 0
        for i, token in enumerate(tokens):
            size = max(len(self.vocabulary.decode([token])), 1)
            if any(at <= b and at + size >= a for a, b in spans):
                suspects.add(i)
            at += size
        return suspects

    def _choose(
        self, source: Source, region: Region, survivors: list[Candidate], cancel: CancelToken
    ) -> tuple[Candidate, int]:
        """The survivor with the best balance of likelihood and token edits."""
        cheapest = survivors[0].cost
        close = [c for c in survivors if c.cost <= cheapest + COST_MARGIN][:RANKED]
        if len(close) == 1:
            return close[0], 0
        text = source.text
        first, last = min(c.start for c in close), max(c.end for c in close)
        start, end = whole_lines(text, first, last, 0)
        window = self.windows.build(text[:start], text[end:], broken=text[start:end])
        middles = [self.vocabulary.encode(text[start : c.start] + c.new + text[c.end : end]) for c in close]
        scorer = Scorer(self.denoise.denoiser, self.vocabulary)
        scores, steps = scorer.score(self.caches.get(window.ids), window.ids, middles, cancel)
        ranked = sorted(zip(close, scores, strict=True), key=lambda pair: COST_WEIGHT * pair[0].cost - pair[1])
        return ranked[0][0], steps


def _late(request: RepairRequest) -> bool:
    return request.deadline is not None and time.monotonic() >= request.deadline


def _best(candidates: list[Candidate]) -> list[Candidate]:
    """Those that leave the file least broken, cheapest first."""
    if not candidates:
        return []
    least = min(c.source.severity for c in candidates)
    return sorted((c for c in candidates if c.source.severity == least), key=lambda c: c.cost)


def whole_lines(text: str, start: int, end: int, more: int) -> tuple[int, int]:
    """The lines that `start` and `end` lie on, without the last line break, and `more` lines on either side."""
    first, last = text.rfind("\n", 0, start) + 1, text.find("\n", max(end, start))
    last = last if last >= 0 else len(text)
    for _ in range(more):
        first = text.rfind("\n", 0, max(first - 1, 0)) + 1 if first else 0
        found = text.find("\n", last + 1)
        last = found if found >= 0 else len(text)
    return first, last
