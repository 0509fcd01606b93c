"""`remask model`: from a corpus to weights to ship. One subcommand a module, imported only when asked for."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from engine.cli.nested import declare
from engine.errors import ModelError

SUBCOMMANDS = {
    "ablate": ("engine.cli.model_ablate", "what each contested part of the training objective is worth"),
    "corpus": ("engine.cli.model_corpus", "fetch, filter and tokenise the training corpus"),
    "eval": ("engine.model.evaluation.command", "evaluate a model on packages that training never saw"),
    "export": ("engine.model.export_command", "turn a training run's checkpoint into a model folder"),
    "interpolate": ("engine.cli.model_interpolate", "weights between those a run began and ended with"),
    "train": ("engine.cli.model_train", "train the denoiser, or go on where a run stopped"),
}


def add_parser(subparsers: Any) -> None:
    """Declare `model` and its subcommands; torch is imported only when one of them runs."""
    declare(subparsers, "model", "build the corpus, train, evaluate and export the denoiser", SUBCOMMANDS)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; exit codes as `remask`."""
    where, _ = SUBCOMMANDS[args.subcommand]
    try:
        return int(importlib.import_module(where).run(args))
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] in ("torch", "matplotlib"):
            raise ModelError(f"{missing.name} is missing: install the training extra, pip install '.[train]'") from None
        raise
