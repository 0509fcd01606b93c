"""Losses on true middles, read from the engine's own graph: next token and masked, nats a token.

The masked loss is that of a block as training noises it: the last known token and masks, which see each other and all
that comes before (Set Block Decoding, arXiv 2509.04185, section 3). Half of the blocks are masked whole, the rest at a
seeded rate, so that both drafting from noise and mending are measured.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from engine.caches import CachePool
from engine.model.evaluation.cases import Case
from engine.sampler import Task, Writing
from engine.scoring import Scorer
from engine.vocabulary import Vocabulary
from engine.window import WindowBuilder

BLOCK = 8
MAX_MIDDLE = 64


@dataclass(slots=True)
class Loss:
    """Sums over one middle and its `<end>`."""

    next_token: float = 0.0
    next_token_right: int = 0
    tokens: int = 0
    masked: float = 0.0
    masked_right: int = 0
    masks: int = 0


def measure_loss(vocabulary: Vocabulary, windows: WindowBuilder, caches: CachePool, case: Case, seed: int = 0) -> Loss:
    """Both losses of a case's middle, on the denoiser of `caches`; the next token as the sampler chooses it."""
    denoiser = caches.denoiser
    window = windows.build(case.prefix, case.suffix)
    healed = window.heal.decode("utf-8", "ignore")
    end = denoiser.config.reserved.end
    middle = vocabulary.encode(healed + case.middle)
    middle = [*middle, end] if len(middle) <= MAX_MIDDLE else middle[:MAX_MIDDLE]
    w = Writing(denoiser, vocabulary, caches.get(window.ids), Task(window.ids))
    known = w.known[w.committed :]
    at = np.arange(w.committed, len(window.ids) + len(middle) - 1)
    sees = np.arange(len(window.ids) + len(middle) - 1)[None, :] <= at[:, None]
    rows = w.forward(known + middle[:-1], at.tolist(), at.tolist(), sees, len(known) - 1)
    w.commit(len(w.known))
    loss = Loss(tokens=len(middle))
    written = Scorer(denoiser, vocabulary).reading(rows, range(len(middle)), middle, window.heal)
    loss.next_token = -sum(written.logprobs)
    loss.next_token_right = sum(p >= best for p, best in zip(written.logprobs, written.best, strict=True))
    rng = random.Random(f"{seed}:{case.name}")
    for first in range(0, len(middle), BLOCK):
        _noised_block(w, middle, first, rng, loss)
    return loss


def _noised_block(w: Writing, middle: list[int], first: int, rng: random.Random, loss: Loss) -> None:
    """One noised block behind the clean tokens before it, in scratch slots: the clean stream's keys stay."""
    reserved = w.denoiser.config.reserved
    truth = (middle[first : first + BLOCK] + [reserved.end] * BLOCK)[:BLOCK]
    rate = 1.0 if rng.random() < 0.5 else rng.random()
    masked = [rng.random() < rate for _ in truth]
    within = min(BLOCK, len(middle) - first)  # what is behind `<end>` is padding and has no loss
    if not any(masked[:within]):
        masked[rng.randrange(within)] = True
    start = len(w.known) + first - 1
    last = middle[first - 1] if first else w.known[-1]
    visible = [reserved.mask if hidden else token for token, hidden in zip(truth[:-1], masked[:-1], strict=True)]
    behind = len(w.known) + len(middle)
    scratch = range(behind, behind + BLOCK)
    sees = np.zeros((BLOCK, behind + BLOCK), dtype=bool)
    sees[:, :start] = True
    sees[:, behind:] = True
    got = w.forward([last, *visible], list(range(start, start + BLOCK)), list(scratch), sees)
    for i, (token, hidden) in enumerate(zip(truth, masked, strict=True)):
        if hidden and first + i < len(middle):
            loss.masked -= got.logprob(i, token)
            loss.masked_right += int(got.top_ids[i, 0]) == token
            loss.masks += 1
