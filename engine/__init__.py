"""Remask's engine: a local block-diffusion denoiser for code, with a parser in the loop."""

from engine.core import Engine, load
from engine.errors import (
    BadRequestError,
    CancelledError,
    EngineUnavailableError,
    ModelError,
    RemaskError,
)
from engine.types import Completion, Edit, Repair

__all__ = [
    "BadRequestError",
    "CancelledError",
    "Completion",
    "Edit",
    "Engine",
    "EngineUnavailableError",
    "ModelError",
    "RemaskError",
    "Repair",
    "load",
]
