"""`TeamClient`: the team's engine, and this machine's in its place while it cannot be reached, if so set."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from engine.errors import EngineUnavailableError, RemaskError
from engine.remote.address import SetupError
from engine.remote.caller import RemoteClient
from engine.service.client import EngineClient, EngineState, Trace
from engine.service.options import EngineOptions
from engine.types import (
    CompleteAnswer,
    CompleteRequest,
    RepairAnswer,
    RepairRequest,
    RewriteAnswer,
    RewriteRequest,
)

LOADING_SECONDS = 10.0  # an ingress may have no engine for so long before this machine's answers
LAST_ANSWERS_SECONDS = 60.0  # for what this machine's engine was asked before the team's came back

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class TeamOptions:
    """Where the team's engine is. `fallback`: this machine's engine answers while it cannot be reached."""

    url: str
    fallback: bool = True
    plaintext: bool = False


class TeamClient:
    """What an `EngineClient` does, from one of two engines; its state says which.

    A mistake of the set-up (a wrong address, no token, a missing package) is an error and no reason to fall back: who
    set an address wants to know.
    """

    def __init__(
        self,
        team: TeamOptions,
        options: EngineOptions | None = None,
        on_state: Callable[[EngineState], None] | None = None,
    ) -> None:
        self.options = options or EngineOptions()
        self.state = EngineState("stopped", engine="team", host=team.url)
        self._on_state = on_state
        self._fallback = team.fallback
        self._remote = RemoteClient(team.url, team.plaintext, self.options.memory, self._on_remote)
        self._local: EngineClient | None = None
        self._trouble = ""
        self._local_calls: set[asyncio.Future[Any]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def start(self) -> None:
        """Call the team's engine; errors are told as states."""
        await self._remote.start()

    async def complete(
        self,
        request: CompleteRequest,
        *,
        document: str | None = None,
        automatic: bool = False,
        trace: Trace | None = None,
    ) -> CompleteAnswer:
        """As `EngineClient.complete`."""
        return await self._ask(lambda e: e.complete(request, document=document, automatic=automatic, trace=trace))

    async def repair(self, request: RepairRequest, *, document: str | None = None) -> RepairAnswer:
        """As `EngineClient.repair`."""
        return await self._ask(lambda e: e.repair(request, document=document))

    async def rewrite(self, request: RewriteRequest, *, document: str | None = None) -> RewriteAnswer:
        """As `EngineClient.rewrite`."""
        return await self._ask(lambda e: e.rewrite(request, document=document))

    async def warm(self, request: CompleteRequest, *, document: str | None = None) -> None:
        """As `EngineClient.warm`."""
        await self._ask(lambda e: e.warm(request, document=document))

    async def remember(self, path: str, text: str, unsaved: bool = False) -> None:
        """Keep a file for this machine's engine, and tell it if it answers now; the team's is sent no files."""
        await self._remote.remember(path, text, unsaved)
        if self._local is not None:
            await self._local.remember(path, text, unsaved)

    async def forget(self, path: str) -> None:
        """Drop a file."""
        await self._remote.forget(path)
        if self._local is not None:
            await self._local.forget(path)

    def drop(self, path: str) -> None:
        """As `EngineClient.drop`."""
        self._remote.drop(path)
        if self._local is not None:
            self._local.drop(path)

    @property
    def remembered(self) -> Mapping[str, str]:
        """Texts of the files that this client had remembered, by path."""
        return self._remote.remembered

    async def stats(self) -> dict[str, Any]:
        """Counters of the engine that answers now."""
        return await self._ask(lambda e: e.stats())

    async def ping(self) -> dict[str, Any]:
        """As `EngineClient.ping`."""
        return await self._ask(lambda e: e.ping())

    async def restart(self) -> None:
        """Call the team's engine anew; when it cannot be reached, restart the one that answers in its place."""
        try:
            await self._remote.restart()
        except RemaskError:
            if self._local is None:
                raise
            await self._local.restart()

    async def close(self) -> None:
        """End both connections."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._remote.close()
        if self._local is not None:
            await self._local.close()
        self._become(replace(self.state, state="stopped", message=""))

    async def _ask(self, ask: Callable[[EngineClient], Awaitable[Answer]]) -> Answer:
        if self._local is None:
            try:
                return await ask(self._remote)
            except EngineUnavailableError:
                if self._local is None:
                    raise
        call = asyncio.ensure_future(ask(self._local))
        self._local_calls.add(call)
        try:
            return await call
        finally:
            self._local_calls.discard(call)

    # Which of the two.

    def _on_remote(self, state: EngineState) -> None:
        if self._closed:
            return
        state = replace(state, engine="team", host=self._remote.host)
        if state.state == "ready":
            self._come_back()
            self._become(state)
        elif state.state == "failed":
            self._trouble = state.message
            if self._fallback and not isinstance(self._remote.failure, SetupError):
                self._fall_back()
            else:
                self._become(state)
        elif self._local is None:
            # Lost a moment ago, or never connected yet: whoever asks now waits for the attempt under way.
            self._become(replace(state, state="starting"))
            if state.state == "loading" and self._fallback:
                asyncio.get_running_loop().call_later(LOADING_SECONDS, self._still_loading)

    def _still_loading(self) -> None:
        """The ingress is there, and no engine behind it."""
        if not self._closed and self._local is None and self._remote.state.state == "loading":
            self._trouble = f"{self._remote.host} has no engine that is ready"
            self._fall_back()

    def _fall_back(self) -> None:
        if self._local is None:
            self._local = EngineClient(self.options, on_state=self._on_local)
            self._remote.hand_over(self._local)
            self._in_background(self._local.start())
        self._on_local(self._local.state)

    def _come_back(self) -> None:
        if self._local is not None:
            local, self._local = self._local, None
            self._in_background(self._hang_up(local))

    async def _hang_up(self, local: EngineClient) -> None:
        if self._local_calls:
            await asyncio.wait(list(self._local_calls), timeout=LAST_ANSWERS_SECONDS)
        await local.close()

    def _on_local(self, state: EngineState) -> None:
        if self._local is None or self._closed:
            return  # its last words
        said = f"{self._trouble}; this machine's engine answers instead"
        if state.message:
            said += f" ({state.message})"
        self._become(replace(state, message=said, engine="fallback", host=self._remote.host))

    def _become(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            if self._on_state is not None:
                self._on_state(state)

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
