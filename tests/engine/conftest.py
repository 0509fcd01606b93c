from __future__ import annotations

import pytest

from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose


@pytest.fixture(scope="session")
def exact(checkpoint: Checkpoint) -> Denoiser:
    """The packaged model in single precision: what int8 rounds otherwise on another processor is the same here."""
    return Denoiser(checkpoint, choose("cpu"), precision="fp32")
