"""Several middles behind one window, written side by side: one forward pass a step for all of them.

The window is prefilled once. Each middle, a branch, has cache slots and rows of the attention mask of its own, so that
it sees the window and itself alone, and is what it would be without the others. Two ways of writing share that layout:

`write` is causal. A damaged text is the best draft of its own repair, so tokens of it are proposed for what follows
and verified (Inference with Reference, arXiv 2304.04487). Samples beside the greedy one are drawn by Gumbel noise that
depends on the seed, the branch and the position only, not on how many tokens a pass happened to verify.

`renoise` sends tokens of branches back to noise and unmasks them in blocks, the surest first, seeing what is kept on
both sides (re-masking, T2M, arXiv 2604.18738).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from engine.denoiser import Denoiser
from engine.kv_cache import Cache
from engine.prediction import Prediction
from engine.sampler import Task, Writing
from engine.vocabulary import Vocabulary

PROPOSED = 6  # tokens of the damaged text that are verified in one pass, for each branch
AHEAD = 5  # tokens of it between which the place of one that was chosen is looked for
BLOCK = 8  # tokens that are unmasked together
SURE = math.log(0.8)  # of a token that is unmasked although another one is surer


@dataclass(slots=True)
class Branch:
    """One middle.

    `begin` are its given tokens, `copy` those of the damaged text behind them; `heat` is the temperature (0: always the
    likeliest token) and `sample` the number of the draw; `stop` says of the tokens behind `begin` whether they are
    enough, `most` how many there may be. `done` tells that it was finished, not cut off.
    """

    begin: list[int]
    copy: list[int]
    heat: float = 0.0
    sample: int = 0
    most: int = 64
    stop: Callable[[list[int]], bool] = lambda written: False
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    done: bool = False
    slots: list[int] = field(default_factory=list)  # where the first tokens are cached
    at: int = 0  # what of `copy` was passed

    def __post_init__(self) -> None:
        self.tokens = list(self.begin)

    @property
    def written(self) -> list[int]:
        """The tokens behind `begin`."""
        return self.tokens[len(self.begin) :]

    @property
    def pending(self) -> list[int]:
        """Tokens that are not cached yet."""
        return self.tokens[len(self.slots) :]

    def again(self, count: int) -> Branch:
        """Another branch that shares the first `count` tokens, and their slots as far as those are cached."""
        other = Branch(self.begin, self.copy, self.heat, self.sample, self.most, self.stop)
        other.tokens, other.slots = self.tokens[:count], self.slots[:count]
        return other

    @property
    def goes_on(self) -> bool:
        """Whether there is more to write."""
        return not self.done and len(self.written) < self.most

    def follow(self, token: int) -> None:
        """Find in the damaged text, near the last place, what comes behind a token that was just chosen."""
        near = range(max(self.at - AHEAD, 0), min(self.at + AHEAD, len(self.copy)))
        found = [i for i in near if self.copy[i] == token]
        if found:
            self.at = min(found, key=lambda i: (abs(i - self.at), -i)) + 1


@dataclass(slots=True)
class Part:
    """A branch's rows in one pass and their slots: `ids` seen causally, the last `proposed` unverified, then a block.

    `rows` are set by the pass: where the prediction speaks of what follows the last known token, and each proposed
    one; or of each token of the block.
    """

    branch: Branch
    ids: list[int]
    slots: list[int]
    proposed: int = 0
    block: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


class Batch:
    """Branches behind the window of `task`; raises `CancelledError`, stops at the deadline. One fault's worth."""

    def __init__(self, denoiser: Denoiser, vocabulary: Vocabulary, cache: Cache, task: Task, seed: int = 0) -> None:
        self.denoiser = denoiser
        self.seed = seed
        self.w = Writing(denoiser, vocabulary, cache, task)
        self.base = len(task.ids)
        self._free = list(range(self.base, denoiser.capacity))
        self._mask = denoiser.config.reserved.mask

    @property
    def steps(self) -> int:
        """Forward passes so far, prefill aside."""
        return self.w.steps

    def write(self, branches: list[Branch], passes: int) -> None:
        """Write all branches, in at most so many passes; those that were not finished by then are not `done`."""
        for _ in range(passes):
            parts = [part for b in branches if b.goes_on and (part := self._continued(b)) is not None]
            if not parts or self.w.out_of_time():
                return
            prediction = self._pass(parts)
            for part in parts:
                self._accept(part, prediction)
            self.w.observe("verify", branches[0].tokens)

    def renoise(self, masked: list[tuple[Branch, list[int | None]]], passes: int) -> list[Branch]:
        """Branches anew, with tokens in place of the masks (None) in these; not `done` where the passes were too few.

        What stands before the first mask is not read again.
        """
        pairs = []
        for branch, tokens in masked:
            first = tokens.index(None)
            pairs.append((branch.again(first), tokens[first:]))
        for n in range(passes):
            if not n:
                self.w.observe("renoise", [*pairs[0][0].tokens, *pairs[0][1]])
            parts = []
            for branch, rest in pairs:
                while rest and None not in rest[:BLOCK]:
                    branch.tokens += [t for t in rest[:BLOCK] if t is not None]
                    del rest[:BLOCK]
                branch.done = not rest
                part = self._block(branch, rest[:BLOCK]) if rest else None
                if part is not None:
                    parts.append((part, rest))
            if not parts or self.w.out_of_time():
                break
            prediction = self._pass([part for part, _ in parts])
            for part, rest in parts:
                self._unmask(part, rest, prediction)
            self.w.observe("unmask", [*pairs[0][0].tokens, *pairs[0][1]])
        return [branch for branch, _ in pairs]

    def _continued(self, branch: Branch) -> Part | None:
        """A branch's next causal rows; None when there is no room for them."""
        pending = branch.pending
        room = min(PROPOSED, len(self._free) - len(pending), branch.most - len(branch.written) - 1)
        proposed = branch.copy[branch.at : branch.at + max(room, 0)]
        slots = self._take(len(pending) + len(proposed))
        return None if slots is None else Part(branch, pending + proposed, slots, len(proposed))

    def _block(self, branch: Branch, block: list[int | None]) -> Part | None:
        """A block's input is the token before it and all but its last; output i predicts its token i."""
        pending = branch.pending
        slots = self._take(len(pending) + len(block))
        last = branch.tokens[-1] if branch.tokens else self.w.known[-1]
        ids = [last, *(self._mask if t is None else t for t in block[:-1])]
        return None if slots is None else Part(branch, pending, slots, 0, ids)

    def _take(self, count: int) -> list[int] | None:
        """The lowest free slots: what a cache can hold is what a pass costs."""
        return [heapq.heappop(self._free) for _ in range(count)] if len(self._free) >= count else None

    def _release(self, slots: list[int]) -> None:
        for slot in slots:
            heapq.heappush(self._free, slot)

    def _pass(self, parts: list[Part]) -> Prediction:
        """One pass over what is left of the window and all parts, whose `rows` it sets."""
        w, base = self.w, self.base
        ids, start = w.known[w.committed :], w.committed
        window = len(ids)
        positions, slots = list(range(start, base)), list(range(start, base))
        wanted: list[int] = []
        sees = np.zeros((window + sum(len(p.slots) for p in parts), self.denoiser.capacity), dtype=bool)
        sees[:window, :base] = np.tri(window, base, start) > 0
        for part in parts:
            own, first, causal = part.branch.slots, len(ids), len(part.ids)
            at = base + len(own)
            sees[first : first + len(part.slots), :base] = True
            sees[first : first + len(part.slots), own] = True
            sees[first : first + causal, part.slots[:causal]] = np.tri(causal) > 0
            ids += part.ids + part.block
            slots += part.slots
            positions += range(at, at + causal)
            before = first + causal - part.proposed - 1
            if before < first:  # nothing of the branch is in this pass yet
                before = window - 1 if window and not own else first + causal
            if part.block:
                noise = slice(first + causal, len(ids))
                sees[noise, part.slots] = True
                sees[noise, [base - 1, *own, *part.slots[:causal]][-1]] = False  # the block has a copy of its own
                positions += range(at + causal - 1, at + causal - 1 + len(part.block))
            follow = range(before + 1, len(ids)) if not part.block else range(first + causal + 1, len(ids))
            part.rows = list(range(len(wanted), len(wanted) + 1 + len(follow)))
            wanted += [before, *follow]
        w.steps += 1
        row, place, slot = (np.asarray(x, dtype=np.int64)[None] for x in (ids, positions, slots))
        sees = sees[None, :, : max(slots) + 1]
        prediction = self.denoiser.forward(w.cache, row, place, slot, sees, np.asarray(wanted, dtype=np.int64))
        w.commit(base)
        return prediction

    def _accept(self, part: Part, prediction: Prediction) -> None:
        """Write the tokens that a pass is sure of: proposed ones that were right, and one more."""
        branch, known = part.branch, len(part.ids) - part.proposed
        proposed, right = part.ids[known:], 0
        for n, row in enumerate(part.rows):
            token, logprob = self._choose(prediction, row, branch, may_end=bool(branch.written))
            branch.logprob += logprob
            branch.done = token == self.w.end
            if branch.done:
                break
            branch.tokens.append(token)
            branch.follow(token)
            branch.done = branch.stop(branch.written)
            agreed = n < len(proposed) and token == proposed[n]
            right += agreed
            if branch.done or not agreed:
                break
        branch.slots += part.slots[: known + right]
        self._release(part.slots[known + right :])

    def _unmask(self, part: Part, left: list[int | None], prediction: Prediction) -> None:
        """Put tokens in place of a block's surest masks: at least one."""
        branch, causal = part.branch, len(part.ids)
        branch.slots += part.slots[:causal]
        self._release(part.slots[causal:])
        masks = [i for i in range(len(part.block)) if left[i] is None]
        chosen = {i: self._choose(prediction, part.rows[i], branch, False, i) for i in masks}
        best = max(masks, key=lambda i: chosen[i][1])
        for i in masks:
            if i == best or chosen[i][1] >= SURE:
                left[i] = chosen[i][0]

    def _choose(
        self, prediction: Prediction, row: int, branch: Branch, may_end: bool = True, ahead: int = 0
    ) -> tuple[int, float]:
        """A token and its log-probability: the likeliest, or one drawn from the likeliest at the branch's heat."""
        ids, logprobs = prediction.top_ids[row], prediction.top_logprobs[row]
        scores = logprobs
        if branch.heat:
            place = len(branch.tokens) + ahead
            noise = np.random.default_rng([self.seed, branch.sample, place]).gumbel(size=len(ids))
            scores = logprobs + branch.heat * noise
        order = np.argsort(-scores, kind="stable")
        best = int(order[1] if not may_end and ids[order[0]] == self.w.end else order[0])
        return int(ids[best]), float(logprobs[best])
