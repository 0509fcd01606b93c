"""The capacity model against a real cluster on this machine: predicted and measured utilisation and latency.

Requests arrive as a Poisson process, whether or not earlier ones were answered, from documents that are typed in key by
key; a share of them goes to a place that no cache holds. They come through the team's own WebSocket.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.bench import speed
from engine.bench.capacity import waiting
from engine.bench.capacity_cost import Cost, places
from engine.bench.processes import free_port
from engine.cluster.tokens import TokenFile
from engine.errors import RemaskError
from engine.remote import token
from engine.remote.team import TeamClient, TeamOptions
from engine.service.options import EngineOptions
from engine.types import CompleteRequest

REPLICAS = 1
UTILISATIONS = (0.3, 0.6)
DOCUMENTS = 13  # fewer than a replica has caches, and no multiple of how often one moves
START_SECONDS = 180.0
DEADLINE_SECONDS = 30.0  # so that what waits is measured, not dropped


def check(cost: Cost, args: argparse.Namespace) -> tuple[list[dict[str, Any]], Cost]:
    """A row for each load, and the cost as the cluster has it: its replicas', and that of proxy and ingress."""
    rows = []
    with cluster(args) as (url, secret, ray):
        os.environ[token.VARIABLE] = secret
        for share in UTILISATIONS:
            rows.append(asyncio.run(_at(url, ray, share, cost, args)))
    answered = sum(r["answered"] for r in rows)
    used = sum(r["replica_s"] for r in rows) / answered
    more = used / cost.mixed(args.cold)[0]
    around = sum(r["around_s"] for r in rows) / answered
    about = f"{cost.about}; a replica of the cluster used {more:.2f} times as much"
    return rows, Cost(cost.warm * more, cost.cold * more, cost.warm_sd * more, cost.cold_sd * more, around, about)


