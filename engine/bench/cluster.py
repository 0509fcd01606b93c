"""`remask bench cluster`: many simulated editors on a team's engine, with one replica and with two, and two routers.

Each editor has a token and a file of the standard library of its own. It types one to twelve characters, asks for a
completion, waits for the answer and thinks for two seconds on average; now and then it goes to another file. Editors,
ingress, proxy and Ray share this machine's processors with the replicas, so the table tells requests per processor
second beside requests per second. A replica computes with one thread; the prefix caches are shared out, so that all
replicas together hold as many as one alone. `--soak` prints memory over time instead.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import inspect
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from rich.table import Table

from engine.bench import speed
from engine.bench.processes import Use, free_port, use_by_part
from engine.bench.serve import HOLE, MODULES
from engine.cluster.options import ROUTERS, ClusterOptions
from engine.cluster.tokens import TokenFile
from engine.errors import BadRequestError

BURST = 12  # characters typed between two requests, at most
THOUGHT_SECONDS = 2.0
DEADLINE_SECONDS = 30.0
MOVES = 0.02  # of the requests come after going to another file
WARM_ANSWERS, WARM_SECONDS = 2, 60.0  # of each editor, not counted, for caches fill; but no longer than that
SOAK_SECONDS = 30.0  # between two lines
HEADERS = {"requests_per_second": "per s", "per_processor_second": "per cpu s", "per_engine_second": "per engine s"}
PARTS_SHOWN = ("engines", "ingress", "proxy", "ray", "editors")


@dataclass(slots=True)
class Tally:
    """What one run saw; latencies in milliseconds."""

    latencies: list[float] = field(default_factory=list)
    warm: int = 0  # editors that have had their first answers
    failed: int = 0
    prompt: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table."""

    replicas: int
    router: str
    editors: int
    caches: int
    lanes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    lanes = ClusterOptions(tokens="").lanes
    parser.add_argument("--editors", type=int, default=64, metavar="N", help="how many at once (default 64)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each setting (default 60)")
    parser.add_argument("--replicas", type=int, default=2, metavar="N", help="beside one alone (default 2)")
    parser.add_argument(
        "--routers", default="prefix,default", metavar="NAMES", help="to compare (default prefix,default)"
    )
    parser.add_argument("--caches", type=int, default=80, metavar="N", help="of all replicas together (default 80)")
    parser.add_argument(
        "--lanes", type=int, default=lanes, metavar="N", help=f"requests that share a pass (default {lanes})"
    )
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="print memory over time instead")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def run(args: argparse.Namespace) -> int:
    """Print the table; exit 0."""
    if find_spec("ray") is None or not Path("/proc/self/stat").exists():
        raise BadRequestError(
            "this needs Ray Serve (in a checkout of Remask, pip install '.[cluster]') and Linux's /proc"
        )
    if args.editors < 1 or args.replicas < 1:
        raise BadRequestError("--editors and --replicas are at least 1")
    routers = args.routers.split(",")
    if unknown := set(routers) - set(ROUTERS):
        raise BadRequestError(f"unknown router {min(unknown)!r}: choose among {', '.join(ROUTERS)}")
    if args.soak is not None:
        rows = soak(Setting(args.replicas, "prefix", args.editors, args.caches, args.lanes), args)
    else:
        settings = [Setting(1, routers[0], args.editors, args.caches, lanes) for lanes in sorted({1, args.lanes})]
        alone = len(settings)
        others = routers if args.replicas > 1 else routers[1:]
        settings += [Setting(args.replicas, router, args.editors, args.caches, args.lanes) for router in others]
        rows = [measure(setting, args) for setting in settings]
        speed.wide().print(_table(rows))
        if alone > 1:
            ratio = rows[1]["per_engine_second"] / max(rows[0]["per_engine_second"], 1e-9)
            print(
                f"{args.lanes} lanes: a processor second of an engine answers {ratio:.2f} times what it does with one"
            )
        if args.replicas > 1:
            one, more = rows[alone - 1], rows[alone]
            ratio = more["requests_per_second"] / max(one["requests_per_second"], 1e-9)
            engines = more["per_engine_second"] / max(one["per_engine_second"], 1e-9)
            print(f"{args.replicas} replicas serve {ratio:.2f} times what one does, by the clock;")
            print(f"for each processor second of an engine {engines:.2f} times as much.")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return 0


