"""`remask bench precision`: what each way to round weights and activations loses, and what it wins.

Middles of real code behind full windows, and four masks behind each: the divergence of a precision from fp32 in nats,
KL(fp32 || precision), how often its best token is the same, its next-token loss; and the time of passes.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from engine.bench import speed
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.graph import Precision
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

CHOICES: dict[str, tuple[Precision, ...]] = {
    "cpu": ("int8", "int8-blocks", "int4-blocks"),
    "cuda": ("fp16",),
}
MASKS = 4
ROWS = (1, 4, 8, 16, 64)
COLUMNS = ["precision", "divergence", "p95", "of masks", "same best", "loss", *(f"{n} rows, ms" for n in ROWS)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    speed.add_common(parser)
    parser.add_argument("--cursors", type=int, default=16, metavar="N", help="places in real files (default 16)")


def run(args: argparse.Namespace) -> int:
    """Print a table; exit 0."""
    checkpoint = Checkpoint(Path(args.model) if args.model else None)
    device = choose(args.device)
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    builder = WindowBuilder(vocabulary, checkpoint.config.reserved, Budget(total=checkpoint.config.context))
    places = []
    for cursor in speed.cursors(args.cursors):
        ids = builder.build(cursor.prefix, cursor.suffix, heal=False).ids
        places.append((ids, vocabulary.encode(cursor.middle)))
    exact = Denoiser(checkpoint, device, "fp32")
    reference = [logprobs(exact, *place) for place in places]
    rows = [["fp32", *compare(reference, reference, places), *passes(exact)]]
    del exact
    for precision in CHOICES[device.name]:
        denoiser = Denoiser(checkpoint, device, precision)
        found = [logprobs(denoiser, *place) for place in places]
        rows.append([precision, *compare(reference, found, places), *passes(denoiser)])
    about = speed.facts(Denoiser(checkpoint, device))
    speed.show(Console(), "Precisions", about, COLUMNS, rows)
    speed.write(args.json, {"about": about, "columns": COLUMNS, "rows": rows})
    return 0


def logprobs(denoiser: Denoiser, ids: list[int], middle: list[int]) -> np.ndarray:
    """Log-probabilities (len(middle) + 1 + MASKS, vocab) behind the window, each token of the middle, and each mask."""
    everything = [*ids, *middle, *[denoiser.config.reserved.mask] * MASKS]
    n = len(everything)
    at = np.arange(n)
    sees = at[None, :] <= at[:, None]
    sees[-MASKS:, -MASKS:] = True
    rows = np.arange(len(ids) - 1, n)
    prediction = denoiser.forward(denoiser.new_cache(), np.array([everything]), at[None], at[None], sees[None], rows)
    return prediction.logits - prediction.base[:, None]


def compare(reference: list[Any], found: list[Any], places: list[Any]) -> list[float]:
    """[mean divergence, its 95th percentile, mean of masks, share of the same best token, loss on the middles]."""
    causal, masks, same, loss = [], [], [], []
    for exact, got, (_, middle) in zip(reference, found, places, strict=True):
        divergence = (np.exp(exact) * (exact - got)).sum(-1)
        causal += divergence[:-MASKS].tolist()
        masks += divergence[-MASKS:].tolist()
        same += (exact.argmax(-1) == got.argmax(-1)).tolist()
        loss += (-got[np.arange(len(middle)), middle]).tolist()
    return [float(np.mean(causal)), speed.percentile(causal, 0.95), *(float(np.mean(x)) for x in (masks, same, loss))]


def passes(denoiser: Denoiser) -> list[float]:
    """Best milliseconds of a pass by ROWS behind 448 tokens."""
    cache = denoiser.new_cache()
    speed.fill(denoiser, cache, 448)
    return [min(speed.timed(partial(denoiser.causal, cache, [200] * n, 448, range(n)), 15)) for n in ROWS]
