"""`remask bench start`: from nothing to the first suggestion, as an editor's server experiences it.

Each time a new engine process is spawned by the client that the language server uses, loads the model, and answers one
completion behind a full window; then it is stopped. The very first start builds the graph of this processor
(`engine/variants.py`) into an empty cache folder; later ones read it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.bench import speed
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.errors import BadRequestError
from engine.service.client import EngineClient, EngineOptions
from engine.service.control import stop_engines
from engine.types import CompleteRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    speed.add_common(parser)
    parser.add_argument("--starts", type=int, default=5, metavar="N", help="starts with a kept graph (default 5)")


def run(args: argparse.Namespace) -> int:
    """Print a table; exit 0."""
    if args.starts < 1:
        raise BadRequestError(f"--starts is {args.starts}: give at least 1")
    kept = os.environ.get("XDG_CACHE_HOME")
    try:
        with tempfile.TemporaryDirectory(prefix="remask-") as folder:
            os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
            first = asyncio.run(start(args, folder))
            later = [asyncio.run(start(args, folder)) for _ in range(args.starts)]
    finally:
        os.environ.pop("XDG_CACHE_HOME", None)
        if kept is not None:
            os.environ["XDG_CACHE_HOME"] = kept
    about = speed.facts(Denoiser(Checkpoint(Path(args.model) if args.model else None), choose(args.device)))
    rows: list[list[Any]] = [["the very first, which builds the graph", 1, first, first]]
    rows.append(["later ones", args.starts, statistics.median(later), max(later)])
    columns = ["start to first suggestion", "n", "seconds p50", "seconds at most"]
    speed.show(Console(), "A cold start, process and prefill included", about, columns, rows)
    speed.write(args.json, {"about": about, "rows": rows})
    return 0


async def start(args: argparse.Namespace, folder: str) -> float:
    """Seconds from spawning an engine to its first answer."""
    options = EngineOptions(
        device=args.device, model=args.model, runtime_folder=folder, log_file=str(Path(folder) / "log")
    )
    cursor = speed.cursors(1)[0]
    client = EngineClient(options)
    began = time.perf_counter()
    try:
        await client.complete(CompleteRequest(cursor.prefix, cursor.suffix, "python"))
        return time.perf_counter() - began
    finally:
        await client.close()
        await stop_engines(options)