def measure(setting: Setting, args: argparse.Namespace) -> dict[str, Any]:
    """One line: a team's engine started for it, warmed up, measured and stopped."""
    with _team(setting, args) as (url, tokens):
        tally, used, seconds = asyncio.run(_simulate(url, tokens, setting, args.seconds, args.seed))
    answered = len(tally.latencies)
    p50, p95 = np.percentile(tally.latencies, [50, 95]) if answered else (0.0, 0.0)
    total = sum(used.values())
    row = {
        "replicas": setting.replicas,
        "router": setting.router,
        "lanes": setting.lanes,
        "editors": setting.editors,
        "answered": answered,
        "failed": tally.failed,
        "requests_per_second": round(answered / seconds, 2),
        "per_processor_second": round(answered / max(total, 1e-9), 2),
        "per_engine_second": round(answered / max(used.get("engines", 0.0), 1e-9), 2),
        "hit_rate": round(tally.cached / max(tally.prompt, 1), 3),
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
    }
    return row | {f"{part}_seconds": round(used.get(part, 0.0), 1) for part in PARTS_SHOWN}


def soak(setting: Setting, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Print memory by part every half minute for so long; the rows."""
    with _team(setting, args) as (url, tokens):
        rows = asyncio.run(_soak(url, tokens, setting, args.soak * 60.0, args.seed))
    kept = rows[len(rows) // 3 :] or rows
    growth = {part: round(kept[-1][part] - kept[0][part], 1) for part in PARTS_SHOWN if part in kept[0]}
    print(f"Growth over the last two thirds, MB: {', '.join(f'{part} {mb:+.1f}' for part, mb in growth.items())}")
    return rows


async def _soak(url: str, tokens: list[str], setting: Setting, seconds: float, seed: int) -> list[dict[str, Any]]:
    tally, began, stop = Tally(), time.monotonic(), asyncio.Event()
    typing = asyncio.gather(*_editors(url, tokens, seed, stop, tally))
    asyncio.get_running_loop().call_later(seconds, stop.set)
    rows: list[dict[str, Any]] = []
    while not typing.done():
        await asyncio.wait([typing], timeout=SOAK_SECONDS)
        row: dict[str, Any] = {"seconds": round(time.monotonic() - began), "answered": len(tally.latencies)}
        row["failed"] = tally.failed
        row |= {part: round(use.resident / 1e6, 1) for part, use in use_by_part(os.getpid()).items()}
        rows.append(row)
        print("  ".join(f"{name} {value:,}" for name, value in row.items()), flush=True)
    await typing
    return rows


async def _simulate(
    url: str, tokens: list[str], setting: Setting, seconds: float, seed: int
) -> tuple[Tally, dict[str, float], float]:
    """The tally, processor seconds by part and the seconds that were measured."""
    tally = Tally()
    stop = asyncio.Event()
    typing = asyncio.gather(*_editors(url, tokens, seed, stop, tally))
    late = time.monotonic() + WARM_SECONDS
    while tally.warm < len(tokens) and time.monotonic() < late:
        await asyncio.sleep(0.1)
    tally.latencies.clear()
    tally.failed = tally.prompt = tally.cached = 0
    before, began = use_by_part(os.getpid()), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = use_by_part(os.getpid()), time.monotonic() - began
    counted = Tally(list(tally.latencies), tally.warm, tally.failed, tally.prompt, tally.cached)
    stop.set()
    await typing
    none = Use(0.0, 0)
    return counted, {part: use.seconds - before.get(part, none).seconds for part, use in after.items()}, took


def _editors(url: str, tokens: list[str], seed: int, stop: asyncio.Event, tally: Tally) -> list[Any]:
    return [_Editor(url, token, tally, random.Random(f"{seed} {n}")).type_until(stop) for n, token in enumerate(tokens)]


class _Editor:
    """One person at work."""

    def __init__(self, url: str, token: str, tally: Tally, dice: random.Random) -> None:
        self.url, self.token, self.tally, self.dice = url, token, tally, dice
        self._open_file()

    async def type_until(self, stop: asyncio.Event) -> None:
        """Type, ask and think until told to stop."""
        from websockets.asyncio.client import connect

        await asyncio.sleep(self.dice.random() * THOUGHT_SECONDS)
        headers = {"Authorization": f"Bearer {self.token}"}
        async with connect(self.url, additional_headers=headers, max_size=None, open_timeout=60) as wire:
            await wire.recv()  # the welcome
            for id in itertools.count(1):
                if stop.is_set():
                    return
                self._type()
                began = time.monotonic()
                await wire.send(msgpack.packb(self._request(id)))
                while (reply := msgpack.unpackb(await wire.recv()))["id"] != id:
                    continue
                self._note(reply, time.monotonic() - began)
                self.tally.warm += id == WARM_ANSWERS
                await asyncio.sleep(self.dice.random() * 2 * THOUGHT_SECONDS)

    def _open_file(self) -> None:
        module = self.dice.choice(MODULES)
        self.path, self.text = f"{module}.py", inspect.getsource(importlib.import_module(module))
        self.at = self.dice.randrange(len(self.text) - 2_000)
        self.rest = self.at + HOLE

    def _type(self) -> None:
        if self.dice.random() < MOVES or self.at > len(self.text) - 300:
            self._open_file()
        self.at += self.dice.randint(1, BURST)
        while self.at >= self.rest:
            self.rest += HOLE

    def _request(self, id: int) -> dict[str, Any]:
        return {
            "id": id,
            "kind": "complete",
            "deadline": DEADLINE_SECONDS,
            "document": self.path,
            "prefix": self.text[: self.at],
            "suffix": self.text[self.rest :],
            "language": "python",
            "path": self.path,
        }

    def _note(self, reply: dict[str, Any], seconds: float) -> None:
        if reply["kind"] != "answer":
            self.tally.failed += 1
            return
        self.tally.latencies.append(seconds * 1e3)
        self.tally.prompt += reply["answer"]["prompt_tokens"]
        self.tally.cached += reply["answer"]["cached_tokens"]


@contextlib.contextmanager
def _team(setting: Setting, args: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """A team's engine for one setting: its address and a token for each editor."""
    from engine.cluster.local import Place, running

    with tempfile.TemporaryDirectory(prefix="rb", ignore_cleanup_errors=True) as folder:
        file = TokenFile(Path(folder) / "tokens.json")
        tokens = [file.add(f"editor{n}") for n in range(setting.editors)]
        place = Place(port=free_port(), folder=str(Path(folder) / "ray"))
        options = ClusterOptions(
            tokens=str(file.path),
            model=args.model,
            router=setting.router,
            replicas=setting.replicas,
            caches=max(1, setting.caches // setting.replicas),
            lanes=setting.lanes,
            ingresses=1,
        )
        with running(options, place):
            yield place.url, tokens


def _table(rows: list[dict[str, Any]]) -> Table:
    """The figures; processor seconds of each part are in the JSON alone."""
    table = Table(title=f"{rows[0]['editors']} simulated editors on a team's engine")
    shown = [name for name in rows[0] if not name.endswith("_seconds") and name != "editors"]
    for name in shown:
        table.add_column(HEADERS.get(name, name.replace("_", " ")), justify="right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:,}" for value in map(row.get, shown)))
    return table
