"""What the editor's status line shows (`remask/status`, docs/protocol.md), and progress while the model loads."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from engine.service.client import EngineState
from lsp_server.pacing import Pacing

if TYPE_CHECKING:
    from lsp_server.server import Server

logger = logging.getLogger("remask.status")
METHOD = "remask/status"


class Status:
    """Tells the client about a state once, when it changes."""

    def __init__(self, server: Server, pacing: Pacing) -> None:
        self._server = server
        self._pacing = pacing
        self._engine = EngineState(state="stopped", message="", device=None, model=None)
        self._off = False
        self._paused = False
        self._partly_paused = False
        self._silent = ""
        self._told: dict[str, Any] = {}
        self._token: str | None = None

    def engine(self, state: EngineState) -> None:
        """The engine process is in a new state."""
        if state.state != self._engine.state:
            logger.info("engine: %s%s", state.state, f" ({state.message})" if state.message else "")
        self._engine = state
        self._progress(state)
        self.update()

    def set_off(self, off: bool, paused: bool, partly_paused: bool) -> None:
        """Remask was turned off, or paused, everywhere or in some languages, or the contrary."""
        self._off, self._paused, self._partly_paused = off, paused, partly_paused
        self.update()

    def silent(self, why: str) -> None:
        """Why nothing is suggested in the document that the person is in; empty when something may be."""
        self._silent = why
        self.update()

    def now(self) -> dict[str, Any]:
        """The status as it is sent."""
        engine = self._engine
        if self._off:
            state = "off"
        elif self._paused:
            state = "paused"
        elif engine.state == "failed":
            state = "error"
        elif engine.state in ("starting", "loading"):
            state = "loading"
        elif self._pacing.running:
            state = "thinking"
        else:
            state = "paused" if self._partly_paused else "ready"  # the other languages' troubles come first
        said = [self._silent] if state in ("ready", "thinking") and self._silent else []
        said += [engine.message] if engine.message else []
        median = self._pacing.median
        return {
            "state": state,
            "message": "; ".join(said),
            "device": engine.device,
            "model": engine.model,
            "medianMs": None if median is None else round(median * 1e3),
            "engine": engine.engine,
            "host": engine.host,
        }

    def update(self) -> None:
        """Tell the client what changed."""
        now = self.now()
        if now != self._told:
            self._told = now
            self._server.tell(METHOD, now)

    def _progress(self, state: EngineState) -> None:
        loading = state.state in ("starting", "loading")
        if loading and self._token is None and self._server.shows_progress:
            token = self._token = f"remask-{uuid.uuid4()}"
            self._server.session.spawn(self._begin(token))
        elif not loading and self._token is not None:
            token, self._token = self._token, None
            end = types.WorkDoneProgressEnd(message=state.message or state.state)
            if token in self._server.work_done_progress.tokens:
                self._server.work_done_progress.end(token, end)

    async def _begin(self, token: str) -> None:
        progress = self._server.work_done_progress
        await progress.create_async(token)
        progress.begin(token, types.WorkDoneProgressBegin(title="Remask", message="loading the model"))
        if self._token != token:  # it was ready before the client had its progress bar
            progress.end(token, types.WorkDoneProgressEnd())
