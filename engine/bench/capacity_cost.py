"""What a request costs a replica: service times measured in this process, or read from what was measured before."""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from engine.bench import speed
from engine.errors import BadRequestError
from engine.types import CompleteRequest

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
    """Complete at real places, then key by key, with the threads of one replica: half a minute at most.

    One request runs at a time, so its wall-clock time is what it keeps the replica busy.
    """
    os.environ["REMASK_THREADS"] = str(max(1, threads))
    from engine.core import Engine

    cold: list[float] = []
    warm: list[float] = []
    with Engine(device, model=model, memory=False) as engine:
        for number, place in enumerate(places(PLACES + 1, seed=5)):
            engine.caches.clear()
            for key in range(KEYS + 1):
                request = CompleteRequest(place.prefix + place.middle[:key], place.suffix, "python")
                started = time.perf_counter()
                engine.run_complete(request)
                spent = time.perf_counter() - started
                if number:  # the first one warms up
                    (warm if key else cold).append(spent)
        about = f"{engine.model} on {engine.device}, {max(1, threads)} threads, {len(cold)} places"
    return Cost(
        statistics.mean(warm), statistics.mean(cold), statistics.stdev(warm), statistics.stdev(cold), 0.0, about
    )


def places(count: int, seed: int) -> list[speed.Cursor]:
    """Cursors with room to type."""
    return [cursor for cursor in speed.cursors(4 * count, seed) if len(cursor.middle) > LONG][:count]


def from_json(path: Path) -> Cost:
    """The cost in a file of `bench capacity --json`, or the medians of `bench latency --json`.

    Raises `BadRequestError` for anything else.
    """
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if "cost" in raw:
            return Cost(**{f.name: raw["cost"][f.name] for f in fields(Cost)})
        about = raw["about"]
        _, cold, warm = next(row for row in raw["breakdown"] if row[0] == "wall clock")
        where = f"{about['model']} on {about['device']}, {about['threads']} threads, bench latency's medians"
        return Cost(warm / 1e3, cold / 1e3, 0.0, 0.0, 0.0, where)
    except OSError as failure:
        raise BadRequestError(f"cannot read {path}: {failure.strerror or failure}") from None
    except (ValueError, KeyError, TypeError, StopIteration) as wrong:
        raise BadRequestError(
            f"{path} holds no costs ({type(wrong).__name__}): make one with `remask bench capacity --json FILE`"
        ) from None
