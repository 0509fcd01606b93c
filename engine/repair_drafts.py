"""Damaged lines written anew by the denoiser, which sees them, and sent back to noise where they are still broken.

Drafts of several widths, greedy and sampled, are written together (engine/repair_batch.py): all stand behind one
window, in which the widest span is the damaged one; a narrower draft keeps the lines around it as they are.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import product

import grammars
from engine.alike import changed_span
from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.denoiser import Denoiser
from engine.repair_batch import Batch, Branch
from engine.repair_search import Fix
from engine.sampler import Observer, Task
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder
from grammars import Fault, Source

WORD = re.compile(r"\w+")
HEATS = (0.0, 0.7)  # of the drafts of one width: the likeliest, and a sample
PASSES = 48  # forward passes of one request's drafts: about a second on two quiet cores
WRITING = 20  # of which one batch may take so many
RENOISING = 8  # and one round of re-noising
ROUNDS = 3  # of re-noising
RENOISED = 3  # drafts that are sent back to noise, in two lengths each
MAX_TOKENS = 72  # a longer span is not denoised: it would take seconds
GROWTH = 12  # tokens that a draft may be longer than what it replaces
KEPT = 0.6  # of the damaged words must be in a draft: whoever typed them meant something
DRAFTED = 1.3  # the cost of a draft over the token edits it makes: a small edit by hand is believed first


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a unit: whole lines."""

    start: int
    end: int


@dataclass(slots=True)
class Draft:
    """A branch, the span that it replaces, and the lines of the window's span that it keeps behind it."""

    branch: Branch
    span: Span
    joint: int  # characters of the line break before the span, where it is written too: behind lines that are kept
    after: str
    breaks: int = 0  # lines that are written, where others are kept behind them


