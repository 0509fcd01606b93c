"""`remask bench`: one benchmark a module."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from engine.cli.nested import declare

SUBCOMMANDS = {
    "drafts": ("engine.bench.drafts", "how often drafts hold: guesses from noise, and what a key has overtaken"),
    "latency": ("engine.bench.latency", "how long a completion takes, of what, and against one token at a time"),
    "throughput": ("engine.bench.throughput", "tokens a second, all included; the command for a GPU"),
    "precision": ("engine.bench.precision", "what each way to round weights loses, and what it wins"),
    "typing": ("engine.bench.typing_simulation", "a real file typed key by key: keystroke to suggestion"),
    "editor": ("lsp_server.keystrokes", "the same through the language server, as an editor would"),
    "llama": ("engine.bench.llama", "against llama.cpp and the base model, one token after another"),
    "repair": ("engine.bench.repair", "damaged files of four languages, mended in five ways"),
    "serve": ("engine.bench.serve", "many simulated editors on one engine; with --seconds 1800 a soak"),
    "start": ("engine.bench.start", "from nothing to the first suggestion"),
    "capacity": ("engine.bench.capacity", "from what a request costs to replicas and money, checked on a cluster"),
    "cluster": ("engine.bench.cluster", "many simulated editors on a team's engine: replicas, routers, memory"),
    "transport": ("engine.bench.transport", "what the engine process costs beside an engine in this process"),
    "memory": ("engine.bench.memory", "what the workspace's memory adds, and how its trust is fitted"),
    "memory-scale": ("engine.bench.memory_scale", "the memory with a million lines in it"),
}


def add_parser(subparsers: Any) -> None:
    """Declare `bench` and its subcommands."""
    declare(subparsers, "bench", "measure speed, repair and memory", SUBCOMMANDS)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; exit codes as `remask`."""
    where, _ = SUBCOMMANDS[args.subcommand]
    return int(importlib.import_module(where).run(args))
