from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import EngineUnavailableError
from engine.service.client import EngineClient
from engine.service.control import stop_engines
from engine.service.options import EngineOptions
from engine.service.server import EngineServer
from tests.engine.tiny import LLAMA, write_model
from tests.service.stand_in import StandIn


@pytest.fixture
def folder() -> Iterator[Path]:
    """A runtime folder of the test's own, with a path short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="remask-", dir="/tmp" if Path("/tmp").is_dir() else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def options(folder: Path) -> EngineOptions:
    return EngineOptions(device="cpu", runtime_folder=str(folder), log_file=str(folder / "engine.log"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real, untrained model folder that loads in a moment: for tests that are about processes, not suggestions."""
    folder = tmp_path_factory.mktemp("tiny")
    return str(write_model(folder, LLAMA, vocab_size=49_152, tie_word_embeddings=True))


@pytest.fixture
def tiny(options: EngineOptions, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineOptions:
    """Options for real engine processes with a tiny model, and a cache that is not the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return replace(options, model=tiny_model, idle_minutes=1.0)


Serve = Callable[..., Awaitable[EngineServer]]


@pytest.fixture
async def serve(options: EngineOptions) -> AsyncIterator[Serve]:
    """Starts servers in this process, with a stand-in for the engine; sees that they leave."""
    running: list[tuple[EngineServer, asyncio.Task[str]]] = []

    async def start(
        engine: StandIn | Callable[[str], StandIn], user: int | None = None, **changes: object
    ) -> EngineServer:
        load = (lambda device: engine) if isinstance(engine, StandIn) else engine
        server = EngineServer(replace(options, **changes), load, user)  # type: ignore[arg-type]
        listening = asyncio.Event()
        task = asyncio.create_task(server.run(listening.set))
        await asyncio.wait([task, asyncio.create_task(listening.wait())], return_when=asyncio.FIRST_COMPLETED)
        running.append((server, task))
        return server

    yield start
    for server, task in running:
        server.leave("the test is over")
        with contextlib.suppress(Exception):
            await asyncio.wait_for(task, 10)


@pytest.fixture
async def clients() -> AsyncIterator[Callable[..., EngineClient]]:
    """Makes clients; afterwards closes them and ends the engine processes they started."""
    made: list[EngineClient] = []

    def make(options: EngineOptions, **arguments: object) -> EngineClient:
        made.append(EngineClient(options, **arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for client in made:
        await client.close()
    for folder in {client.options.runtime_folder for client in made}:
        with contextlib.suppress(EngineUnavailableError):  # a test of folders that cannot be used
            await stop_engines(EngineOptions(runtime_folder=folder))
