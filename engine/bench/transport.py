"""`remask bench transport`: what an engine in a process of its own costs beside one in this process.

Overhead is wall-clock time at the caller less the time that the engine itself reports for the request (its
`timings_ms["total"]`): packing, sockets, scheduling, threads. The completion is one token long and its context cached,
so that the model's own variance stays small; documents are real code repeated to size.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import engine
from engine.service.client import EngineClient, EngineOptions
from engine.service.options import Transport
from engine.types import CompleteAnswer, CompleteRequest

SIZES = (2_000, 20_000, 200_000, 2_000_000)  # characters


@dataclass(frozen=True, slots=True)
class Row:
    """One way to ask, one size of document; milliseconds."""

    way: str
    characters: int
    p50: float
    p95: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--requests", type=int, default=60, metavar="N", help="measured of each kind (default 60)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def run(args: argparse.Namespace) -> int:
    """Print the table; exit 0."""
    rows = in_process(args.device, args.model, args.requests)
    with tempfile.TemporaryDirectory(prefix="remask-") as folder:
        options = EngineOptions(
            device=args.device, model=args.model, runtime_folder=folder, log_file=str(Path(folder) / "log")
        )
        transports: tuple[Transport, ...] = ("unix", "tcp")
        for transport in transports:
            rows += asyncio.run(through(options, transport, args.requests))
    report(Console(), rows)
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


def request_of(characters: int) -> CompleteRequest:
    """A cursor at the start of a line in the middle of real code, repeated to size."""
    code = inspect.getsource(argparse)
    text = (code * (characters // len(code) + 1))[:characters]
    cut = text.rindex("\n", 0, characters // 2) + 1
    return CompleteRequest(text[:cut], text[cut:], "python", max_tokens=1)


def in_process(device: str, model: str | None, requests: int) -> list[Row]:
    """The engine called as a library."""

    async def measure() -> list[Row]:
        with engine.load(device, model=model) as e:

            async def complete(request: CompleteRequest) -> CompleteAnswer:
                return e.run_complete(request)

            return [await _overhead("in process", complete, size, requests) for size in SIZES]

    return asyncio.run(measure())


async def through(options: EngineOptions, transport: Transport, requests: int) -> list[Row]:
    """The engine as editors use it."""
    client = EngineClient(replace(options, transport=transport))
    try:
        await client.ping()
        await client.complete(request_of(SIZES[0]))
        times = []
        for _ in range(requests * 5):
            start = time.perf_counter()
            await client.ping()
            times.append((time.perf_counter() - start) * 1e3)
        rows = [_row(f"{transport}, ping", 0, times)]
        return rows + [await _overhead(transport, client.complete, size, requests) for size in SIZES]
    finally:
        await _leave(client)


async def _overhead(
    way: str, complete: Callable[[CompleteRequest], Awaitable[CompleteAnswer]], size: int, requests: int
) -> Row:
    request = request_of(size)
    times = []
    for n in range(requests + 3):
        start = time.perf_counter()
        answer = await complete(request)
        wall = (time.perf_counter() - start) * 1e3
        if n >= 3:
            times.append(wall - answer.timings_ms["total"])
    return _row(way, size, times)


async def _leave(client: EngineClient) -> None:
    from engine.service.control import stop_engines

    await client.close()
    await stop_engines(client.options)


def _row(way: str, size: int, times: list[float]) -> Row:
    p50, p95 = np.percentile(times, [50, 95])
    return Row(way, size, round(float(p50), 3), round(float(p95), 3))


def report(console: Console, rows: list[Row]) -> None:
    """A table: milliseconds outside the engine."""
    table = Table(title="Milliseconds a request, the engine's own time left out")
    for name in ("way", "characters", "p50", "p95"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in rows:
        table.add_row(row.way, f"{row.characters:,}", f"{row.p50:.2f}", f"{row.p95:.2f}")
    console.print(table)