@dataclass(slots=True)
class Drafter:
    """Denoised fixes of the faults of one request."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    denoiser: Denoiser
    deadline: float | None
    cancel: CancelToken
    observe: Observer | None
    seed: int = 0
    steps: int = 0

    def run(self, source: Source, fault: Fault, renoise: bool = True) -> list[Fix]:
        """Fixes that parse, cheapest first: of the lines at the first stop, or else at the second."""
        tried: set[Span] = set()
        for widest, narrower in self._places(fault):
            if widest in tried or self.steps >= PASSES or self._late():
                continue
            tried.add(widest)
            fixes = self._batch(source, fault, widest, narrower, renoise)
            if fixes:
                return sorted(fixes, key=lambda fix: fix.cost)
        return []

    def _places(self, fault: Fault) -> list[tuple[Span, list[Span]]]:
        """Spans to write anew, each with those inside of it that are written by themselves."""
        site = fault.site
        head, stop = len(fault.head), len(site.text) - len(fault.tail)
        last = len(site.lines.starts) - 1
        places: list[tuple[Span, list[Span]]] = []
        for row in site.rows[:2]:
            own = Span(*site.lines.span(row))
            around = Span(site.lines.span(max(row - 1, 0))[0], site.lines.span(min(row + 1, last))[1])
            spans = [
                span
                for span in dict.fromkeys((around, own))
                if head <= span.start and span.end <= stop and self._fits(site.text[span.start : span.end])
            ]
            others = [Span(*site.lines.span(r)) for r in site.rows if r != row]
            if spans:
                inside = [s for s in (own, *others) if spans[0].start <= s.start and s.end <= spans[0].end]
                places.append((spans[0], [s for s in inside if s != spans[0]]))
        return places

    def _fits(self, damaged: str) -> bool:
        return bool(damaged.strip()) and len(self.vocabulary.encode(damaged)) <= MAX_TOKENS

    def _batch(self, source: Source, fault: Fault, widest: Span, narrower: list[Span], renoise: bool) -> list[Fix]:
        text, unit = source.text, fault.site.text
        damaged = unit[widest.start : widest.end]
        window = self.windows.build(
            text[: fault.shift + widest.start], text[fault.shift + widest.end :], broken=damaged
        )
        task = Task(ids=window.ids, deadline=self.deadline, cancel=self.cancel, observe=self.observe)
        batch = Batch(self.denoiser, self.vocabulary, self.caches.get(window.ids), task, self.seed)
        drafts = [
            self._draft(unit, widest, span, heat, n)
            for n, (span, heat) in enumerate(product((*narrower[:2], widest), HEATS))
        ]
        known: set[str] = set()
        batch.write([d.branch for d in drafts], min(WRITING, PASSES - self.steps))
        found = self._verified(fault, drafts, known)
        for widen in range(ROUNDS if renoise else 0):
            left = PASSES - self.steps - batch.steps
            drafts = self._furthest(fault, drafts)
            if found or not drafts or left <= 0 or self._late():
                break
            masked = [(d, tokens) for d in drafts for tokens in self._masked(fault, d, widen)]
            branches = batch.renoise([(d.branch, tokens) for d, tokens in masked], min(RENOISING, left))
            drafts = [replace(d, branch=branch) for (d, _), branch in zip(masked, branches, strict=True)]
            found = self._verified(fault, drafts, known)
        self.steps += batch.steps
        return found

    def _furthest(self, fault: Fault, drafts: list[Draft]) -> list[Draft]:
        """Distinct drafts in which the parser reads furthest."""
        unread: dict[str, tuple[int, Draft]] = {}
        for draft in drafts:
            after, _ = self._after(fault.site.text, draft)
            if draft.branch.done and draft.branch.written and after not in unread:
                stops = grammars.site_of(fault.site.language, after).stops
                unread[after] = (len(after) - min(stops), draft)
        return [draft for _, draft in sorted(unread.values(), key=lambda found: found[0])[:RENOISED]]

    def _masked(self, fault: Fault, draft: Draft, widen: int) -> list[list[int | None]]:
        """A draft with masks for the tokens under its errors: as many, and one more, should a token be missing."""
        after, end = self._after(fault.site.text, draft)
        place = draft.span.start - draft.joint
        begin, written = draft.branch.begin, draft.branch.written
        spelt = self.vocabulary.decode(written)
        stops = [
            _spelt(spelt, after[place : min(stop, end)], strip=not draft.joint)
            for stop in grammars.site_of(fault.site.language, after).stops
            if stop >= place
        ]
        while len(written) > 1 and not self.vocabulary.bytes[written[-1]].strip():
            written.pop()  # line breaks at the end, which are not part of the draft
        hit = blamed(self.vocabulary, written, stops, widen)
        first = len(begin) + min(hit)
        tokens: list[int | None] = [*begin, *(None if i in hit else t for i, t in enumerate(written))]
        return [[*tokens[:first], None, *tokens[first:]], tokens]

    def _draft(self, unit: str, widest: Span, span: Span, heat: float, sample: int) -> Draft:
        before = unit[widest.start : span.start].removesuffix("\n").removesuffix("\r")
        first = widest.start + len(before)
        begin, copy = self.vocabulary.encode(before), self.vocabulary.encode(unit[first : widest.end])
        most = len(self.vocabulary.encode(unit[first : span.end])) + GROWTH
        joint = span.start - first if before else 0
        draft = Draft(Branch(begin, copy, heat, sample, most), span, joint, unit[span.end : widest.end])
        if draft.after:
            draft.breaks = unit.count("\n", first, span.end) + 1
            draft.branch.stop = lambda written: self._breaks(written) >= draft.breaks
        return draft

    def _breaks(self, tokens: list[int]) -> int:
        return sum(self.vocabulary.bytes[token].count(b"\n") for token in tokens)

    def _text(self, draft: Draft, newline: str) -> str:
        """What a draft makes of its span, and of the line break before it where it keeps what stands there."""
        written = self.vocabulary.decode(draft.branch.written).replace("\r\n", "\n")
        if draft.after:
            written = "\n".join(written.split("\n")[: draft.breaks])
        written = written.rstrip("\n") if draft.joint else written.strip("\n")
        return written.replace("\n", newline)

    def _after(self, unit: str, draft: Draft) -> tuple[str, int]:
        """The unit with a draft in place, and where what was written ends."""
        place = draft.span.start - draft.joint
        written = self._text(draft, "\r\n" if "\r\n" in unit else "\n")
        return unit[:place] + written + unit[draft.span.end :], place + len(written)

    def _verified(self, fault: Fault, drafts: list[Draft], known: set[str]) -> list[Fix]:
        """Drafts that were finished, keep what was typed and parse; each distinct text is parsed once."""
        unit, found = fault.site.text, []
        for draft in drafts:
            after, end = self._after(unit, draft)
            if not draft.branch.done or after in known:
                continue
            known.add(after)
            damaged, new = unit[draft.span.start : draft.span.end], after[draft.span.start : end]
            if kept(damaged, new) >= KEPT and grammars.accepts(fault.site.language, after):
                cost = DRAFTED + 0.3 * _token_edits(self.vocabulary, damaged, new)
                found.append(Fix(after[len(fault.head) : len(after) - len(fault.tail)], cost))
        return found

    def _late(self) -> bool:
        self.cancel.check()
        return self.deadline is not None and time.monotonic() >= self.deadline


def _spelt(written: str, read: str, strip: bool) -> int:
    """Where in what was written something stands that was `read` of it: its line breaks may be those of the file.

    `strip` tells that those at its start were left out.
    """
    at = len(written) - len(written.lstrip("\r\n")) if strip else 0
    for _ in read.replace("\r\n", "\n"):
        at += 2 if written.startswith("\r\n", at) else 1
    return at


def blamed(vocabulary: Vocabulary, tokens: list[int], stops: list[int], widen: int) -> set[int]:
    """Tokens under `stops`, in characters of what they spell, and more on either side round by round; all for none."""
    ends, at = [], 0
    for token in tokens:
        at += max(len(vocabulary.decode([token])), 1)
        ends.append(at)
    hit: set[int] = set()
    for stop in stops:
        i = next((i for i, end in enumerate(ends) if end > stop), len(tokens) - 1)
        hit |= set(range(i - 1 - 2 * widen, i + 2 + 2 * widen))
    return {i for i in hit if 0 <= i < len(tokens)} or set(range(len(tokens)))


def kept(damaged: str, new: str) -> float:
    """The share of the damaged text's words that a draft still has; 1 when there were none."""
    words = Counter(WORD.findall(damaged))
    return (words & Counter(WORD.findall(new))).total() / words.total() if words else float(bool(new.strip()))


def _token_edits(vocabulary: Vocabulary, old: str, new: str) -> int:
    """Tokens in the smallest span that differs, a bound on the edits between two texts."""
    start, end, new_end = changed_span(old, new)
    return max(len(vocabulary.encode(old[start:end])), len(vocabulary.encode(new[start:new_end])))
