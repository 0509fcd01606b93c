"""Completion: document → window → denoise → verify → re-noise what is broken → suggestions.

One request at a time. What comes out is exactly what goes between prefix and suffix, has passed the parser, and is
empty rather than broken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.denoise import DenoiseSampler
from engine.ends import (
    End,
    cut_at_line,
    ends,
    following_tokens,
    repeats,
    with_line_breaks_of,
)
from engine.errors import CancelledError
from engine.kv_cache import Cache
from engine.memory import NOTHING, SURE, SURE_READ, Memory, Proposal, as_sure, behind
from engine.overtaken import Overtaken
from engine.recollection import Recollection, likelier
from engine.sampler import Draft, Observer, Opening, Sampler, Task, Trace
from engine.scoring import Readings, Scorer, suffix_scores
from engine.spot import NEAR, Spot
from engine.stopwatch import Stopwatch
from engine.types import CompleteAnswer, CompleteRequest, Completion
from engine.verify import Parser, Verifier
from engine.vocabulary import Vocabulary
from engine.window import Window, WindowBuilder

RENOISE_ROUNDS = 2
TIE = 2.0  # nats between two ends within which the suffix behind them decides
SUFFIX_TOKENS = 4
SUFFIX_CHARACTERS = 64
MARGIN = 4.0  # nats below the likeliest end at which an end is no longer a rival to it
UNLIKELY = math.log(0.02)  # an end less likely than this is not where the middle ends
BODY = 4  # tokens that a block has at least, its line break among them
BLOCK = 32  # tokens behind the line that opens it, at most: a longer wait than for them ends with the next key
LINES = 4  # line breaks after which a draft that should end inside a line is given up


@dataclass(slots=True)
class Completer:
    """What completion needs, and `run`."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    sampler: Sampler
    denoise: DenoiseSampler
    parser: Parser
    memory: Memory | None
    overtaken: Overtaken = field(default_factory=Overtaken)

    def run(self, request: CompleteRequest, cancel: CancelToken, observe: Observer | None = None) -> CompleteAnswer:
        """Answer a request; raises `CancelledError`. At the deadline: what held up by then."""
        clock = Stopwatch(self.denoise.denoiser)
        before = self.parser.parse(request.language, request.prefix + request.suffix)
        cursor = len(request.prefix)
        block = before.invites_block(cursor) if request.multiline is None else request.multiline
        clock.lap("verify")
        window = self.windows.build(request.prefix, request.suffix)
        clock.lap("window")
        spot = Spot.at(request, window, block, Verifier(before, cursor))
        memory = self._recollect(request, window, block)
        remembered = spot.first_settling(memory.lines)
        clock.lap("memory")
        if remembered is not None and remembered.confidence >= SURE and request.alternatives == 1:
            return self._remembered(remembered, window, None, clock)
        cache = self.caches.get(window.ids)
        readings = memory.read(Scorer(self.denoise.denoiser, self.vocabulary), cache, cancel, request.deadline)
        if readings is not None:
            clock.lap("denoise", minus=readings.prefill_ms)
            clock.add("prefill", readings.prefill_ms)
            remembered = spot.first_settling(memory.lines)
            clock.lap("verify")
            if remembered is not None and remembered.confidence >= SURE_READ and request.alternatives == 1:
                return self._remembered(remembered, window, readings, clock)
        task = Task(
            ids=window.ids,
            max_tokens=max(request.max_tokens, 0),
            heal=window.heal,
            follow=following_tokens(self.vocabulary, request.suffix, not block),
            recall=memory.recall,
            propose=memory.propose,
            deadline=request.deadline,
            cancel=cancel,
            observe=observe,
        )
        opening = readings.opening if readings is not None else None
        greedy, best = self._first(spot, cache, task, opening, clock)
        if readings is not None:
            best = replace(best, steps=best.steps + readings.steps)
        steps = best.steps
        items = likelier(best, remembered)[: max(request.alternatives, 1)]
        self._count(remembered, items[0] if items else None)
        for token in self._rivals(greedy, request):
            if len(items) >= request.alternatives or out_of_time(task):
                break
            rival = replace(task, first=token)
            draft = self._sample(cache, replace(rival, stop=self._stop(spot, lines=1)), clock)
            item = self._best(spot, cache, rival, draft, clock)
            steps += item.steps
            if item.text.strip() and all(item.text.strip() != other.text.strip() for other in items):
                items.append(item)
        items[1:] = sorted(items[1:], key=lambda i: -i.confidence)
        return CompleteAnswer(
            items=items,
            steps=steps,
            tokens=sum(i.tokens for i in items),
            prompt_tokens=len(window.ids),
            cached_tokens=greedy.cached if readings is None else readings.cached,
            timings_ms=clock.report(),
        )

    def _remembered(
        self, line: Completion, window: Window, readings: Readings | None, clock: Stopwatch
    ) -> CompleteAnswer:
        """A remembered line as the answer; the denoiser has read it at most."""
        self._count(line, line)
        steps, cached = (readings.steps, readings.cached) if readings is not None else (0, 0)
        items = [replace(line, steps=steps)]
        return CompleteAnswer(items, steps, line.tokens, len(window.ids), cached, clock.report())

    def _first(
        self, spot: Spot, cache: Cache, task: Task, opening: Opening | None, clock: Stopwatch
    ) -> tuple[Draft, Completion]:
        """The greedy draft and what of it passes the parser; as far as it was written it is kept when overtaken."""
        written: list[int] = []

        def watch(trace: Trace) -> None:
            if trace.kind == "verify":
                written[:] = [token for token in trace.tokens if token is not None]
            if task.observe is not None:
                task.observe(trace)

        watched = replace(task, observe=watch)
        try:
            greedy = self._sample(cache, replace(watched, stop=self._stop(spot, lines=1), opening=opening), clock)
            return greedy, self._best(spot, cache, watched, greedy, clock)
        except CancelledError:
            self.overtaken.keep(spot.request.prefix, spot.request.suffix, self.text(spot.window, written))
            raise

    def _sample(self, cache: Cache, task: Task, clock: Stopwatch) -> Draft:
        draft = self.sampler.run(cache, task)
        clock.lap("denoise", minus=draft.prefill_ms)
        clock.add("prefill", draft.prefill_ms)
        return draft

    def _rivals(self, greedy: Draft, request: CompleteRequest) -> list[int]:
        """First tokens for alternatives: next best first, or drawn with the seed (Gumbel top-k)."""
        if request.alternatives <= 1:
            return []
        rivals = greedy.rivals[1:]
        if request.seed and rivals:
            noise = np.random.default_rng(request.seed).gumbel(size=len(rivals))
            rivals = [rivals[i] for i in np.argsort(np.arange(len(rivals)) - noise)]
        return rivals

    def _recollect(self, request: CompleteRequest, window: Window, block: bool) -> Recollection:
        view = None
        if self.memory is not None:
            end = self.denoise.denoiser.config.reserved.end
            view = self.memory.view(request.language, request.path, request.prefix, request.suffix, end, request.files)
        overtaken = self.overtaken.rest(request.prefix, request.suffix)
        return Recollection(self.vocabulary, view, request, window, block, overtaken)

    def _count(self, remembered: Completion | None, first: Completion | None) -> None:
        if self.memory is not None and remembered is not None:
            self.memory.count(first is not None and first.text.strip() == remembered.text.strip())

    def text(self, window: Window, tokens: list[int]) -> str:
        """The middle's text without the bytes that healing spelled again."""
        data = self.vocabulary.decode_bytes(tokens)
        healed = len(window.heal)
        if data[:healed] != window.heal:
            return ""
        return data[healed:].decode("utf-8", "ignore")

    def _stop(self, spot: Spot, lines: int) -> Callable[[list[int]], bool]:
        """Stops a draft that has left its line or block, or has begun to write the suffix again."""
        spell, suffix = self.vocabulary.bytes, spot.request.suffix

        def over(tokens: list[int]) -> bool:
            if not spot.block and b"\n" in spell[tokens[-1]]:
                return self.text(spot.window, tokens).count("\n") >= lines
            # Only a token that is not blank can show that a line begins left of the body.
            if not spell[tokens[-1]].strip():
                return False
            text = self.text(spot.window, tokens)
            return repeats(text, suffix) or spot.cut(text) != text

        return over

    def _best(self, spot: Spot, cache: Cache, task: Task, draft: Draft, clock: Stopwatch) -> Completion:
        """What of a draft passes the parser: its best end, the best of a longer draft, re-noised, or cut back."""
        steps = draft.steps
        choices = self._ends(spot, draft, not spot.block)
        choices, passes = self._untied(spot, cache, task, draft, choices, clock)
        steps += passes
        chosen = None
        if not out_of_time(task) and (wide := self._opened(spot, draft, choices)) is not None:
            clock.lap("verify")
            longer = self._sample(cache, self._with_block(wide, task, draft), clock)
            steps += longer.steps
            chosen = self._filled(wide, longer, len(draft.tokens))
            if chosen is not None:
                draft, spot = longer, wide
        if chosen is None:
            chosen = self._settled(spot, choices)
        clock.lap("verify")
        if chosen is None and not out_of_time(task) and (more := self._go_on(spot, task, draft, choices)) is not None:
            longer = self._sample(cache, more, clock)
            steps += longer.steps
            wider = self._ends(spot, longer, not spot.block and draft.ended)
            # An end that was there before was turned down before.
            chosen = self._settled(spot, [end for end in wider if end.tokens > len(draft.tokens)])
            if chosen is None and spot.bracketed:
                chosen = self._closed(spot, longer)
            if chosen is not None:
                draft = longer
        if chosen is None:
            chosen = self._holding(spot, draft, choices)
        clock.lap("verify")
        if chosen is None and choices and choices[0].text.strip():
            chosen, draft = self._mended(spot, cache, task, draft, choices, clock)
            steps += draft.steps
        if chosen is None or not chosen.text.strip():
            return Completion("", 0.0, 0, steps)
        return self._as_completion(spot, chosen, draft, steps)

    def _ends(self, spot: Spot, draft: Draft, line: bool) -> list[End]:
        """The ends of a draft, likeliest first."""
        texts = [self.text(spot.window, draft.tokens[:n]) for n in range(len(draft.tokens) + 1)]
        spelled = self._spelled(spot.window, draft.tokens)
        found = ends(draft, texts, spelled, spot.request.suffix, cut_at_line if line else spot.cut)
        if spot.block and not draft.ended and found and found[0].score < UNLIKELY:
            # Out of room, and no end in sight: whole lines are of more use than half a statement.
            found.sort(key=lambda end: (not texts[-1].startswith(end.text + "\n"), -end.tokens))
        return found

    def _spelled(self, window: Window, tokens: list[int]) -> int:
        """How many tokens it took to spell again what healing cut off."""
        spelled = n = 0
        while spelled < len(window.heal) and n < len(tokens):
            spelled, n = spelled + len(self.vocabulary.bytes[tokens[n]]), n + 1
        return n

    def _untied(
        self, spot: Spot, cache: Cache, task: Task, draft: Draft, choices: list[End], clock: Stopwatch
    ) -> tuple[list[End], int]:
        """The ends, those that are about equally likely ordered by the suffix behind them (PILL); passes it took."""
        if (not spot.block and spot.ends_line) or out_of_time(task):
            return choices, 0
        near = [e for e in choices if e.score >= choices[0].score - TIE and e.text.strip()][:NEAR]
        rivals = [e for e in near if spot.settles(e.text)] if len(near) > 1 else []
        if len(rivals) < 2:
            return choices, 0
        middles = [self._tokens(spot, draft, end) for end in rivals]
        suffix = self.vocabulary.encode_again(spot.request.suffix[:SUFFIX_CHARACTERS])[:SUFFIX_TOKENS]
        clock.lap("verify")
        scores, steps = suffix_scores(self.denoise.denoiser, self.vocabulary, cache, task, middles, suffix)
        clock.lap("denoise")
        order = sorted(range(len(rivals)), key=lambda i: -(rivals[i].score + scores[i]))
        return [rivals[i] for i in order] + [e for e in choices if e not in rivals], steps

    def _tokens(self, spot: Spot, draft: Draft, end: End) -> list[int]:
        """The tokens of an end: those of the draft, the last of them spelled anew where it is cut."""
        if end.whole:
            return draft.tokens[: end.tokens]
        kept = draft.tokens[: end.tokens - 1]
        spelled = len(self.vocabulary.decode_bytes(kept))
        text = spot.window.heal + end.text.encode("utf-8", "replace")
        return kept + self.vocabulary.encode(text[spelled:].decode("utf-8", "ignore"))

    def _settled(self, spot: Spot, choices: list[End]) -> End | None:
        """The likeliest end that leaves the file as clean as it can be; None when no likely one does."""
        for end in [e for e in choices if e.score >= choices[0].score - MARGIN][:NEAR]:
            if not end.text.strip():
                if not spot.block:
                    return end
            elif end.ending >= UNLIKELY and spot.settles(end.text):
                return end
        return None

    def _go_on(self, spot: Spot, task: Task, draft: Draft, choices: list[End]) -> Task | None:
        """What to ask for when a draft ended too early; None when it did not end, or had no room."""
        known = draft.tokens
        empty = spot.block and not self.text(spot.window, known).strip()
        stop, least = self._stop(spot, lines=1), len(known) + (BODY if empty else 1)
        if not draft.ended:
            if spot.block or spot.ends_line or not choices or choices[0].score > UNLIKELY:
                return None
            stop, least = self._stop(spot, lines=LINES), 0
        if len(known) >= task.max_tokens:
            return None
        return replace(behind_draft(task, known), least=least, stop=stop)

    def _opened(self, spot: Spot, draft: Draft, choices: list[End]) -> Spot | None:
        """The place that a line of a draft opens, where that line is what the draft makes likeliest; else None."""
        text = cut_at_line(self.text(spot.window, draft.tokens)).rstrip()
        if len(draft.tokens) >= spot.request.max_tokens or (wide := spot.opened_by(text)) is None:
            return None
        likeliest = bool(choices) and choices[0].text.rstrip() == text
        return wide if likeliest or self._settled(spot, choices) is None else None

    def _with_block(self, wide: Spot, task: Task, draft: Draft) -> Task:
        """What to ask for when a line has opened a block: that line again, and the block behind it."""
        follow = following_tokens(self.vocabulary, wide.request.suffix, line=False)
        line = len(draft.tokens)
        room, stop = min(task.max_tokens, line + BLOCK), self._stop(wide, lines=1)
        again = behind_draft(task, draft.tokens)
        return replace(again, stop=stop, follow=follow, least=line + BODY, max_tokens=room)

    def _filled(self, wide: Spot, draft: Draft, first: int) -> End | None:
        """The likeliest end of a draft behind its `first` tokens, or its first lines with what they open closed."""
        found = [end for end in self._ends(wide, draft, False) if end.tokens > first]
        return self._settled(wide, found) or self._holding(wide, draft, found)

    def _holding(self, spot: Spot, draft: Draft, choices: list[End]) -> End | None:
        """Where no end settles: the likeliest that does no harm, or, first where it must be, one that is closed."""
        closed = self._closed(spot, draft) if spot.bracketed else None
        return closed or spot.first_holding(choices) or (self._closed(spot, draft) if spot.block else None)

    def _closed(self, spot: Spot, draft: Draft) -> End | None:
        """The first lines of a draft with the brackets closed that they leave open, where that holds."""
        texts = [self.text(spot.window, draft.tokens[:n]) for n in range(len(draft.tokens) + 1)]
        kept = spot.cut(texts[-1])
        lines = kept.split("\n")
        closed = spot.closed(lines if draft.ended or kept != texts[-1] else lines[:-1])
        if closed is None:
            return None
        text, closing = closed
        return End(text + closing, next(n for n, t in enumerate(texts) if len(t) >= len(text)), 0.0, whole=False)

    def _mended(
        self, spot: Spot, cache: Cache, task: Task, draft: Draft, choices: list[End], clock: Stopwatch
    ) -> tuple[End | None, Draft]:
        """The likeliest end, which breaks the file: re-noised where it does, else the longest end that does no harm."""
        end = choices[0]
        tokens, text, steps = draft.tokens[: end.tokens], end.text, 0
        # What the last token says beyond the end belongs to the suffix.
        beyond = self.text(spot.window, tokens).removeprefix(text)
        for widen in range(RENOISE_ROUNDS):
            if out_of_time(task):
                break
            spans = spot.verifier.broken_spans(text)
            suspects = self._suspects(spot.window, tokens, spans, widen, len(text))
            clock.lap("verify")
            again = self.denoise.renoise(cache, task, tokens, suspects)
            steps += again.steps
            clock.lap("denoise", minus=again.prefill_ms)
            clock.add("prefill", again.prefill_ms)
            if len(again.tokens) < len(tokens):
                break
            new = self.text(spot.window, again.tokens)
            new = new.removesuffix(beyond) if beyond else new
            new = spot.cut(new) if spot.block else cut_at_line(new)
            if new.strip() and spot.verifier.holds(new):
                clock.lap("verify")
                kept = [new or old for new, old in zip(again.logprobs, draft.logprobs, strict=False)]
                return replace(end, text=new), replace(again, logprobs=kept, steps=steps)
            tokens, text = again.tokens, new or text
        shorter = (e for e in sorted(choices, key=lambda e: -e.tokens) if e.tokens < end.tokens and e.text.strip())
        chosen = next((e for e in shorter if spot.verifier.holds(e.text)), None)
        clock.lap("verify")
        return chosen, replace(draft, steps=steps)

    def _suspects(
        self, window: Window, tokens: list[int], spans: list[tuple[int, int]], widen: int, limit: int
    ) -> set[int]:
        """Indices of the tokens under `spans`, `widen` more on either side; what healing spelled again stays."""
        starts = [len(self.text(window, tokens[:n])) for n in range(len(tokens) + 1)]
        hit = {
            i
            for i in range(len(tokens))
            if starts[i] < limit and any(starts[i] < b and starts[i + 1] > a for a, b in spans)
        }
        wide = {j for i in hit for j in range(i - widen, i + widen + 1)}
        free = range(self._spelled(window, tokens), len(tokens))
        return wide & set(free) or set(free)

    def _as_completion(self, spot: Spot, end: End, draft: Draft, steps: int) -> Completion:
        """An end with its confidence: the geometric mean of its tokens' probabilities and of that of ending there."""
        text = with_line_breaks_of(spot.shaped(end.text), spot.request.prefix, spot.request.suffix)
        logprobs = [*draft.logprobs[: end.tokens], end.ending]
        confidence = math.exp(sum(logprobs) / len(logprobs))
        return Completion(text, round(min(confidence, 1.0), 4), end.tokens + end.whole, steps)


def behind_draft(task: Task, known: list[int]) -> Task:
    """The same task with a draft that is known to hold, to be verified in one pass, and what comes behind it."""
    size = len(task.ids)

    def again(sequence: list[int]) -> Proposal:
        if left := behind(known, sequence[size:]):
            return as_sure(left, 1.0)
        return task.propose(sequence) if task.propose is not None else NOTHING

    return replace(task, propose=again)


def out_of_time(task: Task) -> bool:
    """Whether the deadline of a request has passed."""
    return task.deadline is not None and time.monotonic() >= task.deadline
