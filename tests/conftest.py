from __future__ import annotations

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
