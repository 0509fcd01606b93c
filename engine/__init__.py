"""Remask's engine: a local block-diffusion denoiser for code, with a parser in the loop.

`Engine` and `load` are imported when they are first used: a language server wants the plain data and the client of an
engine process, not a second runtime in its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import (
    BadRequestError,
    CancelledError,
    EngineUnavailableError,
    ModelError,
    RemaskError,
)
from engine.types import Completion, Edit, Repair

if TYPE_CHECKING:
    from engine.core import Engine, load

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


def __getattr__(name: str) -> Any:
    if name in ("Engine", "load"):
        from engine import core

        return getattr(core, name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
