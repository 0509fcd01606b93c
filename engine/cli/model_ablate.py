"""`remask model ablate`: what each contested part of the training objective is worth."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), metavar="FOLDER", help="default: corpus/")
    parser.add_argument("--from", dest="start", type=Path, metavar="FOLDER", help="default: the packaged model")
    parser.add_argument("--steps", type=int, default=40, help="optimiser steps a variant; default 40")
    parser.add_argument("--rate", type=float, default=4e-5, help="peak learning rate; default 4e-5")
    parser.add_argument("--positions", type=int, default=2600, help="positions a step; default 2600")
    parser.add_argument("--held-out", type=int, default=8, metavar="N", help="held-out batches; default 8")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this variant; may be given again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when every variant was trained and measured."""
    from engine.model.ablation import ablate

    return ablate(args)
