"""`remask model interpolate`: weights between those a run began with and those it ended with."""

from __future__ import annotations

import argparse
from pathlib import Path

SHARES = (0.2, 0.4, 0.6, 0.8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a training run's folder, or a model folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to be made; the weights are in OUT/model")
    parser.add_argument(
        "--base", type=Path, metavar="FOLDER", help="what the run began with; default the packaged model"
    )
    shares = ", ".join(map(str, SHARES))
    parser.add_argument(
        "--shares", type=float, nargs="+", default=SHARES, metavar="S", help=f"to try; default {shares}"
    )
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), metavar="FOLDER", help="default: corpus/")
    parser.add_argument("--held-out", type=int, default=8, metavar="N", help="held-out batches; default 8")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the folder was written; 2 for bad input."""
    from engine.model.interpolation import interpolate

    return interpolate(args)
