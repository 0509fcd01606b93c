"""`remask bench capacity`: from what a request costs to replicas and money, for a thousand developers to a million.

The model. Peak arrivals are `developers x requests x (1 - answered here)` an hour; a request keeps one replica busy for
its service time, which is measured; replicas are the least number that keeps their utilisation under the target and the
wait of 95 in 100 requests under the limit. Waiting is that of M/M/c (Erlang C) with the measured spread of service
times put in by Allen and Cunneen's factor (1 + cv^2) / 2. M/M/c shares one queue among all replicas; the router by
prefix keeps a document at its replica until that is overloaded, so real waits lie between this and those of M/M/1.

`--check` measures the same service times on this machine, predicts, and then runs a real cluster at two loads.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.bench import speed
from engine.bench.capacity_cost import Cost, from_json, measure
from engine.errors import BadRequestError

DEVELOPERS = (1_000, 100_000, 1_000_000)
HOURS_A_MONTH = 730.0
LATE = 0.05  # of the requests may wait longer than the limit


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Everything that was not measured; times in seconds, prices in dollars an hour."""

    requests: float = (
        120.0  # that an editor would make, a developer and hour, at the peak; all seats, not only those at work
    )
    answered_here: float = 0.3  # of these, by what was suggested before: typed along, no call
    cold: float = 0.1  # of the calls, at a place that no cache holds: a file just opened, a replica just changed
    utilisation: float = 0.6
    wait: float = 0.1
    mean_load: float = 0.3  # of the peak, over the week, where replicas come and go with the load
    core_hour: float = 0.04
    gpu_hour: float = 1.0
    cores: float = 1.0  # of one replica
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What so many developers need at their peak; times in seconds, money in dollars."""

    developers: int
    arrivals: float  # calls a second
    replicas: int
    utilisation: float
    wait_mean: float
    wait_p95: float
    hour: float  # of all replicas, at the peak
    month: float  # of what runs, on average
    month_each: float


def plan(developers: int, cost: Cost, given: Assumptions) -> Plan:
    """The least replicas for the peak of `developers`, and what they cost."""
    arrivals = developers * given.requests * (1 - given.answered_here) / 3600
    service, cv = cost.mixed(given.cold)
    replicas = max(1, math.ceil(arrivals * service / given.utilisation))
    while waiting(arrivals, service, cv, replicas)[1] > given.wait:
        replicas += 1
    mean, late = waiting(arrivals, service, cv, replicas)
    # What the ingress and the proxy use comes on top, as cores that are paid for.
    one = given.cores * given.core_hour + given.gpus * given.gpu_hour
    hour = replicas * one + arrivals * cost.around / given.utilisation * given.core_hour
    month = max(hour * given.mean_load, one) * HOURS_A_MONTH
    return Plan(
        developers, arrivals, replicas, arrivals * service / replicas, mean, late, hour, month, month / developers
    )


def waiting(arrivals: float, service: float, cv: float, replicas: int) -> tuple[float, float]:
    """Mean and 95th percentile of the wait in seconds; infinite for a load that cannot be carried."""
    load = arrivals * service
    if load >= replicas:
        return math.inf, math.inf
    spread = (1 + cv * cv) / 2
    busy = erlang_c(load, replicas)
    mean = busy * service / (replicas - load) * spread
    late = 0.0 if busy <= LATE else math.log(busy / LATE) * service / (replicas - load) * spread
    return mean, late


def erlang_c(load: float, servers: int) -> float:
    """The share of arrivals that wait in M/M/c, by Erlang B's recursion, which does not overflow."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; every assumption is one."""
    a = Assumptions()
    speed.add_common(parser)
    parser.add_argument(
        "--cost",
        type=Path,
        metavar="JSON",
        help="what --json of `bench capacity`, `bench cluster` or `bench latency` wrote, instead of a short run now",
    )
    parser.add_argument(
        "--developers", default=",".join(map(str, DEVELOPERS)), metavar="N,N,…", help="(default %(default)s)"
    )
    parser.add_argument("--requests", type=float, default=a.requests, help="a developer and hour (default %(default)s)")
    parser.add_argument(
        "--answered-here", type=float, default=a.answered_here, help="share without a call (default %(default)s)"
    )
    parser.add_argument("--cold", type=float, default=a.cold, help="share without a cache (default %(default)s)")
    parser.add_argument("--utilisation", type=float, default=a.utilisation, help="target (default %(default)s)")
    parser.add_argument("--wait-ms", type=float, default=a.wait * 1e3, help="95 in 100 wait less (default %(default)s)")
    parser.add_argument("--mean-load", type=float, default=a.mean_load, help="of the peak (default %(default)s)")
    parser.add_argument("--core-hour", type=float, default=a.core_hour, help="dollars (default %(default)s)")
    parser.add_argument("--gpu-hour", type=float, default=a.gpu_hour, help="dollars (default %(default)s)")
    parser.add_argument("--cores", type=float, default=a.cores, help="of one replica (default %(default)s)")
    parser.add_argument("--gpus", type=float, default=a.gpus, help="of one replica (default %(default)s)")
    parser.add_argument("--check", action="store_true", help="run a real cluster at two loads")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each load of --check (default %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw it (needs matplotlib)")


def run(args: argparse.Namespace) -> int:
    """Print the cost, the assumptions and the plans; exit 0."""
    given = assumptions(args)
    try:
        sizes = [int(text) for text in args.developers.split(",")]
    except ValueError:
        raise BadRequestError(
            f"--developers takes whole numbers with commas between, not {args.developers!r}"
        ) from None
    if min(sizes) < 1:
        raise BadRequestError("--developers must be at least 1")
    drawing = speed.pyplot() if args.plot else None
    console = speed.wide(100)
    cost = from_json(args.cost) if args.cost else measure(args.device, args.model, int(given.cores))
    checks: list[dict[str, Any]] = []
    if args.check:
        from engine.bench.capacity_check import check, show

        checks, cost = check(cost, args)
        show(console, checks)
    plans = [plan(size, cost, given) for size in sizes]
    show_plans(console, plans, cost, given)
    figures = {"cost": asdict(cost), "assumptions": asdict(given), "plans": [asdict(p) for p in plans], "check": checks}
    speed.write(args.json, json.loads(json.dumps(figures)))
    if args.plot:
        draw(drawing, args.plot, cost, given, plans, checks)
    return 0


def assumptions(args: argparse.Namespace) -> Assumptions:
    """Those of the command line; `BadRequestError` for what makes no sense."""
    for name in ("answered_here", "cold", "mean_load"):
        if not 0 <= getattr(args, name) <= 1:
            raise BadRequestError(f"--{name.replace('_', '-')} is a share, from 0 to 1")
    if not 0 < args.utilisation < 1:
        raise BadRequestError("--utilisation must lie between 0 and 1: at 1, queues grow without end")
    for name in ("requests", "wait_ms", "core_hour", "cores"):
        if getattr(args, name) <= 0:
            raise BadRequestError(f"--{name.replace('_', '-')} must be above 0")
    return Assumptions(
        args.requests,
        args.answered_here,
        args.cold,
        args.utilisation,
        args.wait_ms / 1e3,
        args.mean_load,
        args.core_hour,
        args.gpu_hour,
        args.cores,
        args.gpus,
    )


def show_plans(console: Console, plans: list[Plan], cost: Cost, given: Assumptions) -> None:
    """The figures with what they rest on."""
    service, cv = cost.mixed(given.cold)
    console.print(
        f"Measured ({cost.about}): {cost.warm * 1e3:.0f} ms a request with a cached context, {cost.cold * 1e3:.0f} ms "
        f"without; {service * 1e3:.0f} ms at {given.cold:.0%} without (cv {cv:.2f}); around the engine "
        + (f"{cost.around * 1e3:.1f} processor ms" if cost.around else "not measured: see --check"),
        soft_wrap=True,
    )
    console.print(
        f"Assumed: {given.requests:g} requests a developer and hour at the peak, {given.answered_here:.0%} answered in "
        f"the editor; a replica has {given.cores:g} cores and {given.gpus:g} GPUs, at ${given.core_hour:g} and "
        f"${given.gpu_hour:g} an hour; utilisation at most {given.utilisation:.0%}, 95 in 100 wait at most "
        f"{given.wait * 1e3:.0f} ms; on average {given.mean_load:.0%} of the peak runs.",
        soft_wrap=True,
    )
    table = Table(title="M/M/c with Allen and Cunneen's correction")
    columns = ("developers", "calls/s", "replicas", "busy", "wait p95", "$/h peak", "$/month", "each")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for p in plans:
        table.add_row(
            f"{p.developers:,}",
            f"{p.arrivals:,.1f}",
            f"{p.replicas:,}",
            f"{p.utilisation:.0%}",
            f"{p.wait_p95 * 1e3:.0f} ms",
            f"{p.hour:,.2f}",
            f"{p.month:,.0f}",
            f"${p.month_each:.3f}",
        )
    console.print(table)


def draw(
    pyplot: Any, path: Path, cost: Cost, given: Assumptions, plans: list[Plan], checks: list[dict[str, Any]]
) -> None:
    """Replicas and money by developers; latency by utilisation, with what the cluster measured."""
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(14, 4))
    sizes = sorted({round(10 ** (n / 8)) for n in range(8, 49)} | {p.developers for p in plans})
    curve = [plan(size, cost, given) for size in sizes]
    left.plot(sizes, [p.replicas for p in curve])
    left.scatter([p.developers for p in plans], [p.replicas for p in plans])
    left.set(title="replicas at the peak", xlabel="developers", xscale="log", yscale="log")
    middle.plot(sizes, [p.month_each for p in curve])
    middle.scatter([p.developers for p in plans], [p.month_each for p in plans])
    middle.set(title="dollars a developer and month", xlabel="developers", xscale="log", yscale="log")
    service, cv = cost.mixed(given.cold)
    shares = [n / 100 for n in range(1, 91)]
    for replicas in (1, 4, 16):
        waits = [waiting(u * replicas / service, service, cv, replicas)[0] for u in shares]
        right.plot(shares, [(service + w) * 1e3 for w in waits], label=f"{replicas} replica{'s' * (replicas > 1)}")
    if checks:
        right.scatter(
            [c["utilisation"] for c in checks],
            [c["latency_ms"] for c in checks],
            color="black",
            zorder=3,
            label=f"measured, {checks[0]['replicas']}",
        )
    right.set(title="mean latency by utilisation", xlabel="utilisation", ylabel="ms", ylim=(0, service * 1e3 * 6))
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
