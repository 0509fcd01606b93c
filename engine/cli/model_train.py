"""`remask model train`: train the denoiser, or go on where a run stopped."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the run's folder, for example runs/first: made or resumed"
    )
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), metavar="FOLDER", help="default: corpus/")
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="FOLDER",
        help="released weights to start from; default the packaged model",
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="time budget of this run in total; default 60")
    parser.add_argument("--steps", type=int, help="stop after this many optimiser steps in total")
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--positions", type=int, help="positions a micro-batch")
    parser.add_argument("--accumulate", type=int, help="micro-batches a step")
    parser.add_argument(
        "--context-learns",
        action=argparse.BooleanOptionalAction,
        help="whether windows learn whole, or the context is only read, at a third of its price; default on a GPU",
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--save-every", type=float, default=10.0, metavar="MINUTES", help="default 10")
    parser.add_argument(
        "--state-every",
        type=float,
        metavar="MINUTES",
        help="the large state to go on from, at the first save after so many; default at each",
    )
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="look for new shards so often; default never")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(deadline=None)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the budget was used up, 130 when interrupted; a checkpoint is saved either way."""
    from engine.model.training import train_command

    return train_command(args)
