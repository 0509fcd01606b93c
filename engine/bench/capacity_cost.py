"""What a request costs a replica: service times measured in this process, or read from what was measured before."""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.bench import speed
from engine.errors import BadRequestError
from engine.types import CompleteRequest

if TYPE_CHECKING:
    from engine.core import Engine

PLACES = 16
KEYS = 8  # typed at each place behind the first request
LONG = 30  # characters still to be typed at a place


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a request keeps a replica busy, with its context cached and without; `*_sd` their deviations.

    `around` is processor seconds a request in the proxy and the ingress; 0 where it was not measured.
    """

    warm: float
    cold: float
    warm_sd: float
    cold_sd: float
    around: float
    about: str

    def mixed(self, cold: float) -> tuple[float, float]:
        """Mean and coefficient of variation of a mix, `cold` being the share without a cache."""
        mean = cold * self.cold + (1 - cold) * self.warm
        square = cold * (self.cold**2 + self.cold_sd**2) + (1 - cold) * (self.warm**2 + self.warm_sd**2)
        return mean, math.sqrt(max(square - mean * mean, 0.0)) / mean


def measure(device: str, model: str | None, threads: int) -> Cost:
    """Complete at real places, then type at all of them in turns, with the threads of one replica: half a minute.

    In turns, as a replica is asked by many: whatever an engine keeps of the last document alone helps nobody there. One
    request runs at a time. On a processor what counts is processor time, which others on the machine disturb less, as
    if it were spread evenly over the threads; on a GPU it is wall-clock time.
    """
    threads = max(1, threads)
    os.environ["REMASK_THREADS"] = str(threads)
    from engine.core import Engine

    cold: list[float] = []
    warm: list[float] = []
    with Engine(device, model=model, memory=False) as engine:
        engine.caches.limit = 2 * PLACES
        clock, share = (time.process_time, 1 / threads) if engine.device == "cpu" else (time.perf_counter, 1.0)
        first, *others = places(PLACES + 1, seed=5)
        _ask(engine, first, 0, clock)
        for key in range(KEYS + 1):
            (warm if key else cold).extend(share * _ask(engine, place, key, clock) for place in others)
        about = f"{engine.model} on {engine.device}, {threads} threads, {len(cold)} places"
    return Cost(
        statistics.mean(warm), statistics.mean(cold), statistics.stdev(warm), statistics.stdev(cold), 0.0, about
    )


def _ask(engine: Engine, place: speed.Cursor, key: int, clock: Callable[[], float]) -> float:
    request = CompleteRequest(place.prefix + place.middle[:key], place.suffix, "python")
    started = clock()
    engine.run_complete(request)
    return clock() - started


def places(count: int, seed: int) -> list[speed.Cursor]:
    """Cursors with room to type."""
    return [cursor for cursor in speed.cursors(4 * count, seed) if len(cursor.middle) > LONG][:count]


def from_json(path: Path) -> Cost:
    """The cost in a file that `--json` of `bench capacity`, `bench cluster` or `bench latency` wrote.

    `bench cluster` knows what an answered request of simulated editors costs, superseded ones and misses included, and
    nothing of the spread, which is taken to be exponential; `bench latency` knows medians. Raises `BadRequestError` for
    anything else.
    """
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(raw, list):
            return _from_cluster(raw)
        if "cost" in raw:
            return Cost(**{f.name: raw["cost"][f.name] for f in fields(Cost)})
        about = raw["about"]
        _, cold, warm = next(row for row in raw["breakdown"] if row[0] == "wall clock")
        where = f"{about['model']} on {about['device']}, {about['threads']} threads, bench latency's medians"
        return Cost(warm / 1e3, cold / 1e3, 0.0, 0.0, 0.0, where)
    except OSError as failure:
        raise BadRequestError(f"cannot read {path}: {failure.strerror or failure}") from None
    except (ValueError, KeyError, TypeError, StopIteration, ZeroDivisionError) as wrong:
        raise BadRequestError(
            f"{path} holds no costs ({type(wrong).__name__}): make one with `remask bench capacity --json FILE`"
        ) from None


def _from_cluster(rows: list[dict[str, Any]]) -> Cost:
    row = max((row for row in rows if row["router"] == "prefix"), key=lambda row: row["replicas"])
    each = row["engines_seconds"] / row["answered"]
    around = (row["ingress_seconds"] + row["proxy_seconds"]) / row["answered"]
    about = f"bench cluster, {row['editors']} editors on {row['replicas']} replicas, hit rate {row['hit_rate']:.2f}"
    return Cost(each, each, each, each, around, about)
