"""The `verified` sampler: draft from full noise, verify causally, in one and the same pass.

After TiDAR (arXiv 2511.08923) and speculative decoding (arXiv 2211.17192). A pass holds three kinds of rows: known
tokens that are not yet cached, the drafts for what follows them (both causal, so that they are verified and committed
by this very pass), and masks behind the drafts, which draft the next block in case all of them hold. Greedy output is
the output of K = 1 by construction; drafts only change how many passes it takes.
"""

from __future__ import annotations

import math

import numpy as np

from engine.denoiser import Cache, Denoiser, Prediction
from engine.sampler import Draft, Task, Writing
from engine.vocabulary import Vocabulary


class DraftPolicy:
    """Decides whether rows of noise pay on this device.

    `row_cost` is what one more row costs as a share of a pass of one row (about 0.2 on two processor cores, near 0 on a
    GPU). Masks are drafted while the share of them that ends up accepted, a running average, exceeds that.
    """

    def __init__(self, masks: int, row_cost: float, probe_every: int = 16) -> None:
        self.masks = masks
        self.row_cost = row_cost
        self.probe_every = probe_every
        self.gain = row_cost
        self._skipped = 0

    def rows(self) -> int:
        """How many masks to add to the coming pass."""
        if self.gain >= self.row_cost:
            return self.masks
        self._skipped += 1
        if self._skipped >= self.probe_every:
            self._skipped = 0
            return self.masks
        return 0

    def learn(self, masked: int, accepted: int) -> None:
        """Record that `masked` rows of noise led to `accepted` tokens."""
        if masked:
            self.gain += 0.1 * (accepted / masked - self.gain)


class VerifiedSampler:
    """Greedy decoding of K = 1, several tokens a pass."""

    def __init__(
        self, denoiser: Denoiser, vocabulary: Vocabulary, policy: DraftPolicy | None = None, confidence: float = 0.5
    ) -> None:
        self.denoiser = denoiser
        self.vocabulary = vocabulary
        gpu = denoiser.device.name == "cuda"
        self.policy = policy or DraftPolicy(masks=15 if gpu else 3, row_cost=0.01 if gpu else 0.15)
        self.threshold = math.log(confidence)

    def run(self, cache: Cache, task: Task) -> Draft:
        """Fill the middle; see `Task`."""
        w = Writing(self.denoiser, self.vocabulary, cache, task)
        drafts: list[int] = []
        noise_behind_drafts = 0
        while not w.out_of_time():
            if not drafts and task.propose is not None and not w.heal:
                drafts, noise_behind_drafts = task.propose(w.known)[: max(w.room - 1, 0)], 0
            masks = min(self.policy.rows(), max(w.room - len(drafts) - 1, 0)) if not w.heal else 0
            known = w.known[w.committed :]
            prediction = self._forward(w, known, drafts, masks)
            finished, accepted = self._accept(w, prediction, drafts)
            self.policy.learn(noise_behind_drafts, accepted)
            w.commit(len(w.known) - 1)
            w.observe("verify", w.middle, range(len(w.middle) - accepted - 1, len(w.middle)))
            if finished:
                break
            whole = accepted == len(drafts)
            drafts = self._sure(prediction, 1 + len(drafts), masks) if whole else []
            noise_behind_drafts = masks if whole else 0
            if not whole:
                self.policy.learn(masks, 0)
            if drafts:
                w.observe("draft", [*w.middle, *drafts])
        return w.result()

    def _forward(self, w: Writing, known: list[int], drafts: list[int], masks: int) -> Prediction:
        """Predictions behind the last known token, behind each draft and at each mask."""
        causal = known + drafts
        start, n = w.committed, len(causal)
        at = np.arange(start, start + n + masks)
        sees = np.arange(start + n + masks)[None, :] <= at[:, None]
        sees[n:, start + n :] = True  # noise sees noise, in both directions
        ids = causal + [self.denoiser.config.reserved.mask] * masks
        return w.forward(ids, at.tolist(), at.tolist(), sees, len(known) - 1)

    def _accept(self, w: Writing, prediction: Prediction, drafts: list[int]) -> tuple[bool, int]:
        """Write the tokens this pass is sure of: agreed drafts and one more. (finished, agreed drafts)."""
        for agreed in range(len(drafts) + 1):
            choice = w.choose(prediction, agreed)
            if w.write(choice):
                return True, agreed
            if agreed == len(drafts) or choice.token != drafts[agreed]:
                return False, agreed
        raise AssertionError("unreachable: the last iteration returns")

    def _sure(self, prediction: Prediction, first: int, masks: int) -> list[int]:
        """Drafts from the rows of noise, up to the first that is unsure."""
        drafts: list[int] = []
        for row in range(first, first + masks):
            if prediction.top_logprobs[row, 0] < self.threshold:
                break
            drafts.append(int(prediction.top_ids[row, 0]))
        return drafts
