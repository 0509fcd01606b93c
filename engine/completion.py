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
from engine.denoiser import Cache
from engine.memory import Match, Memory, look_back
from engine.sampler import Draft, Observer, Sampler, Task
from engine.types import CompleteAnswer, CompleteRequest, Completion
from engine.verify import Parser, Verifier
from engine.vocabulary import Vocabulary
from engine.window import Window, WindowBuilder

RENOISE_ROUNDS = 2


@dataclass(slots=True)
class Stopwatch:
    """Milliseconds by phase."""

    spent: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, phase: str, minus: float = 0.0) -> None:
        """Book the time since the last lap, less what another phase already has."""
        now = time.perf_counter()
        self.spent[phase] = self.spent.get(phase, 0.0) + (now - self._last) * 1e3 - minus
        self._last = now

    def add(self, phase: str, milliseconds: float) -> None:
        """Book time measured elsewhere."""
        self.spent[phase] = self.spent.get(phase, 0.0) + milliseconds

    def report(self) -> dict[str, float]:
        """All phases and their total."""
        return {k: round(v, 3) for k, v in self.spent.items()} | {"total": round(sum(self.spent.values()), 3)}


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

    def run(self, request: CompleteRequest, cancel: CancelToken, observe: Observer | None = None) -> CompleteAnswer:
        """Answer a request; raises `CancelledError`. At the deadline: what held up by then."""
        clock = Stopwatch()
        before = self.parser.parse(request.language, request.prefix + request.suffix)
        cursor = len(request.prefix)
        multiline = before.invites_block(cursor) if request.multiline is None else request.multiline
        clock.lap("verify")
        window = self.windows.build(request.prefix, request.suffix)
        cache = self.caches.get(window.ids)
        clock.lap("window")
        recall = self._recall(request, window)
        task = Task(
            ids=window.ids,
            max_tokens=max(request.max_tokens, 0),
            heal=window.heal,
            stop=self._stop(window, multiline, request.prefix),
            recall=recall,
            propose=self._propose(recall),
            deadline=request.deadline,
            cancel=cancel,
            observe=observe,
        )
        verifier = Verifier(before, cursor)
        greedy = self._sample(cache, task, clock)
        best = self._hold(request, window, multiline, greedy, verifier, task, clock)
        items = [best] if best.text.strip() else []
        steps = best.steps
        for token in self._rivals(greedy, request):
            if len(items) >= request.alternatives or out_of_time(task):
                break
            draft = self._sample(cache, replace(task, first=token), clock)
            item = self._hold(request, window, multiline, draft, verifier, task, clock)
            steps += item.steps
            if item.text.strip() and all(item.text.strip() != other.text.strip() for other in items):
                items.append(item)
        items[1:] = sorted(items[1:], key=lambda i: -i.confidence)
        return CompleteAnswer(
            items=items,
            steps=steps,
            tokens=sum(i.tokens for i in items),
            prompt_tokens=len(window.ids),
            cached_tokens=greedy.cached,
            timings_ms=clock.report(),
        )

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

    def _recall(self, request: CompleteRequest, window: Window) -> Callable[[list[int]], Match] | None:
        """Asks the memory about the token after those known; asked twice, it answers from its last look-up."""
        if self.memory is None:
            return None
        end = self.denoise.denoiser.config.reserved.end
        view = self.memory.view(request.language, request.path, request.prefix, request.suffix, end)
        size = len(window.ids)
        last: tuple[list[int], Match] = ([], Match())

        def recall(known: list[int]) -> Match:
            nonlocal last
            text = window.left + known[size:]
            if last[0] != text:
                last = (text, view.match(text))
            return last[1]

        return recall

    def _propose(self, recall: Callable[[list[int]], Match] | None) -> Callable[[list[int]], list[int]]:
        if recall is None:
            return look_back
        return lambda known: recall(known).draft or look_back(known)

    def text(self, window: Window, tokens: list[int]) -> str:
        """The middle's text without the bytes that healing spelled again."""
        data = self.vocabulary.decode_bytes(tokens)
        healed = len(window.heal)
        if data[:healed] != window.heal:
            return ""
        return data[healed:].decode("utf-8", "ignore")

    def _stop(self, window: Window, multiline: bool, prefix: str) -> Callable[[list[int]], bool]:
        if not multiline:
            return lambda tokens: b"\n" in self.vocabulary.bytes[tokens[-1]]
        base = body_indent(prefix)
        spell = self.vocabulary

        def left_the_block(tokens: list[int]) -> bool:
            # Only a token that is not blank can show that a line begins left of the body.
            if not spell.bytes[tokens[-1]].strip():
                return False
            text = self.text(window, tokens)
            return len(cut_at_dedent(text, base)) < len(text)

        return left_the_block

    def _hold(
        self,
        request: CompleteRequest,
        window: Window,
        multiline: bool,
        draft: Draft,
        verifier: Verifier,
        task: Task,
        clock: Stopwatch,
    ) -> Completion:
        """The draft as text that passes the parser: as it is, re-noised where it is broken, or cut back."""
        steps = draft.steps
        text = self._shape(request, window, multiline, draft)
        best = self._as_completion(text, draft, window, steps)
        if not text.strip():
            return replace(best, text="")
        if verifier.holds(text):
            clock.lap("verify")
            return best
        tokens = draft.tokens
        for widen in range(RENOISE_ROUNDS):
            if out_of_time(task):
                break
            suspects = self._suspects(window, tokens, verifier.broken_spans(text), widen, len(text))
            clock.lap("verify")
            again = self.denoise.renoise(self.caches.get(window.ids), task, tokens, suspects)
            steps += again.steps
            clock.lap("denoise", minus=again.prefill_ms)
            clock.add("prefill", again.prefill_ms)
            if len(again.tokens) < len(tokens):
                break
            renoised = self._shape(request, window, multiline, again)
            if renoised.strip() and verifier.holds(renoised):
                clock.lap("verify")
                kept = [new or old for new, old in zip(again.logprobs, draft.logprobs, strict=False)]
                return self._as_completion(renoised, replace(again, logprobs=kept), window, steps)
            tokens, text = again.tokens, renoised or text
        # Nothing mended it: the longest beginning of the first draft that does no harm.
        text = self._shape(request, window, multiline, draft)
        for end in sorted(self._token_ends(window, draft.tokens, len(text)), reverse=True):
            if text[:end].strip() and verifier.holds(text[:end]):
                clock.lap("verify")
                return self._as_completion(text[:end], draft, window, steps)
        clock.lap("verify")
        return self._as_completion("", draft, window, steps)

    def _shape(self, request: CompleteRequest, window: Window, multiline: bool, draft: Draft) -> str:
        """The text of a draft, cut at its line's or its block's end."""
        text = self.text(window, draft.tokens)
        if not multiline:
            line = text.split("\n", 1)[0]
            return line.removesuffix("\r")
        text = cut_at_dedent(text, body_indent(request.prefix))
        if not draft.ended and "\n" in text:
            # Out of room in the middle of a line: half a statement helps nobody.
            complete = text[: text.rindex("\n")]
            text = complete if complete.strip() else text
        return text.rstrip() if request.suffix[:1] in ("", "\n", "\r") else text

    def _token_ends(self, window: Window, tokens: list[int], limit: int) -> set[int]:
        ends = set()
        for n in range(1, len(tokens) + 1):
            end = len(self.text(window, tokens[:n]))
            if 0 < end < limit:
                ends.add(end)
        return ends

    def _suspects(
        self, window: Window, tokens: list[int], spans: list[tuple[int, int]], widen: int, limit: int
    ) -> set[int]:
        """Indices of the tokens under `spans`, `widen` more on either side."""
        starts = [len(self.text(window, tokens[:n])) for n in range(len(tokens) + 1)]
        hit = {
            i
            for i in range(len(tokens))
            if starts[i] < limit and any(starts[i] < b and starts[i + 1] > a for a, b in spans)
        }
        wide = {j for i in hit for j in range(i - widen, i + widen + 1)}
        return {j for j in wide if 0 <= j < len(tokens)} or set(range(len(tokens)))

    def _as_completion(self, text: str, draft: Draft, window: Window, steps: int) -> Completion:
        """Confidence and count of the tokens that `text` kept."""
        kept, length = 0, len(text.encode()) + len(window.heal)
        spelled = 0
        for token in draft.tokens:
            if spelled >= length:
                break
            spelled += len(self.vocabulary.bytes[token])
            kept += 1
        whole = draft.ended and kept == len(draft.tokens)
        logprobs = draft.logprobs[:kept] + ([draft.end_logprob] if whole else [])
        confidence = math.exp(sum(logprobs) / len(logprobs)) if logprobs else 0.0
        return Completion(text, round(min(confidence, 1.0), 4), kept + whole, steps)


def out_of_time(task: Task) -> bool:
    """Whether the deadline of a request has passed."""
    return task.deadline is not None and time.monotonic() >= task.deadline


def body_indent(prefix: str) -> int:
    """Columns that a line must be indented by to belong to the block at the cursor."""
    line = prefix[prefix.rfind("\n") + 1 :]
    width = len(line) - len(line.lstrip())
    return width if not line.strip() else width + 1


def cut_at_dedent(text: str, base: int) -> str:
    """`text` before its first line (not the one the cursor is on) that is indented by less than `base`."""
    offset = text.find("\n")
    while offset >= 0:
        stop = text.find("\n", offset + 1)
        line = text[offset + 1 : stop if stop >= 0 else len(text)]
        if line.strip() and len(line) - len(line.lstrip()) < base:
            return text[:offset]
        offset = stop
    return text
