from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.checkpoint import PACKAGED
from engine.errors import EngineUnavailableError
from engine.service.client import EngineClient
from engine.service.control import stop_engines
from engine.service.options import EngineOptions
from engine.service.server import EngineServer
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
    where = tmp_path_factory.mktemp("tiny")
    config = json.loads((PACKAGED / "config.json").read_text())
    config |= {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "intermediate_size": 128,
    }
    (where / "config.json").write_text(json.dumps(config))
    shutil.copy(PACKAGED / "tokenizer.json", where)
    random = np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], 64)}
    for i in range(2):
        at = f"model.layers.{i}."
        shapes |= {at + f"self_attn.{name}_proj.weight": (rows, 64) for name, rows in (("q", 64), ("k", 32), ("v", 32))}
        shapes |= {at + "self_attn.o_proj.weight": (64, 64), at + "mlp.down_proj.weight": (64, 128)}
        shapes |= {at + f"mlp.{name}_proj.weight": (128, 64) for name in ("gate", "up")}
    tensors = {name: random.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    norms = ["model.norm.weight"]
    norms += [f"model.layers.{i}.{part}_layernorm.weight" for i in range(2) for part in ("input", "post_attention")]
    tensors |= {name: np.ones(64, np.float32) for name in norms}
    save_file(tensors, str(where / "model.safetensors"))
    return str(where)


@pytest.fixture
def tiny(options: EngineOptions, tiny_model: str) -> EngineOptions:
    """Options for real engine processes with a tiny model."""
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