@contextmanager
def cluster(args: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """`remask serve` with one user: its address, the user's token, the process id."""
    with tempfile.TemporaryDirectory(prefix="remask-") as folder:
        tokens = TokenFile(Path(folder) / "tokens.json")
        secret = tokens.add("capacity")
        words = [sys.executable, "-m", "engine.cli.main", "serve", "--tokens", str(tokens.path)]
        words += ["--replicas", str(REPLICAS), "--cpus-per-replica", f"{args.cores:g}", "--device", args.device]
        words += ["--gpus-per-replica", f"{args.gpus:g}", "--port", str(free_port())]
        if args.model:
            words += ["--model", args.model]
        with (Path(folder) / "log").open("w+") as log:
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                if "wss://" not in said and "ws://" not in said:
                    log.seek(0)
                    raise RemaskError(f"remask serve did not start: {log.read().strip()[-500:] or said}")
                url = next(word.rstrip(":") for word in said.split() if word.startswith(("ws://", "wss://")))
                yield url, secret, process.pid
            finally:
                process.terminate()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()


async def _at(url: str, ray: int, share: float, cost: Cost, args: argparse.Namespace) -> dict[str, Any]:
    service, cv = cost.mixed(args.cold)
    rate = share * REPLICAS / service
    team = TeamClient(TeamOptions(url, fallback=False), EngineOptions(memory=False))
    typing, dice = Typing(args.cold), random.Random(f"{share}")
    latencies: list[float] = []
    lost = 0

    async def ask(request: CompleteRequest, document: str) -> None:
        nonlocal lost
        started = time.monotonic()
        try:
            await team.complete(replace(request, deadline=started + DEADLINE_SECONDS), document=document)
        except RemaskError:
            lost += 1
        else:
            latencies.append(time.monotonic() - started)

    try:
        for request, document in typing.begin():  # caches fill, code paths warm up
            await ask(request, document)
        latencies.clear()
        before, began = _processor_seconds(ray), time.monotonic()
        asked: list[asyncio.Task[None]] = []
        while (now := time.monotonic()) < began + args.seconds:
            asked.append(asyncio.create_task(ask(*typing.next())))
            await asyncio.sleep(max(0.0, dice.expovariate(rate) - (time.monotonic() - now)))
        await asyncio.gather(*asked)
        took, after = time.monotonic() - began, _processor_seconds(ray)
    finally:
        await team.close()
    if not latencies:
        raise RemaskError("the cluster answered nothing: see `remask serve`")
    replicas = sum(after["replica"].values()) - sum(before["replica"].get(pid, 0.0) for pid in after["replica"])
    around = sum(after["around"].values()) - sum(before["around"].get(pid, 0.0) for pid in after["around"])
    arrivals, used = len(asked) / took, replicas / len(latencies)
    return {
        "replicas": REPLICAS,
        "arrivals_per_s": arrivals,
        "answered": len(latencies),
        "lost": lost,
        "utilisation": replicas / took / REPLICAS / args.cores,
        "predicted_utilisation": arrivals * service / REPLICAS,
        "latency_ms": statistics.mean(latencies) * 1e3,
        "latency_p95_ms": speed.percentile(latencies, 0.95) * 1e3,
        "predicted_latency_ms": _latency_ms(arrivals, service, cv),
        "predicted_latency_own_cost_ms": _latency_ms(arrivals, used / args.cores, cv),
        "replica_s": replicas,
        "around_s": around,
    }


def _latency_ms(arrivals: float, service: float, cv: float) -> float | None:
    """The model's mean; None for a load that cannot be carried."""
    wait = waiting(arrivals, service, cv, REPLICAS)[0]
    return (service + wait) * 1e3 if math.isfinite(wait) else None


class Typing:
    """Documents that grow by a key; every so often one moves to a place that nobody has read."""

    def __init__(self, cold: float) -> None:
        self._places = iter(places(2_000, seed=9))
        self._open = [_Open(next(self._places), 0, f"{n}.py") for n in range(DOCUMENTS)]
        self._every = round(1 / cold) if cold else 0
        self._asked = 0

    def begin(self) -> list[tuple[CompleteRequest, str]]:
        """A first request of each document."""
        return [document.request() for document in self._open]

    def next(self) -> tuple[CompleteRequest, str]:
        """The next request and its document's name."""
        self._asked += 1
        document = self._open[self._asked % DOCUMENTS]  # in turns: a second request of one would supersede the first
        if self._every and self._asked % self._every == 0:
            document.place, document.typed, document.name = next(self._places), 0, f"{self._asked}.py"
        else:
            document.typed = min(document.typed + 1, len(document.place.middle))
        return document.request()


@dataclass(slots=True)
class _Open:
    place: speed.Cursor
    typed: int
    name: str

    def request(self) -> tuple[CompleteRequest, str]:
        text = self.place.prefix + self.place.middle[: self.typed]
        return CompleteRequest(text, self.place.suffix, "python"), self.name


def _processor_seconds(ray: int) -> dict[str, dict[int, float]]:
    """Processor time so far, by process id: of the replicas, and of the proxy and the ingress."""
    seconds: dict[str, dict[int, float]] = {"replica": {}, "around": {}}
    tick = os.sysconf("SC_CLK_TCK")
    session = _descendants(ray)
    for pid in session:
        try:
            name = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
            stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        used = (int(stat[11]) + int(stat[12])) / tick
        if "ServeReplica:remask:engine" in name:
            seconds["replica"][pid] = used
        elif "ServeReplica" in name or "ProxyActor" in name:
            seconds["around"][pid] = used
    return seconds


def _descendants(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def show(console: Console, rows: list[dict[str, Any]]) -> None:
    """Predicted beside measured: from the cost in this process, and from what the replica itself used."""
    table = Table(title=f"The model against a real cluster, {REPLICAS} replica: mean latency in ms")
    for name in ("calls/s", "answered", "busy", "predicted", "p95", "mean", "predicted", "by its own cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for r in rows:
        table.add_row(
            f"{r['arrivals_per_s']:.2f}",
            f"{r['answered']} of {r['answered'] + r['lost']}",
            f"{r['utilisation']:.0%}",
            f"{r['predicted_utilisation']:.0%}",
            f"{r['latency_p95_ms']:.0f}",
            f"{r['latency_ms']:.0f}",
            _shown(r["predicted_latency_ms"]),
            _shown(r["predicted_latency_own_cost_ms"]),
        )
    console.print(table)


def _shown(milliseconds: float | None) -> str:
    return "no end" if milliseconds is None else f"{milliseconds:.0f}"
