"""`remask bench serve`: many simulated editors on one engine, and a soak when it is given half an hour.

Each editor types a file of the standard library at five characters a second from a random place, in bursts with a
second's thought between them, and asks for a completion after every keystroke (the newest supersedes the older ones, as
in a real editor). Now and then it moves, saves a file into the workspace's memory, has a broken file repaired, or
closes and opens again. Latency is from keystroke to answer;
an empty answer at the deadline counts as none.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import inspect
import json
import random
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import grammars
from engine.bench import speed
from engine.errors import CancelledError
from engine.service.client import EngineClient, EngineOptions
from engine.service.control import stop_engines
from engine.types import CompleteRequest, RepairRequest
from grammars import Source

MODULES = "argparse ast dataclasses inspect textwrap difflib tarfile zipfile pickle shutil tempfile".split()
KEYSTROKE_SECONDS = 0.2
THOUGHT_SECONDS = 1.0
HOLE = 200  # characters that an editor writes before it goes on to the next place
BURST = 8  # keystrokes between two thoughts, on average
DEADLINE_SECONDS = 1.0
WATCH_SECONDS = 2.0


@dataclass(slots=True)
class Tally:
    """What one run saw; times in milliseconds, memory in megabytes sampled every two seconds."""

    editors: int
    seconds: float
    keystrokes: int = 0
    suggestions: int = 0
    superseded: int = 0
    empty: int = 0
    tokens: int = 0
    latencies: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    waiting: int = 0  # most requests in the queue

    def row(self) -> dict[str, Any]:
        """The figures to report."""
        p50, p95 = np.percentile(self.latencies, [50, 95]) if self.latencies else (0.0, 0.0)
        early = self.memory[len(self.memory) // 3 :] or [0.0]
        return {
            "editors": self.editors,
            "seconds": self.seconds,
            "keystrokes": self.keystrokes,
            "suggestions": self.suggestions,
            "empty": self.empty,
            "superseded": self.superseded,
            "p50_ms": round(float(p50), 1),
            "p95_ms": round(float(p95), 1),
            "tokens_per_second": round(self.tokens / self.seconds, 1),
            "most_waiting": self.waiting,
            "memory_mb": round(max(self.memory, default=0.0), 1),
            "growth_mb": round(early[-1] - early[0], 1),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--editors", default="1,4,16,64", metavar="N,N,…", help="how many at once (default 1,4,16,64)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each number (default 60; a soak: 1800)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def run(args: argparse.Namespace) -> int:
    """Print the table; exit 0."""
    rows = []
    for editors in map(int, args.editors.split(",")):
        with tempfile.TemporaryDirectory(prefix="remask-") as folder:
            options = EngineOptions(
                device=args.device, model=args.model, runtime_folder=folder, log_file=str(Path(folder) / "log")
            )
            rows.append(asyncio.run(simulate(options, editors, args.seconds, args.seed)).row())
    table = Table(title="Simulated editors on one engine")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{value:,}" for value in row.values()))
    speed.wide().print(table)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return 0


async def simulate(options: EngineOptions, editors: int, seconds: float, seed: int = 0) -> Tally:
    """Let `editors` type for so long on an engine that is started, and stopped, for this."""
    tally = Tally(editors, seconds)
    watcher = EngineClient(options)
    try:
        await watcher.complete(CompleteRequest("x = ", "\n", "python"))
        end = time.monotonic() + seconds
        typing = [_Editor(options, tally, random.Random(f"{seed} {n}")).type_until(end) for n in range(editors)]
        await asyncio.gather(_watch(watcher, tally, end), *typing)
    finally:
        await watcher.close()
        await stop_engines(options)
    return tally


async def _watch(client: EngineClient, tally: Tally, end: float) -> None:
    while time.monotonic() < end:
        service = (await client.stats())["service"]
        tally.memory.append((service["resident_bytes"] or 0) / 1e6)
        tally.waiting = max(tally.waiting, service["waiting"])
        await asyncio.sleep(WATCH_SECONDS)


@cache
def _code(module: str) -> Source:
    return grammars.get("python").parse(inspect.getsource(importlib.import_module(module)))


class _Editor:
    """One person at work."""

    def __init__(self, options: EngineOptions, tally: Tally, dice: random.Random) -> None:
        self.options, self.tally, self.dice = options, tally, dice
        self.client = EngineClient(options)
        self.asked: set[asyncio.Task[None]] = set()
        self._open_file()

    async def type_until(self, end: float) -> None:
        """Press keys until the time is over, then wait for what is under way."""
        await asyncio.sleep(self.dice.random() * KEYSTROKE_SECONDS)
        while time.monotonic() < end:
            started = time.monotonic()
            self.at += 1
            if self.at == self.rest:
                self.rest += HOLE
            self.tally.keystrokes += 1
            task = asyncio.create_task(self._complete())
            self.asked.add(task)
            task.add_done_callback(self.asked.discard)
            await self._now_and_then()
            thought = THOUGHT_SECONDS if self.dice.random() < 1 / BURST else 0.0
            await asyncio.sleep(max(0.0, started + KEYSTROKE_SECONDS + thought - time.monotonic()))
        await asyncio.gather(*self.asked)
        await self.client.close()

    def _open_file(self) -> None:
        module = self.dice.choice(MODULES)
        code = _code(module)
        self.path, self.text = f"{module}.py", code.text
        places = iter(lambda: self.dice.randrange(len(self.text) - 2_000), -1)
        self.at = next(at for at in places if code.inside_comment_or_string(at) is None)
        self.rest = self.at + HOLE  # what stands behind the cursor does not move while someone types

    async def _complete(self) -> None:
        now = time.monotonic()
        request = CompleteRequest(
            self.text[: self.at], self.text[self.rest :], "python", self.path, deadline=now + DEADLINE_SECONDS
        )
        try:
            answer = await self.client.complete(request, document=self.path, automatic=True)
        except CancelledError:
            self.tally.superseded += 1
            return
        if answer.items:
            self.tally.suggestions += 1
            self.tally.tokens += answer.tokens
            self.tally.latencies.append((time.monotonic() - now) * 1e3)
        else:
            self.tally.empty += 1

    async def _now_and_then(self) -> None:
        what = self.dice.random()
        if what < 0.02 or self.at > len(self.text) - 100:
            self._open_file()
        elif what < 0.03:
            await self.client.remember(f"{self.dice.randrange(20)}/{self.path}", self.text)
        elif what < 0.035:
            broken = self.text.replace("):\n", ")\n", 1)
            with contextlib.suppress(CancelledError):
                deadline = time.monotonic() + DEADLINE_SECONDS
                await self.client.repair(RepairRequest(broken, "python", deadline=deadline), document=self.path)
        elif what < 0.04:
            await asyncio.gather(*self.asked)
            await self.client.close()
            self.client = EngineClient(self.options)
