"""Shared: one Ray cluster of two nodes with a tiny model on two replicas; tests that break things start their own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.team import Team

# Without the extra only what needs no Ray is collected; `make test-cluster` installs it and runs everything.
NEEDS_RAY = [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_without_ray.py"]
collect_ignore = NEEDS_RAY if find_spec("ray") is None else []


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.engine.tiny import LLAMA, write_model

    return write_model(tmp_path_factory.mktemp("tiny"), LLAMA | {"vocab_size": 49_152})


@pytest.fixture(scope="module")
def team(tiny_model: Path) -> Iterator[Team]:
    from tests.cluster.team import Team

    with Team(model=str(tiny_model), replicas=2) as team:
        yield team


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "ignore:Using extra keyword arguments on `Field`:DeprecationWarning")
