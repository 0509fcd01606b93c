from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint import Checkpoint
from engine.core import Engine
from engine.denoiser import Denoiser
from engine.device import choose
from engine.vocabulary import Vocabulary

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return Checkpoint()


@pytest.fixture(scope="session")
def vocabulary(checkpoint: Checkpoint) -> Vocabulary:
    return Vocabulary(checkpoint.tokenizer_file)


@pytest.fixture(scope="session")
def denoiser(checkpoint: Checkpoint) -> Denoiser:
    """The packaged model as it runs on a processor."""
    return Denoiser(checkpoint, choose("cpu"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine(device="cpu", memory=False) as e:
        yield e


@pytest.fixture(scope="session")
def real_code() -> str:
    """A real file of this project."""
    return (ROOT / "engine" / "checkpoint.py").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def engine_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime folder of our own: all servers and editors under test share the one engine process that lives there."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REMASK_RUNTIME_DIR", str(home / "run"))
        patch.setenv("REMASK_COUNTERS", str(home / "counters.jsonl"))
        yield home
        subprocess.run([sys.executable, "-m", "engine.cli.main", "engine", "--stop"], env=os.environ, check=False)
