from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from engine.checkpoint import Checkpoint
from engine.core import Engine
from engine.denoiser import Denoiser
from engine.device import choose
from engine.vocabulary import Vocabulary

ROOT = Path(__file__).parent.parent

# From four threads on, ONNX Runtime splits some sums by how many rows a pass has, and bits differ (docs/speed.md).
# Where tests run side by side, threads of one that wait for work would keep the other from its core.
THREADS = min(os.cpu_count() or 1, 2)
os.environ.setdefault("REMASK_THREADS", str(1 if "PYTEST_XDIST_WORKER" in os.environ else THREADS))

# How long an example takes depends on what else the machine does; in CI everybody gets the same examples.
settings.register_profile("remask", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("remask")


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
def engine_home() -> Iterator[Path]:
    """A runtime folder of our own: all servers and editors under test share the one engine process that lives there."""
    # Not below pytest's folder, whose path may be too long for a socket's.
    home = Path(tempfile.mkdtemp(prefix="remask-", dir="/tmp" if Path("/tmp").is_dir() else None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REMASK_RUNTIME_DIR", str(home / "run"))
        patch.setenv("REMASK_COUNTERS", str(home / "counters.jsonl"))
        yield home
        subprocess.run([sys.executable, "-m", "engine.cli.main", "engine", "--stop"], env=os.environ, check=False)
    shutil.rmtree(home, ignore_errors=True)
