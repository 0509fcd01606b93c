"""A node that goes without a word, with replicas on it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cluster.load import RESUME_SECONDS, breaking
from tests.cluster.team import Team, is_running, parent

pytestmark = pytest.mark.cluster


def spread(team: Team) -> bool:
    """Whether either node has a replica and an ingress."""
    return all(len({parent(process) for process in team.actors(what)}) == 2 for what in ("engine", "ingress"))


async def test_a_killed_node_and_nothing_is_left_behind(tiny_model: Path) -> None:
    """The worker node with its replicas, at once and without a word."""
    with Team(model=str(tiny_model), replicas=2, ingresses=2) as team:
        everything = team.processes()
        for _ in range(6):  # where Ray places an actor is not ours to say
            if spread(team):
                break
            await asyncio.to_thread(team.deploy_anew)
            everything |= team.processes()
        assert spread(team), "one node has every replica, or every ingress"

        _, gap = await breaking(team, lambda: team.cluster.remove_node(team.workers[0], allow_graceful=False))
        assert gap < RESUME_SECONDS
        everything |= team.processes()
    assert not [p for p in everything if is_running(p)]
