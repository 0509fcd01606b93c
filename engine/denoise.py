"""The `denoise` sampler: unmask a block over several passes, and re-noise what turned out wrong.

Block diffusion (arXiv 2503.09573) with the autoregressive shift: a block's input is its last known token and masks, all
of which see each other and the context; output i predicts token i+1. Two unmasking rules: `confidence`, every position
whose probability passes a threshold (Fast-dLLM, arXiv 2505.22618), and `entropy`, the largest set of positions whose
summed entropy, less the largest, stays under a bound (EB sampler, arXiv 2505.24857). Suspects are re-masked, never
overwritten (T2M, arXiv 2604.18738).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np

from engine.denoiser import Cache, Denoiser, Prediction
from engine.sampler import Draft, Task, Writing
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
            tokens, logprobs = self._unmask(w, [None] * size)
            for token, logprob in zip(tokens, logprobs, strict=True):
                if token is None:  # out of time: what is known up to here still counts
                    break
                if finished := w.write(token, logprob):
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
            if None not in chunk:
                for token in chunk:
                    assert token is not None
                    w.known.append(token)
                    w.logprobs.append(0.0)
            else:
                filled, logprobs = self._unmask(w, chunk, allow_end=False)
                if None in filled:
                    break
                for token, logprob in zip(filled, logprobs, strict=True):
                    assert token is not None
                    w.known.append(token)
                    w.logprobs.append(logprob)
            written += len(chunk)
        return w.result()

    def _unmask(
        self, w: Writing, block: list[int | None], allow_end: bool = True
    ) -> tuple[list[int | None], list[float]]:
        """Fill a block's masks (None). Known tokens that are not cached yet are committed by the first pass."""
        block, logprobs = list(block), [0.0] * len(block)
        written = w.middle
        first = True
        while None in block and not w.out_of_time():
            known = w.known[w.committed :] if first else []
            prediction = self._forward(w, known, block)
            if first:
                w.commit(len(w.known))
            # Row len(known) is the block's own copy of the last known token; it predicts block[0].
            rows = [len(known) + i for i in range(len(block))]
            choices = self._choices(w, prediction, rows, block, len(known) - 1 if first else None, allow_end)
            for i in self._sure(prediction, rows, choices):
                block[i], logprobs[i] = choices[i]
            if w.end in block:
                cut = block.index(w.end)
                block[cut + 1 :] = [w.end] * (len(block) - cut - 1)
            first = False
            w.observe("unmask", [*written, *block])
        return block, logprobs

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
        return w.forward(ids, positions, slots, sees)

    def _choices(
        self,
        w: Writing,
        prediction: Prediction,
        rows: list[int],
        block: list[int | None],
        causal_row: int | None,
        allow_end: bool,
    ) -> dict[int, tuple[int, float]]:
        """The best token and its log-probability for each masked position."""
        choices = {}
        for i, token in enumerate(block):
            if token is not None:
                continue
            row = rows[i]
            if i == 0 and causal_row is not None:
                row = causal_row  # the autoregressive row is the better judge of the first token
            if i == 0 and allow_end and not w.middle:
                choices[i] = w.choose(prediction, row)
                continue
            top = prediction.top_ids[row]
            pick = 0 if allow_end or int(top[0]) != w.end else 1
            choices[i] = int(top[pick]), float(prediction.top_logprobs[row, pick])
        return choices

    def _sure(self, prediction: Prediction, rows: list[int], choices: dict[int, tuple[int, float]]) -> list[int]:
        """Positions to unmask now: at least one."""
        best = max(choices, key=lambda i: choices[i][1])
        if self.rule == "confidence":
            return [i for i in choices if i == best or choices[i][1] >= np.log(self.bound)]
        order = sorted(choices, key=lambda i: float(prediction.entropy[rows[i]]))
        chosen, total = [order[0]], 0.0
        for i in order[1:]:
            total += float(prediction.entropy[rows[chosen[-1]]])
            if total > self.bound:
                break
            chosen.append(i)
        return chosen
