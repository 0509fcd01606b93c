"""Rewriting a selection: send some of its tokens back to noise and denoise them where they stand.

What an autoregressive model has to write anew from left to right, a denoiser edits in place: the tokens that it doubts
most become masks and are denoised seeing what is kept on both sides (re-masking, T2M, arXiv 2604.18738). `full` masks
everything and lets the model choose the length. A file that results is never worse, or there is no edit.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

import grammars
from engine.caches import CachePool
from engine.cancellation import CancelToken
from engine.completion import Completer, out_of_time
from engine.denoise import DenoiseSampler
from engine.ends import with_line_breaks_of
from engine.errors import BadRequestError
from engine.sampler import Observer, Task, Writing
from engine.scoring import Scorer
from engine.stopwatch import Stopwatch
from engine.types import CompleteRequest, Edit, RewriteAnswer, RewriteRequest
from engine.verify import Parser
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder
from grammars import Source

SHARES = {"light": 0.2, "half": 0.5}
DEGREES = (*SHARES, "full")
DRAFTS = 4  # of which the likeliest is offered
WORSE = 0.7  # nats a token by which a rewrite may be less likely than what was there
LONGEST = 200  # tokens of a selection, and no more than fit into the cache beside its context
GROWTH = 24  # tokens that a full rewrite may be longer


@dataclass(frozen=True, slots=True)
class Doubt:
    """-log p of a token, the likeliest other token in its place, and by how many nats that one is likelier."""

    doubt: float
    rival: int
    margin: float


@dataclass(slots=True)
class Rewriter:
    """What rewriting needs, and `run`."""

    vocabulary: Vocabulary
    windows: WindowBuilder
    caches: CachePool
    denoise: DenoiseSampler
    completer: Completer
    parser: Parser

    def run(self, request: RewriteRequest, cancel: CancelToken, observe: Observer | None = None) -> RewriteAnswer:
        """Rewrite `text[start:end]`; raises `CancelledError`, and `BadRequestError` for an impossible selection.

        The blanks around the selection stay. No edit when nothing else held up before the deadline.
        """
        clock = Stopwatch(self.denoise.denoiser)
        before = self.parser.parse(request.language, request.text)
        text, start, end = before.text, *_trimmed(request)
        old = self.vocabulary.encode(text[start:end])
        window = self.windows.build(text[:start], text[end:], heal=False)
        most = min(LONGEST, self.denoise.denoiser.capacity - len(window.ids))
        if len(old) > most:
            raise BadRequestError(f"the selection has {len(old)} tokens: at most {most} can be rewritten here at once")
        task = Task(
            ids=window.ids,
            max_tokens=len(old) + GROWTH,
            deadline=request.deadline,
            cancel=cancel,
            observe=observe,
        )
        clock.lap("window")
        if request.degree == "full":
            drafts, steps = self._anew(request, start, end, cancel, observe)
        else:
            drafts, steps = self._in_place(task, old, SHARES[request.degree], random.Random(request.seed))
        clock.lap("denoise")
        # The selection's own line breaks count as well: it may be all of the file.
        drafts = [with_line_breaks_of(new, text[:end], text[end:]) for new in drafts]
        held = [new for new in dict.fromkeys(drafts) if self._holds(before, start, end, new)]
        new, passes = self._likeliest(task, text[start:end], held)
        clock.lap("rank")
        edit = Edit(start, end, text[start:end], new) if new is not None else None
        return RewriteAnswer(edit, steps + passes, clock.report())

    def _anew(
        self, request: RewriteRequest, start: int, end: int, cancel: CancelToken, observe: Observer | None
    ) -> tuple[list[str], int]:
        """Everything masked: completions of the place that the selection leaves."""
        text = request.text
        answer = self.completer.run(
            CompleteRequest(
                prefix=text[:start],
                suffix=text[end:],
                language=request.language,
                path=request.path,
                max_tokens=len(self.vocabulary.encode(text[start:end])) + GROWTH,
                alternatives=DRAFTS,
                seed=request.seed,
                multiline="\n" in text[start:end],
                deadline=request.deadline,
                files=request.files,
            ),
            cancel,
            observe,
        )
        return [item.text.strip() for item in answer.items], answer.steps

    def _in_place(self, task: Task, old: list[int], share: float, draw: random.Random) -> tuple[list[str], int]:
        """A share masked, the most doubted first; then with one token replaced by its best rival."""
        doubts, steps = self._doubts(task, old)
        masks = _most(([d.doubt for d in doubts]), share)
        margins = [d.margin + 0.5 * draw.random() for d in doubts]
        chosen = sorted(range(len(old)), key=lambda i: -margins[i])[:DRAFTS]
        drafts: list[str] = []
        for at in (None, *chosen):
            if drafts and out_of_time(task):
                break
            tokens = old if at is None else [*old[:at], doubts[at].rival, *old[at + 1 :]]
            around = masks if at is None else {i for i in masks | {at + 1, at + 2} if i != at and i < len(old)}
            draft = self.denoise.renoise(self.caches.get(task.ids), task, tokens, around)
            steps += draft.steps
            if len(draft.tokens) == len(old):
                drafts.append(self.vocabulary.decode(draft.tokens).strip())
        return drafts, steps

    def _likeliest(self, task: Task, old: str, held: list[str]) -> tuple[str | None, int]:
        """The draft that the denoiser finds likeliest, if not far less likely than what was there; and the passes.

        At the deadline: the likeliest of those that were read by then.
        """
        if not held:
            return None, 0
        middles = [self.vocabulary.encode(t) for t in (old, *held)]
        scorer = Scorer(self.denoise.denoiser, self.vocabulary)
        readings = scorer.read(self.caches.get(task.ids), task.ids, middles, task.cancel, deadline=task.deadline)
        scores = [sum(logprobs) / len(logprobs) for logprobs in readings.logprobs]  # of what the cache had room for
        if len(scores) < 2:
            return None, readings.steps  # no time to compare
        own, *others = scores
        best = max(range(len(others)), key=lambda i: others[i])
        return (held[best] if others[best] >= own - WORSE else None), readings.steps

    def _doubts(self, task: Task, tokens: list[int]) -> tuple[list[Doubt], int]:
        """How unlikely each token is, given the window and the tokens before it, from one causal pass."""
        w = Writing(self.denoise.denoiser, self.vocabulary, self.caches.get(task.ids), task)
        known = w.known[w.committed :]
        start, n, rows = w.committed, len(known), len(known) + len(tokens)
        positions = list(range(start, start + rows))
        sees = np.arange(start + rows)[None, :] <= np.arange(start, start + rows)[:, None]
        prediction = w.forward([*known, *tokens], positions, positions, sees, n - 1)
        w.commit(len(w.known) - 1)
        doubts = []
        for row, token in enumerate(tokens):
            ids, logprobs = prediction.top_ids[row].tolist(), prediction.top_logprobs[row].tolist()
            rival, logprob = next((i, p) for i, p in zip(ids, logprobs, strict=True) if i not in (token, w.end))
            own = prediction.logprob(row, token)
            doubts.append(Doubt(-own, int(rival), logprob - own))
        return doubts, w.steps

    def _holds(self, before: Source, start: int, end: int, new: str) -> bool:
        """Whether a text is another one and leaves the file no worse."""
        if not new or "".join(new.split()) == "".join(before.text[start:end].split()):
            return False
        after = before.replace(start, end, new)
        return not after.broken or (before.broken and grammars.gained(before, after) <= 0)


def _trimmed(request: RewriteRequest) -> tuple[int, int]:
    """The selection without blanks at its ends."""
    size = len(request.text)
    if request.degree not in DEGREES:
        raise BadRequestError(f"unknown degree {request.degree!r}: choose one of {', '.join(DEGREES)}")
    if not 0 <= request.start <= request.end <= size:
        raise BadRequestError(
            f"the selection {request.start} to {request.end} is not inside the text's {size} characters"
        )
    selected = request.text[request.start : request.end]
    if not selected.strip():
        raise BadRequestError("the selection holds nothing to rewrite")
    start = request.start + len(selected) - len(selected.lstrip())
    return start, start + len(selected.strip())


def _most(doubts: list[float], share: float) -> set[int]:
    """The tokens doubted most, a share of all."""
    order = sorted(range(len(doubts)), key=lambda i: -doubts[i])
    return set(order[: max(math.ceil(share * len(doubts)), 1)])
