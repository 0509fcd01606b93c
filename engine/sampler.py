"""What all samplers share: the sequence being written, its cache, when to stop, and what an observer is told.

A sampler turns a window into the tokens of a middle. Two are offered behind one interface: `verified` (draft, then
verify causally: the greedy answer of K = 1, in fewer passes) and `denoise` (several steps over a block, revisable).
Samplers know token ids; they know nothing of text, syntax or editors.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from engine.alike import common_prefix
from engine.cancellation import CancelToken
from engine.denoiser import Denoiser
from engine.graph import TOP
from engine.kv_cache import Cache
from engine.memory.match import Match
from engine.memory.mixture import UNMIXED, Mixture, Opinion
from engine.memory.proposal import Proposal
from engine.prediction import Prediction
from engine.vocabulary import Vocabulary

PREFILL_CHUNK = 64  # tokens a pass: small enough that a newer request can cut in
Tokens = npt.NDArray[np.int64]
FUSED_TAIL = 16  # context tokens that ride along with the first step instead of taking a pass of their own


@dataclass(slots=True)
class Trace:
    """One forward pass as an observer sees it: the middle so far (None is a mask) and what became of it."""

    tokens: list[int | None]
    kind: str  # "draft", "verify", "unmask" or "renoise"
    changed: list[int] = field(default_factory=list)


Observer = Callable[[Trace], None]


class Opening(NamedTuple):
    """Draft tokens that the last pass over this cache has read behind the window, and what it predicts there.

    Row 0 of `prediction` stands for the last token of the window, row i for draft i.
    """

    drafts: list[int]
    prediction: Prediction


@dataclass(slots=True)
class Task:
    """What a sampler is asked for.

    `ids` is the window up to and including `<middle>`; `heal` the bytes that the first tokens must spell; `stop` says
    after each token whether the middle is long enough; `first` forces the first token that is not blank (an
    alternative); `least` is the number of tokens before which `<end>` is not chosen; `follow` are tokens that can only
    come behind the middle; `deadline` is a `time.monotonic()` instant. `recall` asks the workspace's memory about the
    token after those it is shown, to be mixed into the denoiser's distribution; `propose` may give draft tokens for
    what follows them. `opening` is a pass that was already made, which a sampler may begin with.
    """

    ids: list[int]
    max_tokens: int = 64
    heal: bytes = b""
    stop: Callable[[list[int]], bool] = lambda tokens: False
    first: int | None = None
    least: int = 0
    follow: Tokens = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    recall: Callable[[list[int]], Match] | None = None
    propose: Callable[[list[int]], Proposal] | None = None
    opening: Opening | None = None
    deadline: float | None = None
    cancel: CancelToken = field(default_factory=CancelToken)
    observe: Observer | None = None


class Choice(NamedTuple):
    """A token for one position; its log-probability, that of `<end>` and that of the text behind the middle there."""

    token: int
    logprob: float
    end_logprob: float
    follow_logprob: float


@dataclass(slots=True)
class Draft:
    """A middle: its tokens without `<end>`, their log-probabilities, and what it cost.

    `ended` tells whether the model itself said `<end>`; `end_logprobs[i]` is the log-probability of `<end>` in place of
    token i, and behind the last one when `ended`; `follow_logprobs[i]` likewise of the tokens in `Task.follow`;
    `rivals` are the best first tokens, for alternatives.
    """

    tokens: list[int]
    logprobs: list[float]
    steps: int
    ended: bool = False
    end_logprobs: list[float] = field(default_factory=list)
    follow_logprobs: list[float] = field(default_factory=list)
    rivals: list[int] = field(default_factory=list)
    prefill_ms: float = 0.0
    cached: int = 0

    @property
    def end_logprob(self) -> float:
        """Of the `<end>` that the model said; 0 when it said none."""
        return self.end_logprobs[-1] if self.ended else 0.0


class Sampler(Protocol):
    """Writes a middle."""

    def run(self, cache: Cache, task: Task) -> Draft:
        """Fill the middle of `task`, reusing what `cache` holds; raises `CancelledError`."""
        ...


def opinion(prediction: Prediction, row: int, match: Match, follow: Tokens, allowed: Tokens | None = None) -> Opinion:
    """What the denoiser thinks of a match's likeliest token, beside all tokens, or beside those `allowed`.

    Where the memory says what follows the middle, and the denoiser `<end>`, they say the same.
    """
    said = match.likeliest
    if allowed is not None:
        base, top = prediction.among(row, allowed)
        return Opinion(base - top, top - float(prediction.logits[row, said]))
    best, own = float(prediction.top_logprobs[row, 0]), prediction.logprob(row, said)
    if said == prediction.end or said in follow:
        own = ending(prediction, row, follow)
        best = max(best, own)
    return Opinion(-best, best - own)


def ending(prediction: Prediction, row: int, follow: Tokens) -> float:
    """The log-probability of `<end>` or of what can only come behind the middle."""
    logprob = float(prediction.end_logprobs[row])
    if not follow.size:
        return logprob
    return float(np.logaddexp(logprob, prediction.logprob_among(row, follow)))


class Writing:
    """One sequence under construction: the window, the middle so far, and how much of both the cache holds exactly."""

    def __init__(self, denoiser: Denoiser, vocabulary: Vocabulary, cache: Cache, task: Task) -> None:
        self.denoiser = denoiser
        self.vocabulary = vocabulary
        self.cache = cache
        self.task = task
        self.known = list(task.ids)
        self.heal = task.heal
        self.logprobs: list[float] = []
        self.end_logprobs: list[float] = []
        self.follow_logprobs: list[float] = []
        self.rivals: list[int] = []
        self.branch: int | None = None  # where alternatives part
        self.steps = 0
        started = time.perf_counter()
        # The last known token is never cached: its row gives the next prediction.
        self.cached = min(common_prefix(cache.tokens[0], task.ids), len(task.ids) - 1)
        self.commit(self.cached)
        self._prefill()
        self.prefill_ms = (time.perf_counter() - started) * 1e3

    @property
    def end(self) -> int:
        """The id of `<end>`."""
        return self.denoiser.config.reserved.end

    @property
    def middle(self) -> list[int]:
        """Tokens written so far."""
        return self.known[len(self.task.ids) :]

    @property
    def committed(self) -> int:
        """How many tokens the cache holds exactly."""
        return len(self.cache.tokens[0])

    @property
    def room(self) -> int:
        """Tokens that may still be written."""
        free = self.denoiser.capacity - len(self.known)
        return min(self.task.max_tokens - len(self.middle), free)

    def commit(self, count: int) -> None:
        """Declare the first `count` known tokens exactly cached."""
        self.cache.tokens[0] = self.known[:count]

    def _prefill(self) -> None:
        limit = len(self.known) - 1
        while limit - self.committed > FUSED_TAIL:
            self.task.cancel.check()
            start = self.committed
            stop = min(start + PREFILL_CHUNK, limit)
            # A pass that fails half-way leaves these slots undefined: forget them first.
            self.denoiser.causal(self.cache, self.known[start:stop], start, [0])
            self.commit(stop)

    def out_of_time(self) -> bool:
        """Whether to stop here; raises `CancelledError` when cancelled."""
        self.task.cancel.check()
        return self.task.deadline is not None and time.monotonic() >= self.task.deadline

    def forward(
        self,
        ids: list[int],
        positions: list[int] | Tokens,
        slots: list[int] | Tokens,
        sees: npt.NDArray[np.bool_],
        first: int = 0,
    ) -> Prediction:
        """One counted step over T rows; predictions for those from `first` on: the head is a fifth of a row's cost."""
        self.steps += 1
        row, at, slot = (np.asarray(x, dtype=np.int64)[None] for x in (ids, positions, slots))
        return self.denoiser.forward(self.cache, row, at, slot, sees[None], np.arange(first, len(ids)))

    def choose(self, prediction: Prediction, row: int) -> Choice:
        """The best next token at a row, within what healing, `first` and `least` allow."""
        mixture = self._mixture(prediction, row, self.known, self.heal)
        ranked = self._ranked(prediction, row, mixture, self.heal)
        choice = self._pick(prediction, row, mixture, ranked, len(self.middle) < self.task.least)
        # Alternatives part at the first token that says something: other spellings of white space are none, and what
        # healing asks for is none.
        if self.branch is None and (choice.token == self.end or self._says(choice.token)):
            self.branch = len(self.middle)
        if self.branch == len(self.middle):
            # Healed text that is not blank may go on in another token: `(` beside `("`.
            spelled = self.vocabulary.bytes
            same = self.heal if self.heal.strip() else None
            self.rivals = [t for t, _ in ranked if t == choice.token or self._says(t) or spelled[t] == same]
            if self.task.first is not None:
                first = self.task.first
                logprob = next((p for t, p in ranked if t == first), prediction.logprob(row, first))
                choice = choice._replace(token=first, logprob=logprob)
        if self.heal:
            self.heal = self.heal[len(self.vocabulary.bytes[choice.token]) :]
        return choice

    def _says(self, token: int) -> bool:
        """Whether a token is more than blanks and what healing has cut off."""
        return bool(self.vocabulary.bytes[token][len(self.heal) :].strip())

    def best(self, prediction: Prediction, row: int, block: Sequence[int | None], may_end: bool = True) -> Choice:
        """The likeliest token behind `block`, what the block holds left of a mask; `<end>` only where it may be."""
        left = None if None in block else [*self.known, *(t for t in block if t is not None)]
        mixture = self._mixture(prediction, row, left)
        barred = not may_end or len(self.middle) + len(block) < self.task.least
        return self._pick(prediction, row, mixture, self._ranked(prediction, row, mixture, b""), barred)

    def _mixture(self, prediction: Prediction, row: int, left: list[int] | None, heal: bytes = b"") -> Mixture:
        """The memory's part, where it has one: all that stands left of the position is known (window included)."""
        if self.task.recall is None or left is None:
            return UNMIXED
        match = self.task.recall(left)
        allowed = self.vocabulary.spelling(heal) if heal and match.chances else None
        if allowed is not None:
            match = match.among(allowed)
        return (
            Mixture.of(match, opinion(prediction, row, match, self.task.follow, allowed)) if match.chances else UNMIXED
        )

    def _ranked(self, prediction: Prediction, row: int, mixture: Mixture, heal: bytes) -> list[tuple[int, float]]:
        """The likeliest tokens that agree with `heal`, and their log-probabilities under the mixture, best first."""
        remembered = mixture.match.chances
        if not heal and not remembered:
            return list(zip(prediction.top_ids[row].tolist(), prediction.top_logprobs[row].tolist(), strict=True))
        if heal:
            allowed = self.vocabulary.spelling(heal)
            base, _ = prediction.among(row, allowed)
            ids = allowed[best_first(prediction.logits[row, allowed], TOP)].tolist()
        else:
            ids, base = prediction.top_ids[row].tolist(), float(prediction.base[row])
        if not remembered:
            return [(t, float(prediction.logits[row, t]) - base) for t in ids]
        scores = {t: mixture.logprob(float(prediction.logits[row, t]) - base, t) for t in [*ids, *remembered]}
        return sorted(scores.items(), key=lambda item: -item[1])

    def _pick(
        self, prediction: Prediction, row: int, mixture: Mixture, ranked: list[tuple[int, float]], barred: bool
    ) -> Choice:
        token, logprob = ranked[1 if barred and ranked[0][0] == self.end else 0]
        end_logprob = mixture.logprob(prediction.logprob(row, self.end), self.end)
        return Choice(token, logprob, end_logprob, self._follow_logprob(prediction, row, mixture))

    def _follow_logprob(self, prediction: Prediction, row: int, mixture: Mixture) -> float:
        if not self.task.follow.size:
            return -math.inf
        logprob = prediction.logprob_among(row, self.task.follow)
        return mixture.logprob(logprob, *self.task.follow.tolist()) if mixture.part else logprob

    def write(self, choice: Choice) -> bool:
        """Append a token; True when the middle is finished."""
        self.known.append(choice.token)
        self.logprobs.append(choice.logprob)
        self.end_logprobs.append(choice.end_logprob)
        self.follow_logprobs.append(choice.follow_logprob)
        return choice.token == self.end or self.task.stop(self.middle) or self.room <= 0

    def observe(self, kind: str, tokens: Sequence[int | None], changed: Sequence[int] = ()) -> None:
        """Tell the observer, if there is one."""
        if self.task.observe is not None:
            self.task.observe(Trace(list(tokens), kind, list(changed)))

    def result(self) -> Draft:
        """The middle as it stands."""
        tokens, logprobs = self.middle, list(self.logprobs)
        ended = bool(tokens) and tokens[-1] == self.end
        return Draft(
            tokens[:-1] if ended else tokens,
            logprobs[:-1] if ended else logprobs,
            self.steps,
            ended,
            self.end_logprobs,
            self.follow_logprobs,
            self.rivals,
            self.prefill_ms,
            self.cached,
        )


def best_first(scores: npt.NDArray[np.float32], most: int) -> Tokens:
    """Where the `most` highest scores are, highest first, and of equals the one that comes first."""
    at = np.arange(len(scores))
    if len(scores) > most:
        at = np.flatnonzero(scores >= np.partition(scores, -most)[-most])
    return at[np.argsort(-scores[at], kind="stable")][:most]
