"""`remask bench drafts`: how often drafts hold: guesses from noise by distance, and what a key has overtaken.

The greedy text of K = 1 is written first; then, behind each of its tokens, a draft of masks is denoised in one pass and
held against what follows. A guess counts when it and all before it are right, since that is when the `verified` sampler
accepts it (speculative decoding, arXiv 2211.17192). The shares are what `engine/calibration.py` reckons with (`HOLDS`).

Then a line is drafted at each cursor, its first character typed, and the rest of the draft held against the line that
is drafted there from nothing: the share of its tokens that hold is the chance in `engine/overtaken.py` (`CHANCE`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from engine.alike import common_prefix
from engine.bench import speed
from engine.bench.latency import single
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.errors import BadRequestError
from engine.kv_cache import Cache
from engine.overtaken import Overtaken
from engine.sampler import Task
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder

MASKS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    speed.add_common(parser)
    parser.add_argument("--cursors", type=int, default=24, metavar="N", help="places in real files (default 24)")
    parser.add_argument("--tokens", type=int, default=16, metavar="N", help="length of each middle (default 16)")


def run(args: argparse.Namespace) -> int:
    """Print a table; exit 0."""
    if args.cursors < 1 or args.tokens < 1:
        raise BadRequestError("--cursors and --tokens must be at least 1")
    checkpoint = Checkpoint(Path(args.model) if args.model else None)
    denoiser = Denoiser(checkpoint, choose(args.device))
    vocabulary = Vocabulary(checkpoint.tokenizer_file)
    builder = WindowBuilder(vocabulary, checkpoint.config.reserved, Budget(total=checkpoint.config.context))
    held, offered = np.zeros(MASKS), np.zeros(MASKS)
    sampler = single(denoiser, vocabulary)
    for cursor in speed.cursors(args.cursors):
        ids = builder.build(cursor.prefix, cursor.suffix, heal=False).ids
        cache = denoiser.new_cache()
        text = sampler.run(cache, Task(ids, max_tokens=args.tokens + 1, least=args.tokens + 1)).tokens
        for written in range(len(text) - 1):
            guesses = draft(denoiser, cache, [*ids, *text[:written]])
            truth = text[written + 1 : written + 1 + MASKS]
            right = np.cumprod([g == t for g, t in zip(guesses, truth, strict=False)])
            held[: len(right)] += right
            offered[: len(right)] += 1
    about = speed.facts(denoiser)
    rows: list[list[Any]] = [[i + 1, int(offered[i]), held[i] / max(offered[i], 1)] for i in range(MASKS)]
    speed.show(Console(), "Guesses from noise that hold", about, ["masks behind", "n", "share that holds"], rows)
    kept, compared = overtaken(denoiser, vocabulary, builder, args)
    Console().print(
        f"drafts that a key agrees with: {kept / max(compared, 1):.3f} of {compared} tokens hold, if those before do"
    )
    speed.write(args.json, {"about": about, "rows": rows, "overtaken": {"held": kept, "of": compared}})
    return 0


def overtaken(
    denoiser: Denoiser, vocabulary: Vocabulary, builder: WindowBuilder, args: argparse.Namespace
) -> tuple[int, int]:
    """Tokens of drafts that hold with the next key, and all of them up to the first that does not."""
    sampler, drafts = single(denoiser, vocabulary), Overtaken()
    held = compared = 0

    def line(prefix: str, suffix: str) -> tuple[bytes, list[int]]:
        window = builder.build(prefix, suffix)
        over = Task(window.ids, args.tokens, window.heal, lambda tokens: b"\n" in vocabulary.bytes[tokens[-1]])
        return window.heal, sampler.run(denoiser.new_cache(), over).tokens

    for cursor in speed.cursors(args.cursors):
        heal, tokens = line(cursor.prefix, cursor.suffix)
        text = vocabulary.decode(tokens)[len(heal.decode()) :]
        drafts.keep(cursor.prefix, cursor.suffix, text)
        prefix = cursor.prefix + text[:1]
        heal, tokens = line(prefix, cursor.suffix)
        draft = vocabulary.encode(heal.decode() + drafts.rest(prefix, cursor.suffix))
        shared = common_prefix(draft, tokens)
        held += shared
        compared += min(shared + 1, len(draft), len(tokens))
    return held, compared


def draft(denoiser: Denoiser, cache: Cache, known: list[int]) -> list[int]:
    """Guesses for the `MASKS` tokens after the next one: masks that see `known` and one another, in one pass."""
    start = len(known) - 1
    ids = [known[-1], *[denoiser.config.reserved.mask] * MASKS]
    at = np.arange(start, start + len(ids))
    sees = np.ones((len(ids), start + len(ids)), dtype=bool)
    sees[0, start + 1 :] = False  # the known token's row is causal
    got = denoiser.forward(cache, np.array([ids]), at[None], at[None], sees[None], np.arange(1, len(ids)))
    return [int(t) for t in got.top_ids[:, 0]]
