"""The `denoise` sampler: unmask a block over several passes, and re-noise what turned out wrong.

Block diffusion (arXiv 2503.09573) with the autoregressive shift: a block's input is its last known token and masks, all
of which see each other and the context; output i predicts token i+1. Two unmasking rules: `confidence`, every position
whose probability passes a threshold (Fast-dLLM, arXiv 2505.22618), and `entropy`, the largest set of positions whose
summed entropy, less the largest, stays under a bound (EB sampler, arXiv 2505.24857). Suspects are re-masked, never
overwritten (T2M, arXiv 2604.18738).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

import numpy as np

from engine.denoiser import Denoiser
from engine.kv_cache import Cache
from engine.prediction import Prediction
from engine.sampler import Choice, Draft, Task, Writing
from engine.vocabulary import Vocabulary

Rule = Literal["confidence", "entropy"]


class DenoiseSampler:
    """Several denoising steps a block of `block` tokens; `bound` is a probability or nats, as `rule` says."""

    def __init__(
        self,
        denoiser: Denoiser,
        vocabulary: Vocabulary,
        block: int = 8,
        rule: Rule = "confidence",
        bound: float | None = None,
    ) -> None:
        self.denoiser = denoiser
        self.vocabulary = vocabulary
        self.block = block
        self.rule: Rule = rule
        self.bound = bound if bound is not None else (0.8 if rule == "confidence" else 0.4)

    def run(self, cache: Cache, task: Task) -> Draft:
        """Fill the middle block by block; see `Task`."""
        w = Writing(self.denoiser, self.vocabulary, cache, task)
        finished = False
        while not finished and not w.out_of_time():
            size = min(self.block, w.room) if not w.heal else 1
            for choice in self._unmask(w, [None] * size):
                if choice is None:  # out of time: what is known up to here still counts
                    break
                if finished := w.write(choice):
                    break
        return w.result()

    def renoise(self, cache: Cache, task: Task, tokens: list[int], suspects: Collection[int]) -> Draft:
        """Denoise the `suspects` (indices into `tokens`) again, seeing the tokens on both sides; keep all others."""
        w = Writing(self.denoiser, self.vocabulary, cache, task)
        w.heal = b""
        draft: list[int | None] = [None if i in suspects else t for i, t in enumerate(tokens)]
        w.observe("renoise", draft, sorted(suspects))
        written = 0
        while written < len(draft) and not w.out_of_time():
            chunk = draft[written : written + self.block]
            filled = self._unmask(w, chunk, may_end=False) if None in chunk else [as_choice(t) for t in chunk]
            if None in filled:
                break
            for choice in filled:
                assert choice is not None
                w.known.append(choice.token)
                w.logprobs.append(choice.logprob)
            written += len(chunk)
        return w.result()

    def _unmask(self, w: Writing, block: list[int | None], may_end: bool = True) -> list[Choice | None]:
        """Fill a block's masks (None). Known tokens that are not cached yet are committed by the first pass."""
        block, chosen = list(block), [as_choice(t) for t in block]
        written = w.middle
        first = True
        while None in block and not w.out_of_time():
            fresh = w.known[w.committed :] if first else []
            prediction = self._forward(w, fresh, block)
            if first:
                w.commit(len(w.known))
            # The last rows are the block's: its own copy of the last known token predicts block[0]. On the first pass
            # the causal row of that token comes before them, and is the better judge of it.
            rows = list(range(int(first), int(first) + len(block)))
            choices = self._choices(w, prediction, rows, block, may_end)
            for i in self._sure(prediction, rows, choices):
                block[i], chosen[i] = choices[i].token, choices[i]
            if w.end in block:
                cut = block.index(w.end)
                block[cut + 1 :] = [w.end] * (len(block) - cut - 1)
                chosen[cut + 1 :] = [as_choice(w.end)] * (len(block) - cut - 1)
            first = False
            w.observe("unmask", [*written, *block])
        return chosen

    def _forward(self, w: Writing, known: list[int], block: list[int | None]) -> Prediction:
        """Causal rows for `known`, then the block: a copy of the last known token and all but the block's last."""
        mask = self.denoiser.config.reserved.mask
        start, n, k = w.committed, len(known), len(block)
        last = len(w.known) - 1
        ids = [*known, w.known[-1], *(mask if t is None else t for t in block[:-1])]
        positions = [*range(start, start + n), *range(last, last + k)]
        slots = [*range(start, start + n), *range(last + 1, last + 1 + k)]
        sees = np.zeros((n + k, last + 1 + k), dtype=bool)
        for i in range(n):
            sees[i, : start + i + 1] = True
        sees[n:, :last] = True
        sees[n:, last + 1 :] = True
        return w.forward(ids, positions, slots, sees, max(n - 1, 0))

    def _choices(
        self,
        w: Writing,
        prediction: Prediction,
        rows: list[int],
        block: list[int | None],
        may_end: bool,
    ) -> dict[int, Choice]:
        """The best token for each masked position."""
        choices = {}
        for i, token in enumerate(block):
            if token is not None:
                continue
            row = rows[i] if i else 0
            if i == 0 and may_end and (w.heal or w.branch in (None, len(w.middle))):
                choices[i] = w.choose(prediction, row)
            else:
                choices[i] = w.best(prediction, row, block[:i], may_end)
        return choices

    def _sure(self, prediction: Prediction, rows: list[int], choices: dict[int, Choice]) -> list[int]:
        """Positions to unmask now: at least one."""
        best = max(choices, key=lambda i: choices[i].logprob)
        if self.rule == "confidence":
            return [i for i in choices if i == best or choices[i].logprob >= np.log(self.bound)]
        order = sorted(choices, key=lambda i: float(prediction.entropy[rows[i]]))
        chosen, total = [order[0]], 0.0
        for i in order[1:]:
            total += float(prediction.entropy[rows[chosen[-1]]])
            if total > self.bound:
                break
            chosen.append(i)
        return chosen


def as_choice(token: int | None) -> Choice | None:
    """A token that was there before; None for a mask."""
    return None if token is None else Choice(token, 0.0, -math.inf, -math.inf)
