"""Damaged lines written anew by the denoiser, which sees them, and sent back to noise where they are still broken."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, replace

import grammars
from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.denoise import DenoiseSampler
from engine.repair_search import Fix
from engine.sampler import Observer, Sampler, Task
from engine.verify import changed_span
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder
from grammars import Fault, Source

WORD = re.compile(r"\w+")
PLACES = ((0, 0), (1, 0), (0, 1))  # (which of the blamed rows, lines on either side of it that are written anew too)
MAX_STEPS = 60  # forward passes for one fault: a little over a second on two cores
ROUNDS = 3  # re-noising rounds for one draft
MAX_TOKENS = 72  # a longer span is not denoised: it would take seconds
KEPT = 0.6  # of the damaged words must be in a draft: whoever typed them meant something
DRAFTED = 1.3  # the cost of a draft over the token edits it makes: a small edit by hand is believed first


@dataclass(slots=True)
class Drafter:
    """Denoised fixes of one unit."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    sampler: Sampler
    denoise: DenoiseSampler
    deadline: float | None
    cancel: CancelToken
    observe: Observer | None
    steps: int = 0

    def run(self, source: Source, fault: Fault, renoise: bool = True) -> list[Fix]:
        """Fixes that parse, from the blamed lines and then more around them; stops at the first that does."""
        site, head = fault.site, len(fault.head)
        tried: set[tuple[int, int]] = set()
        enough = self.steps + MAX_STEPS
        for which, width in PLACES:
            if which >= len(site.rows) or self.steps >= enough or self._late():
                continue
            row = site.rows[which]
            first, last = max(row - width, 0), min(row + width, len(site.lines.starts) - 1)
            start, end = site.lines.span(first)[0], site.lines.span(last)[1]
            if (start, end) in tried or start < head or end > len(site.text) - len(fault.tail):
                continue
            tried.add((start, end))
            fix = self._draft(source, fault, start, end, renoise)
            if fix is not None:
                return [fix]
        return []

    def _draft(self, source: Source, fault: Fault, start: int, end: int, renoise: bool) -> Fix | None:
        text, unit, head, tail = source.text, fault.site.text, len(fault.head), len(fault.tail)
        damaged = unit[start:end]
        length = len(self.vocabulary.encode(damaged))
        if not damaged.strip() or length > MAX_TOKENS:
            return None
        window = self.windows.build(text[: fault.shift + start], text[fault.shift + end :], broken=damaged)
        task = Task(
            ids=window.ids,
            max_tokens=length + 12,
            deadline=self.deadline,
            cancel=self.cancel,
            observe=self.observe,
        )
        draft = self.sampler.run(self.caches.get(window.ids), task)
        self.steps += draft.steps
        for widen in range(ROUNDS if renoise else 1):
            new = self.vocabulary.decode(draft.tokens).strip("\n")
            after = unit[:start] + new + unit[end:]
            if kept(damaged, new) >= KEPT and grammars.accepts(source.language, after):
                return Fix(after[head : len(after) - tail], DRAFTED + 0.3 * _token_edits(self.vocabulary, damaged, new))
            if widen + 1 >= ROUNDS or not renoise or self._late() or not draft.tokens:
                return None
            suspects = self._suspects(source, after, start, len(new), draft.tokens, widen)
            draft = self.denoise.renoise(self.caches.get(window.ids), replace(task), draft.tokens, suspects)
            self.steps += draft.steps
        return None

    def _suspects(self, source: Source, after: str, start: int, length: int, tokens: list[int], widen: int) -> set[int]:
        """Tokens under the errors that remain in a draft, more on either side round by round; all if none is blamed."""
        site = grammars.site_of(source.language, after)
        ends, at = [], 0
        for token in tokens:
            at += max(len(self.vocabulary.decode([token])), 1)
            ends.append(at)
        hit: set[int] = set()
        for stop in site.stops:
            if start <= stop <= start + length:
                i = next((i for i, end in enumerate(ends) if end > stop - start), len(tokens) - 1)
                hit |= set(range(i - 1 - 2 * widen, i + 2 + 2 * widen))
        return {i for i in hit if 0 <= i < len(tokens)} or set(range(len(tokens)))

    def _late(self) -> bool:
        self.cancel.check()
        return self.deadline is not None and time.monotonic() >= self.deadline


def kept(damaged: str, new: str) -> float:
    """The share of the damaged text's words that a draft still has; 1 when there were none."""
    words = Counter(WORD.findall(damaged))
    return (words & Counter(WORD.findall(new))).total() / words.total() if words else float(bool(new.strip()))


def _token_edits(vocabulary: Vocabulary, old: str, new: str) -> int:
    """Tokens in the smallest span that differs, a bound on the edits between two texts."""
    start, end, new_end = changed_span(old, new)
    return max(len(vocabulary.encode(old[start:end])), len(vocabulary.encode(new[start:new_end])))
