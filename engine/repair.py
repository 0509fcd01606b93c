"""Repair: find what is broken, try small edits and denoised text, keep what the parser accepts, offer the least.

Errors are mended one top-level unit at a time (grammars/units.py), so that one does not hide another. A candidate
counts only when its unit parses; what is offered has been parsed as a whole file. Survivors are ranked by their edits'
cost and by how likely the denoiser finds the mended lines, given the damaged ones. Bytes outside the edits are never
touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import grammars
from engine.alike import changed_span
from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.denoiser import Denoiser
from engine.differences import applied, edits_between
from engine.repair_drafts import Drafter
from engine.repair_rank import RANKED, Ranker
from engine.repair_search import LEAST, WORK, Fix, Search, deadline_check
from engine.sampler import Observer
from engine.stopwatch import Stopwatch
from engine.types import Edit, Repair, RepairAnswer, RepairRequest
from engine.verify import Parser
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder
from grammars import Fault, Source
from grammars.problems import MAX_PROBLEMS

MAX_IDLE = 64  # rounds that mend nothing, or bare what was hidden, before the rest of a file is left as it is
PLAUSIBLE = 1.8  # a fix whose every edit costs less than this is believed without asking the denoiser for a draft
ALTERNATIVES = 3  # repairs offered at most
GROUPS = 12  # changes of a file that are tried without, one by one
SWALLOWED = 16  # ends of a string that swallowed code which are tried,
READ = 800_000  # as far as so many characters are read for them,
FEWEST = 3  # but at least so many
LEFT = 0.4  # what a fault that is left costs an end: others may have been there before, but not many

Found = tuple[Fault, Fix, Source]  # a fault, a fix of it, and the file with the fix


@dataclass(frozen=True, slots=True)
class Parts:
    """Which parts of repair take part: switched off one by one by `remask bench repair`, never by an editor."""

    edits: bool = True
    drafts: bool = True
    renoise: bool = True
    rank: bool = True


@dataclass(slots=True)
class Repairer:
    """What repair needs, and `run`."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    denoiser: Denoiser
    parser: Parser
    parts: Parts = field(default_factory=Parts)

    def run(self, request: RepairRequest, cancel: CancelToken, observe: Observer | None = None) -> RepairAnswer:
        """Answer a request; raises `CancelledError`. At the deadline: the errors mended by then."""
        clock = Stopwatch(self.denoiser)
        current = source = self.parser.parse(request.language, request.text)
        clock.lap("regions")
        if not source.broken:
            return RepairAnswer(Repair([], request.text, 0, 0), 0, timings_ms=clock.report())
        work = _Work(self, request, cancel, observe, clock)
        others: list[str] = []  # texts with one unit mended otherwise
        given_up = idle = 0  # leading broken units that nothing mends; rounds that left as many as before
        while idle < MAX_IDLE:
            faults = current.faults
            clock.lap("regions")
            if len(faults) <= given_up or work.expired():
                break
            mended = self._mended(current, faults[given_up], len(faults), work)
            clock.lap("verify")
            if not mended:
                given_up, idle = given_up + 1, idle + 1
                continue
            idle += len(mended[0].faults) >= len(faults)
            rivals = [m.text for m in mended[1:ALTERNATIVES]]
            others = _moved(current.text, mended[0].text, others)
            others += [r for r in rivals if r not in others]
            current = mended[0]
        if not current.broken:
            current, others = self._needed(source, current, others, work)
        return self._answer(request, source, current, others, work)

    def _needed(self, source: Source, mended: Source, others: list[str], work: _Work) -> tuple[Source, list[str]]:
        """The mended file without changes that it parses without: lines that only looked broken when read alone."""
        groups: list[list[Edit]] = []
        for edit in edits_between(source.text, mended.text):
            if groups and source.text.count("\n", groups[-1][-1].end, edit.start) < 2:
                groups[-1].append(edit)
            else:
                groups.append([edit])
        if not 1 < len(groups) <= GROUPS:
            return mended, others
        for group in groups:
            left = [g for g in groups if g is not group]
            text = applied(source.text, [edit for g in left for edit in g])
            if work.expired() or not left:
                break
            if grammars.accepts(source.language, text):
                groups = left
                mended = mended.language.parse(text)
                others = []
        return mended, others

    def _mended(self, source: Source, fault: Fault, broken: int, work: _Work) -> list[Source]:
        """The file with one fault mended, best way first; [] when nothing was verified."""
        if self.parts.edits and (found := self._swallowed(source, broken, work)):
            return self._ranked(source, found, work)
        found = []
        level: Fault | None = fault if self.parts.edits else None
        while level is not None and not found and not work.expired():
            found = self._verified(source, level, work.edits(level), broken, work)
            level = level.around  # read in a wider context, it may be another error
        believed = bool(found) and found[0][1].cost / found[0][1].edits <= PLAUSIBLE
        if self.parts.drafts and not believed and not work.expired():
            drafted = self._verified(source, fault, work.drafts(source, fault), broken, work)
            work.denoised |= bool(drafted)
            found = sorted(found + drafted, key=lambda f: f[1].cost)
        return self._ranked(source, found, work)

    def _ranked(self, source: Source, found: list[Found], work: _Work) -> list[Source]:
        if self.parts.rank and len(found) > 1 and not work.expired():
            found = [found[i] for i in work.order(source, [(place, fix) for place, fix, _ in found])]
        return [mended for _, _, mended in found[:ALTERNATIVES]]

    def _swallowed(self, source: Source, broken: int, work: _Work) -> list[Found]:
        """Ends of a string that swallowed code, those that leave the fewest faults first; [] when they leave more.

        Where such a string ends decides what is code behind it, so it is judged by the whole file, before all else.
        """
        edits = grammars.swallowed(source)
        if not edits:
            return []
        everything = Fault(0, len(source.text), source.faults[0].site)
        found: list[tuple[float, int, Found]] = []
        most = max(min(SWALLOWED, READ // len(source.text)), FEWEST)
        for edit in edits[:most]:
            if work.expired():
                break
            after = source.replace(edit.start, edit.end, edit.new)
            faults = len(after.faults)
            wrong = any(fault.start <= edit.start < fault.end for fault in after.faults)
            freed = not wrong and 2 * _blamed(after) < _blamed(source)  # it hid other faults
            if faults + wrong <= broken or freed:
                score = edit.cost + LEFT * (faults + wrong)
                found.append((score, faults, (everything, Fix(after.text, edit.cost), after)))
        work.clock.lap("candidates")
        found.sort(key=lambda one: one[0])
        return [one for _, faults, one in found if faults == found[0][1]]

    def _verified(self, source: Source, fault: Fault, fixes: list[Fix], broken: int, work: _Work) -> list[Found]:
        """Fixes that leave the file with fewer faults than before, each with the mended file; at most one when late."""
        kept: list[Found] = []
        for fix in fixes:
            after = source.replace(fault.start, fault.end, fix.text)
            if not after.broken or len(after.faults) < broken:
                kept.append((fault, fix, after))
            if len(kept) >= (RANKED if broken == 1 else ALTERNATIVES + 1) or work.expired():
                break  # finding all faults of a file again is the dearest part of a round
        return kept

    def _answer(
        self, request: RepairRequest, source: Source, current: Source, others: list[str], work: _Work
    ) -> RepairAnswer:
        repair = _repair(request.text, source, current)
        alternatives: tuple[Repair, ...] = ()
        if current is source or repair.errors_after >= repair.errors_before:
            repair = Repair([], request.text, repair.errors_before, repair.errors_before)
        else:
            found = self._alternatives(request.text, source, current, others, work)
            alternatives = tuple(islice(found, ALTERNATIVES - 1))
        work.clock.lap("verify")
        return RepairAnswer(repair, work.steps, alternatives, work.denoised, work.clock.report())

    def _alternatives(
        self, text: str, source: Source, current: Source, others: list[str], work: _Work
    ) -> Iterator[Repair]:
        """Other repairs that leave the file no more broken than the first; each costs a parse of all of it."""
        for other in dict.fromkeys(others):
            if work.expired():
                return
            if other != current.text and (parsed := source.language.parse(other)).broken <= current.broken:
                yield _repair(text, source, parsed)


class _Work:
    """One request's way through the parts, and what it cost."""

    def __init__(
        self,
        repairer: Repairer,
        request: RepairRequest,
        cancel: CancelToken,
        observe: Observer | None,
        clock: Stopwatch,
    ) -> None:
        r = repairer
        self.parts, self.clock = r.parts, clock
        self.expired = deadline_check(request.deadline, cancel.check)
        self.drafter = Drafter(
            r.vocabulary, r.windows, r.caches, r.denoiser, request.deadline, cancel, observe, request.seed
        )
        self.ranker = Ranker(r.vocabulary, r.windows, r.caches, r.denoiser, cancel, request.deadline)
        self.denoised = False
        self.work = 2 * WORK

    @property
    def steps(self) -> int:
        """Forward passes so far."""
        return self.drafter.steps + self.ranker.steps

    def edits(self, fault: Fault) -> list[Fix]:
        """Fixes of a fault by small edits, cheapest first."""
        search = Search(fault.site.language, self.expired, left=self.work, least=LEAST if self.work else LEAST // 8)
        found = search.run(fault)
        self.work = max(self.work - search.spent, 0)
        self.clock.lap("candidates")
        return found

    def drafts(self, source: Source, fault: Fault) -> list[Fix]:
        """Fixes of a fault that the denoiser wrote."""
        found = self.drafter.run(source, fault, renoise=self.parts.renoise)
        self.clock.lap("denoise")
        return found

    def order(self, source: Source, fixes: list[tuple[Fault, Fix]]) -> list[int]:
        """Indices of fixes, best first."""
        self.clock.lap("verify")
        found = self.ranker.order(source, fixes)
        self.clock.lap("rank")
        return found


def _repair(text: str, source: Source, mended: Source) -> Repair:
    """The edits that mend a text, of which `source` is what was parsed: lone surrogates in it stay what they are."""
    edits = [replace(e, old=text[e.start : e.end]) for e in edits_between(source.text, mended.text)]
    return Repair(edits, applied(text, edits), *_errors(source, mended))


def _errors(source: Source, mended: Source) -> tuple[int, int]:
    """Errors before and after: no more problems are told than a bound, so that faults are counted beyond it."""
    before, left = max(len(source.problems), len(source.faults)), len(mended.problems)
    if left >= MAX_PROBLEMS:
        left = before - (len(source.faults) - len(mended.faults))
    return before, min(left, before)


def _blamed(source: Source) -> int:
    """Characters under faults."""
    return sum(fault.end - fault.start for fault in source.faults)


def _moved(old: str, new: str, others: list[str]) -> list[str]:
    """Alternatives of earlier rounds, with the change from `old` to `new` made to them as well."""
    if not others:
        return []
    first, last, new_last = changed_span(old, new)
    tail, replaced, inserted = old[last:], old[first:last], new[first:new_last]

    def moved(other: str) -> str:
        # Units are mended in the order of the text, so `other` differs from `old` before the change only.
        end = len(other) - len(tail)
        begin = end - len(replaced)
        if begin < 0 or not other.endswith(tail) or other[begin:end] != replaced:
            return other
        return other[:begin] + inserted + tail

    return [moved(other) for other in others]
