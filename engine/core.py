"""The engine: one model on one device, answering completions and repairs in this process."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import grammars
from engine.caches import CachePool
from engine.calibration import draft_policy
from engine.cancellation import CancelToken
from engine.checkpoint import Checkpoint
from engine.completion import Completer
from engine.denoise import DenoiseSampler
from engine.denoiser import Denoiser
from engine.device import choose
from engine.errors import BadRequestError
from engine.memory import Memory, TokenStore
from engine.memory.store import cache_file
from engine.repair import Repairer
from engine.rewrite import Rewriter
from engine.sampler import Observer, Sampler, Task, Writing
from engine.turns import Turns
from engine.types import (
    CompleteAnswer,
    CompleteRequest,
    Completion,
    Repair,
    RepairAnswer,
    RepairRequest,
    RewriteAnswer,
    RewriteRequest,
)
from engine.verified import VerifiedSampler
from engine.verify import Parser
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

MAX_CHARACTERS = 10_000_000
LANES = 4  # requests that share a pass, where they do
SAMPLERS = ("verified", "denoise")


@dataclass(slots=True)
class Counters:
    """What `stats` reports."""

    completions: int = 0
    repairs: int = 0
    steps: int = 0
    tokens: int = 0
    started: float = field(default_factory=time.time)


class Engine:
    """Loads a model and answers. Callers on several threads take turns, or share passes where there are `lanes`."""

    def __init__(
        self,
        device: str = "auto",
        memory: bool = True,
        model: str | Path | None = None,
        sampler: str = "verified",
        lanes: int | None = None,
        window: int | None = None,
    ) -> None:
        """`lanes` is how many requests may share a forward pass; by default several on a GPU, where rows are cheap.

        `window` is how many tokens one has, instead of the model's own number.
        """
        if sampler not in SAMPLERS:
            raise BadRequestError(f"unknown sampler {sampler!r}: choose one of {', '.join(SAMPLERS)}")
        checkpoint = Checkpoint(Path(model) if model is not None else None)
        if window is not None:
            checkpoint.config = checkpoint.config.with_window(window)
        self.vocabulary = Vocabulary(checkpoint.tokenizer_file)
        self._chosen = choose(device)
        if lanes is None:
            lanes = LANES if self._chosen.name == "cuda" else 1
        self.denoiser = Denoiser(checkpoint, self._chosen, lanes=lanes)
        self.turns = Turns(self.denoiser.forward_all, lanes)
        if lanes > 1:
            self.denoiser.share = self.turns.forward
        self.model = checkpoint.name
        self.counters = Counters()
        self.caches = CachePool(self.denoiser, limit=2 + lanes)
        store = TokenStore(cache_file(), checkpoint.digest)
        self.memory = Memory(self.vocabulary, store) if memory else None
        if self.memory is not None:
            self.memory.busy = lambda: self.turns.busy
        parser = Parser()
        denoise = DenoiseSampler(self.denoiser, self.vocabulary)
        chosen: Sampler = denoise
        if sampler == "verified":
            chosen = VerifiedSampler(self.denoiser, self.vocabulary, draft_policy(self.denoiser))
        reserved = checkpoint.config.reserved
        windows = WindowBuilder(self.vocabulary, reserved, Budget(total=checkpoint.config.context))
        near = WindowBuilder(self.vocabulary, reserved, Budget(total=256, suffix=64))
        self.completer = Completer(self.vocabulary, windows, self.caches, chosen, denoise, parser, self.memory)
        self.repairer = Repairer(self.vocabulary, near, self.caches, self.denoiser, parser)
        self.rewriter = Rewriter(self.vocabulary, windows, self.caches, denoise, self.completer, parser)
        self.parser = parser
        _give_back_memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release caches and parses. The engine cannot be used afterwards."""
        self.caches.clear()
        if self.memory is not None:
            self.memory.close()
        self.parser.close()

    def complete(
        self,
        prefix: str,
        suffix: str,
        language: str = "python",
        path: str | None = None,
        max_tokens: int = 64,
        alternatives: int = 1,
        seed: int = 0,
    ) -> list[Completion]:
        """Suggestions for what goes between `prefix` and `suffix`, best first; [] when nothing held up.

        Raises `BadRequestError` for an unknown language or arguments that make no sense.
        """
        request = CompleteRequest(prefix, suffix, language, path, max_tokens, alternatives, seed)
        return self.run_complete(request).items

    def repair(self, text: str, language: str = "python", seed: int = 0) -> Repair:
        """The smallest verified edits that make `text` parse; no edits when it does, or when nothing was verified."""
        return self.run_repair(RepairRequest(text, language, seed=seed)).repair

    def remember(self, path: str, text: str, group: int = 0, store: bool = True) -> None:
        """Add a file of the workspace to the memory, or replace its older text.

        `group` and `store` as in `Memory.remember`: give `store=False` for text that is not on the disk.
        """
        if self.memory is not None:
            self.memory.remember(path, text, group, store)

    def forget(self, path: str, erase: bool = True) -> None:
        """Drop a file from the memory; `erase` as in `Memory.forget`."""
        if self.memory is not None:
            self.memory.forget(path, erase)

    def run_complete(
        self, request: CompleteRequest, cancel: CancelToken | None = None, observe: Observer | None = None
    ) -> CompleteAnswer:
        """Answer with costs; raises `CancelledError`, `BadRequestError`. `observe` is called after each step."""
        self._check(request, request.prefix, request.suffix)
        if not 1 <= request.alternatives <= 8:
            raise BadRequestError(f"alternatives must be 1 to 8, not {request.alternatives}")
        if request.max_tokens < 1:
            raise BadRequestError(f"max_tokens must be at least 1, not {request.max_tokens}")
        with self._request():
            answer = self.completer.run(request, cancel or CancelToken(), observe)
            self.counters.completions += 1
            self.counters.tokens += answer.tokens
            self.counters.steps += answer.steps
        return answer

    def run_repair(
        self, request: RepairRequest, cancel: CancelToken | None = None, observe: Observer | None = None
    ) -> RepairAnswer:
        """Answer with costs; raises `CancelledError`, `BadRequestError`."""
        self._check(request, request.text)
        with self._request():
            answer = self.repairer.run(request, cancel or CancelToken(), observe)
            self.counters.repairs += 1
            self.counters.steps += answer.steps
        return answer

    def run_rewrite(
        self, request: RewriteRequest, cancel: CancelToken | None = None, observe: Observer | None = None
    ) -> RewriteAnswer:
        """Answer with costs; raises `CancelledError`, `BadRequestError`."""
        self._check(request, request.text)
        with self._request():
            answer = self.rewriter.run(request, cancel or CancelToken(), observe)
            self.counters.steps += answer.steps
        return answer

    def warm(self, request: CompleteRequest, cancel: CancelToken | None = None) -> None:
        """Parse and prefill what a completion at this cursor will need; stopped half-way, it keeps what it has done."""
        self._check(request, request.prefix, request.suffix)
        with self._request():
            _ = self.parser.parse(request.language, request.prefix + request.suffix).tree
            window = self.completer.windows.build(request.prefix, request.suffix)
            task = Task(window.ids, cancel=cancel or CancelToken())
            Writing(self.denoiser, self.vocabulary, self.caches.get(window.ids), task)

    @property
    def device(self) -> str:
        """What the model runs on now; a GPU may be lost under way."""
        return self.denoiser.device.name

    @property
    def trouble(self) -> str:
        """Why the processor does the work of the GPU that was chosen; empty while that one does."""
        return self.denoiser.device.reason if self.denoiser.device is not self._chosen else ""

    @property
    def lanes(self) -> int:
        """How many requests may share a forward pass."""
        return self.denoiser.lanes

    def stats(self) -> dict[str, object]:
        """Counters since the start: requests, steps, tokens, passes that were shared, cache and memory."""
        with self.turns.alone():
            return self._stats()

    def _stats(self) -> dict[str, object]:
        c = self.counters
        numbers: dict[str, object] = {
            "model": self.model,
            "device": self.device,
            "completions": c.completions,
            "repairs": c.repairs,
            "steps": c.steps,
            "tokens": c.tokens,
            "passes": self.denoiser.passes,
            "busy_ms": round(self.turns.busy_seconds * 1e3, 1),
            "lanes": self.denoiser.lanes,
            "shared_passes": self.turns.shared,
            "requests_a_shared_pass": round(self.turns.served / max(self.turns.shared, 1), 2),
            "uptime_s": round(time.time() - c.started, 1),
        }
        numbers |= self.caches.stats()
        return numbers | (self.memory.stats() if self.memory else {})

    def _check(self, request: CompleteRequest | RepairRequest | RewriteRequest, *texts: str) -> None:
        try:
            grammars.get(request.language)
        except grammars.UnknownLanguageError as unknown:
            raise BadRequestError(str(unknown)) from None
        if request.seed < 0:
            raise BadRequestError(f"seed must be 0 or more, not {request.seed}")
        size = sum(map(len, texts))
        if size > MAX_CHARACTERS:
            raise BadRequestError(f"the file has {size:,} characters; Remask reads at most {MAX_CHARACTERS:,}")

    @contextmanager
    def _request(self) -> Iterator[None]:
        with self.turns.request():
            try:
                yield
            finally:
                self.caches.release()


def load(
    device: str = "auto",
    memory: bool = True,
    model: str | Path | None = None,
    sampler: str = "verified",
    window: int | None = None,
) -> Engine:
    """Load the packaged model, or the one in the folder `model`, and wait until it can answer.

    Raises `ModelError` when the model is missing or damaged, `BadRequestError` for an unknown device or sampler.
    """
    return Engine(device, memory, model, sampler, window=window)


def _give_back_memory() -> None:
    """Building the graph leaves some 200 MB of freed heap; glibc keeps it unless asked."""
    gc.collect()
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another libc: nothing to trim
            return
