"""`remask bench cluster`, with a tiny model and few editors: what its figures mean, not how large they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster


def bench(model: Path, out: Path, *words: str) -> list[dict[str, float]]:
    full = [sys.executable, "-m", "engine.cli.main", "bench", "cluster", "--model", str(model), "--json", str(out)]
    done = subprocess.run([*full, *words], capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, float]] = json.loads(out.read_text())
    return rows


def test_it_measures_one_replica_two_and_the_default_router(tiny_model: Path, tmp_path: Path) -> None:
    rows = bench(tiny_model, tmp_path / "rows.json", "--editors", "8", "--seconds", "5")
    settings = [(row["replicas"], row["router"], row["lanes"]) for row in rows]
    assert settings == [(1, "prefix", 1), (1, "prefix", 4), (2, "prefix", 4), (2, "default", 4)]
    for row in rows:
        assert row["failed"] == 0
        assert row["answered"] > 0
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["per_engine_second"] > row["per_processor_second"] > 0
    assert rows[2]["hit_rate"] > 0.6  # of some twenty requests


def test_a_soak_prints_memory_by_part(tiny_model: Path, tmp_path: Path) -> None:
    rows = bench(tiny_model, tmp_path / "rows.json", "--editors", "4", "--soak", "0.2")
    assert rows[-1]["answered"] > 4
    assert rows[-1]["failed"] == 0
    assert min(rows[-1][part] for part in ("engines", "ingress", "proxy", "ray")) > 10
