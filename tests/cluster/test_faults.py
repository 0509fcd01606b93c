"""kill -9 of each part, under load: every request is answered or fails by its deadline, and suggestions resume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.load import RESUME_SECONDS, breaking
from tests.cluster.team import Team

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def large_team(tiny_model: Path) -> Iterator[Team]:
    with Team(model=str(tiny_model), replicas=3) as team:
        yield team


async def test_a_killed_replica(large_team: Team) -> None:
    """Editors keep their connections; what ran there is asked again of another, or answered with nothing."""
    account, gap = await breaking(large_team, lambda: large_team.kill("engine"))
    assert gap < RESUME_SECONDS
    assert account.broken == 0
    assert sum(account.errors.values()) <= 12


async def test_a_killed_ingress(large_team: Team) -> None:
    _, gap = await breaking(large_team, lambda: large_team.kill("ingress"))
    assert gap < RESUME_SECONDS


async def test_a_killed_proxy(large_team: Team) -> None:
    _, gap = await breaking(large_team, lambda: large_team.kill("ProxyActor"))
    assert gap < RESUME_SECONDS


async def test_a_killed_controller_is_not_noticed(large_team: Team) -> None:
    account, gap = await breaking(large_team, lambda: large_team.kill("ServeController"))
    assert gap < RESUME_SECONDS
    assert account.broken == 0
