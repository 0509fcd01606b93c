"""The `verified` sampler: draft from full noise, verify causally, in one and the same pass.

After TiDAR (arXiv 2511.08923) and speculative decoding (arXiv 2211.17192). A pass holds three kinds of rows: known
tokens that are not yet cached, the drafts for what follows them (both causal, so that they are verified and committed
by this very pass), and groups of masks. Each group stands behind a place where the drafts may turn out wrong, and
drafts what follows in case they do, so that the next pass has drafts whatever this one accepts. Greedy output is the
output of K = 1 by construction; drafts only change how many passes it takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.denoiser import Denoiser
from engine.kv_cache import Cache
from engine.memory.proposal import Proposal
from engine.prediction import Prediction
from engine.sampler import Draft, Task, Writing
from engine.vocabulary import Vocabulary


class DraftPolicy:
    """Decides whether rows of noise pay on this device, and how many.

    `row_cost` is what one more row costs as a share of a pass of one row (about 0.1 on two processor cores, near 0 on a
    GPU). Masks are drafted while the share of them that ends up accepted, a running average, exceeds that. `branches`
    is the number of groups of masks in a pass; with one group, none stands behind proposed tokens.
    """

    def __init__(self, masks: int, row_cost: float, branches: int = 1, probe_every: int = 16) -> None:
        self.masks = masks
        self.branches = branches
        self.row_cost = row_cost
        self.probe_every = probe_every
        self.gain = row_cost
        self._skipped = 0

    def rows(self) -> int:
        """How many masks to add to the coming pass, in each group."""
        if self.gain >= self.row_cost:
            return self.masks
        self._skipped += 1
        if self._skipped >= self.probe_every:
            self._skipped = 0
            return self.masks
        return 0

    def worth(self, chances: Sequence[float]) -> int:
        """How many drafts to verify in one pass, by the chance of each if those before it hold.

        The number that promises the most tokens for the time: a pass gives a token and those drafts that hold, and each
        draft adds its row's cost whether it holds or not.
        """
        reach, tokens, best, most = 1.0, 1.0, 1.0, 0
        for n, chance in enumerate(chances, 1):
            reach *= chance
            tokens += reach
            if (rate := tokens / (1.0 + n * self.row_cost)) > best:
                best, most = rate, n
        return most

    def learn(self, masked: int, accepted: int) -> None:
        """Record that `masked` rows of noise led to `accepted` tokens."""
        if masked:
            self.gain += 0.1 * (accepted / masked - self.gain)


@dataclass(slots=True)
class Drafts:
    """Tokens to verify, the chance of each, and how many rows of noise they cost (0 when they were proposed)."""

    tokens: list[int] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    noise: int = 0

    def places(self, most: int) -> list[int]:
        """The likeliest numbers of drafts to be accepted, at most `most` of them, in ascending order."""
        reach, chances = 1.0, []
        for chance in [*self.chances, 0.0]:
            chances.append(reach * (1.0 - chance))
            reach *= chance
        return sorted(sorted(range(len(chances)), key=lambda n: -chances[n])[:most])


class VerifiedSampler:
    """Greedy decoding of K = 1, several tokens a pass. A mask's guess is drafted when it is at least `confidence`."""

    def __init__(
        self, denoiser: Denoiser, vocabulary: Vocabulary, policy: DraftPolicy | None = None, confidence: float = 0.3
    ) -> None:
        self.denoiser = denoiser
        self.vocabulary = vocabulary
        self.policy = policy or DraftPolicy(3, 0.1)
        self.threshold = math.log(confidence)

    def run(self, cache: Cache, task: Task) -> Draft:
        """Fill the middle; see `Task`."""
        w = Writing(self.denoiser, self.vocabulary, cache, task)
        drafts = Drafts()
        if task.opening is not None:
            finished, _ = self._accept(w, task.opening.prediction, task.opening.drafts)
            w.commit(len(w.known) - 1)
            w.observe("verify", w.middle, range(len(w.middle)))
            if finished:
                return w.result()
        while not w.out_of_time():
            # What was written elsewhere holds more often than what noise guesses, and costs no rows of its own.
            if task.propose is not None and (proposed := self._proposed(w, task.propose(w.known))).tokens:
                drafts = proposed
            known = w.known[w.committed :]
            masks, places = self._noise(w, known, drafts)
            prediction = self._forward(w, known, drafts.tokens, masks, places)
            finished, accepted = self._accept(w, prediction, drafts.tokens)
            self.policy.learn(drafts.noise, accepted)
            w.commit(len(w.known) - 1)
            w.observe("verify", w.middle, range(len(w.middle) - accepted - 1, len(w.middle)))
            if finished:
                break
            noise = masks * len(places)
            first = 1 + len(drafts.tokens)
            if accepted in places:
                row = first + masks * places.index(accepted)
                drafts = self._sure(prediction, range(row, row + masks), noise)
            else:
                drafts = Drafts()
                self.policy.learn(noise, 0)
            if drafts.tokens:
                w.observe("draft", [*w.middle, *drafts.tokens])
        return w.result()

    def _proposed(self, w: Writing, proposal: Proposal) -> Drafts:
        """As much of a proposal as there is room for and is worth its rows."""
        proposal = proposal.cut(max(w.room - 1, 0))
        worth = proposal.cut(self.policy.worth(proposal.chances))
        return Drafts(worth.tokens, worth.chances)

    def _noise(self, w: Writing, known: list[int], drafts: Drafts) -> tuple[int, list[int]]:
        """How many masks a group has, and behind how many accepted drafts each group stands."""
        if w.heal or (self.policy.branches == 1 and drafts.tokens and not drafts.noise):
            return 0, []
        free = self.denoiser.capacity - w.committed - len(known) - len(drafts.tokens)
        places = drafts.places(self.policy.branches)
        masks = min(self.policy.rows(), max(w.room - len(drafts.tokens) - 1, 0), free // len(places))
        return masks, places if masks else []

    def _forward(self, w: Writing, known: list[int], drafts: list[int], masks: int, places: list[int]) -> Prediction:
        """Predictions behind the last known token, behind each draft, and at each mask of each group."""
        start, n = w.committed, len(known) + len(drafts)
        total = n + masks * len(places)
        ids = known + drafts + [self.denoiser.config.reserved.mask] * (total - n)
        every = np.arange(start + total)
        slots = positions = every[start:]
        sees = every <= slots[:, None]
        if places:
            positions = slots.copy()
        for group, place in enumerate(places):
            rows = slice(n + masks * group, n + masks * (group + 1))
            after = len(known) + place
            positions[rows] = np.arange(start + after, start + after + masks)
            sees[rows, start + after :] = False
            sees[rows, start + rows.start : start + rows.stop] = True  # noise sees noise, in both directions
        return w.forward(ids, positions, slots, sees, len(known) - 1)

    def _accept(self, w: Writing, prediction: Prediction, drafts: list[int]) -> tuple[bool, int]:
        """Write the tokens this pass is sure of: agreed drafts and one more. (finished, agreed drafts)."""
        for agreed in range(len(drafts) + 1):
            choice = w.choose(prediction, agreed)
            if w.write(choice):
                return True, agreed
            if agreed == len(drafts) or choice.token != drafts[agreed]:
                return False, agreed
        raise AssertionError("unreachable: the last iteration returns")

    def _sure(self, prediction: Prediction, rows: range, noise: int) -> Drafts:
        """Drafts from the rows of noise, up to the first that is unsure."""
        drafts = Drafts(noise=noise)
        for row in rows:
            chance = float(prediction.top_logprobs[row, 0])
            if chance < self.threshold:
                break
            drafts.tokens.append(int(prediction.top_ids[row, 0]))
            drafts.chances.append(math.exp(chance))
        return drafts
