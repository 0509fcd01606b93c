"""The capacity model against queueing theory's own figures and a simulated queue; its command's words."""

from __future__ import annotations

import heapq
import json
import math
import random
import sys
from pathlib import Path

import pytest

from engine.bench.capacity import Assumptions, erlang_c, plan, waiting
from engine.bench.capacity_cost import Cost, from_json
from engine.cli.main import main
from engine.errors import BadRequestError

COST = Cost(warm=0.09, cold=0.4, warm_sd=0.05, cold_sd=0.1, around=0.01, about="made up for a test")


def simulated(arrivals: float, service: float, replicas: int, count: int = 200_000) -> tuple[float, float]:
    """Mean and 95th percentile of the wait in a first-come queue with exponential times."""
    dice = random.Random(1)
    free = [0.0] * replicas
    now, waits = 0.0, []
    for _ in range(count):
        now += dice.expovariate(arrivals)
        start = max(now, heapq.heappop(free))
        waits.append(start - now)
        heapq.heappush(free, start + dice.expovariate(1 / service))
    waits = sorted(waits[count // 10 :])
    return sum(waits) / len(waits), waits[int(0.95 * len(waits))]


def test_erlang_c_is_that_of_the_tables():
    assert erlang_c(0.5, 1) == pytest.approx(0.5)
    assert erlang_c(2.0, 3) == pytest.approx(4 / 9)
    assert erlang_c(4_000.0, 5_000) < 1e-6, "and large numbers do not overflow"


@pytest.mark.parametrize(("load", "replicas"), [(0.6, 1), (1.8, 3), (7.0, 10)])
def test_waits_are_those_of_a_simulated_queue(load, replicas):
    service = 0.1
    mean, late = waiting(load / service, service, 1.0, replicas)
    seen_mean, seen_late = simulated(load / service, service, replicas)
    assert mean == pytest.approx(seen_mean, rel=0.15)
    assert late == pytest.approx(seen_late, rel=0.15)


def test_even_service_times_halve_the_wait_and_too_much_load_never_ends():
    even, spread = waiting(6.0, 0.1, 0.0, 1), waiting(6.0, 0.1, 1.0, 1)
    assert even[0] == pytest.approx(spread[0] / 2)
    assert waiting(10.0, 0.1, 1.0, 1) == (math.inf, math.inf)


def test_a_mix_has_the_mean_and_spread_of_its_parts():
    assert COST.mixed(0.0) == (pytest.approx(0.09), pytest.approx(0.05 / 0.09))
    mean, cv = COST.mixed(0.5)
    assert mean == pytest.approx(0.245)
    assert cv * mean == pytest.approx(math.sqrt((0.09**2 + 0.05**2 + 0.4**2 + 0.1**2) / 2 - 0.245**2))


def test_a_plan_holds_its_limits_and_no_smaller_one_does():
    given = Assumptions()
    service, cv = COST.mixed(given.cold)
    for developers in (10, 1_000, 100_000):
        p = plan(developers, COST, given)
        assert p.utilisation <= given.utilisation
        assert p.wait_p95 <= given.wait
        less = p.replicas - 1
        assert less == 0 or (
            p.arrivals * service / less > given.utilisation or waiting(p.arrivals, service, cv, less)[1] > given.wait
        )


def test_money_grows_with_people_prices_and_misses():
    base = plan(100_000, COST, Assumptions())
    assert plan(1_000_000, COST, Assumptions()).month == pytest.approx(10 * base.month, rel=0.02)
    assert plan(100_000, COST, Assumptions(core_hour=0.08)).hour == pytest.approx(2 * base.hour)
    assert plan(100_000, COST, Assumptions(cold=0.5)).replicas > 1.5 * base.replicas
    assert plan(100_000, COST, Assumptions(answered_here=0.65)).replicas == pytest.approx(base.replicas / 2, abs=1)


def test_costs_are_read_from_what_was_measured_before(tmp_path: Path, capsys):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    about = {"model": "m", "device": "cpu", "threads": 2}
    first.write_text(json.dumps({"about": about, "breakdown": [["prefill", 300.0, 9.0], ["wall clock", 420.0, 80.0]]}))
    assert from_json(first).warm == pytest.approx(0.08)
    assert main(["bench", "capacity", "--cost", str(first), "--developers", "1000", "--json", str(second)]) == 0
    assert from_json(second) == from_json(first)
    said = capsys.readouterr().out
    assert "bench latency's medians" in said
    assert "1,000" in said
    parts = {"engines_seconds": 30.0, "ingress_seconds": 2.0, "proxy_seconds": 1.0}
    row = {"router": "prefix", "replicas": 2, "editors": 64, "answered": 300, "hit_rate": 0.9} | parts
    first.write_text(json.dumps([row, row | {"router": "default", "answered": 100}]))
    cost = from_json(first)
    assert cost.mixed(0.1) == (pytest.approx(0.1), pytest.approx(1.0))
    assert cost.around == pytest.approx(0.01)
    first.write_text("{}")
    with pytest.raises(BadRequestError, match="holds no costs"):
        from_json(first)
    with pytest.raises(BadRequestError, match="cannot read"):
        from_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--utilisation", "1"], "queues grow without end"),
        (["--cold", "2"], "is a share"),
        (["--core-hour", "0"], "must be above 0"),
        (["--developers", "many"], "takes whole numbers"),
        (["--developers", "0"], "at least 1"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_measured(words, said, capsys):
    assert main(["bench", "capacity", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.train  # it brings matplotlib
def test_the_picture_is_drawn(tmp_path: Path):
    costs, picture = tmp_path / "costs.json", tmp_path / "capacity.png"
    about = {"model": "m", "device": "cpu", "threads": 2}
    costs.write_text(json.dumps({"about": about, "breakdown": [["wall clock", 420.0, 80.0]]}))
    assert main(["bench", "capacity", "--cost", str(costs), "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", [["capacity"], ["latency"]])
def test_a_picture_without_matplotlib_is_refused_before_anything_is_measured(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", *command, "--plot", str(tmp_path / "x.png")]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
