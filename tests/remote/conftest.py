from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from engine.remote.team import TeamClient, TeamOptions
from engine.service.options import EngineOptions
from tests.remote.ingress import TOKEN
from tests.service.conftest import folder, options, serve

__all__ = ["folder", "options", "serve"]  # fixtures


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("REMASK_TOKEN", TOKEN)
    return TOKEN


@pytest.fixture
async def team(options: EngineOptions) -> AsyncIterator[Callable[..., TeamClient]]:
    """Makes clients of a team's engine, whose states come into `states`; closes them afterwards."""
    made: list[TeamClient] = []

    def make(url: str, states: list[Any] | None = None, engine: EngineOptions = options, **more: Any) -> TeamClient:
        note = states.append if states is not None else None
        made.append(TeamClient(TeamOptions(url, **more), engine, note))
        return made[-1]

    yield make
    for client in made:
        await client.close()
