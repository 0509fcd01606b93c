from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.lsp.editor import Editor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def editor(tmp_path_factory: pytest.TempPathFactory, engine_home: Path) -> AsyncIterator[Editor]:
    """A session with a real server and a real engine, shared by a module's tests."""
    folder = tmp_path_factory.mktemp("workspace")
    settings = {
        "log": {"level": "debug"},
        "completion": {"timeoutMs": 30_000, "invokedTimeoutMs": 30_000, "alternatives": 2},
        "fixes": {"timeoutMs": 60_000},
        "memory": {"enable": False},
    }
    running = await Editor.start(folder, settings)
    yield running
    await running.stop()
