"""What a client wants of an engine process, and what it costs nothing to say twice: both sides build it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Transport = Literal["auto", "unix", "tcp"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to find an engine process, or to start it.

    `device`, `model` and `memory` belong to the engine: clients that differ in them get engines of their own. The rest
    is up to whoever starts the process first. `idle_minutes` without a request and the engine leaves; 0 means never.
    `runtime_folder` holds sockets and locks; by default the user's own (docs/service.md).
    """

    device: str = "auto"
    model: str | None = None
    idle_minutes: float = 15.0
    memory: bool = True
    log_file: str | None = None
    log_level: str = "info"
    transport: Transport = "auto"
    runtime_folder: str | None = None

    @property
    def model_folder(self) -> str | None:
        """The model's folder as one absolute path, however it was spelled; None for the packaged model."""
        return str(Path(self.model).expanduser().resolve()) if self.model else None

    def settings(self) -> dict[str, str | bool | None]:
        """What an engine must have been started with to serve this client."""
        return {"device": self.device, "model": self.model_folder, "memory": self.memory}

    def key(self, protocol: int, transport: str) -> str:
        """Ten hex digits that name the engine: one process for each protocol, transport and set of settings."""
        text = repr((protocol, transport, sorted(self.settings().items())))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]
