"""`RemoteClient`: an `EngineClient` whose engine is a team's, found by its address and called again when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from engine.errors import BadRequestError, EngineUnavailableError, RemaskError
from engine.remote import token
from engine.remote.address import Address
from engine.remote.dial import RefusedError, TokenRefusedError, dial, ended
from engine.remote.wire import SocketWire
from engine.service.backoff import MOST_SECONDS
from engine.service.client import INVOKED_SECONDS, EngineClient, EngineState, Trace, seconds_left
from engine.service.frames import Message
from engine.service.link import Link, LinkLostError
from engine.service.messages import Request
from engine.service.options import EngineOptions

GRACE_SECONDS = 1.0  # the engine answers by then after a deadline, whatever dies there
TOO_LARGE = 1009
UNREADABLE = 4400
SPREAD = 0.25  # of a back-off, so that an engine that comes back is not called by everybody at once


class RemoteClient(EngineClient):
    """Keeps calling in the background, with back-off, from the first request or `start` until it is closed.

    Files are kept for this machine's engine and never sent, whatever the team's says of itself. Neither is the place of
    the file that a request is about: a name that says nothing is enough to tell documents apart.
    """

    def __init__(
        self, address: str, plaintext: bool, memory: bool = True, on_state: Callable[[EngineState], None] | None = None
    ) -> None:
        super().__init__(EngineOptions(memory=memory), on_state)
        self.host = address
        self.failure: RemaskError | None = None  # why there is no connection
        self._url, self._plaintext = address, plaintext
        self._salt = secrets.token_bytes(32)
        self._wire: SocketWire | None = None
        self._sent: str | None = None  # the token of the last call
        self._refused: tuple[str | None, TokenRefusedError] | None = None
        self._again: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a request would reach the engine now."""
        return self._link is not None and self._link.alive

    async def remember(self, path: str, text: str, unsaved: bool = False) -> None:
        """Keep a file."""
        if self.options.memory:
            self.keep(path, text, unsaved)

    async def forget(self, path: str) -> None:
        """Drop a file."""
        self._drop(path)

    async def restart(self) -> None:
        """Hang up and call again: a team's engine is not one client's to restart. Raises what connecting raises."""
        self._backoff.reset()
        self._refused = None
        if self._link is not None:
            link, self._link = self._link, None
            link.on_end = lambda: None
            link.close()
        await self._connected()

    async def close(self) -> None:
        """End the connection and the calling."""
        wire = self._wire
        await super().close()
        if wire is not None:
            await wire.closed()

    async def _invoke(self, message: Message, deadline: float | None, trace: Trace | None = None) -> Any:
        """Ask; once more when the connection ends under the request, as long as its deadline allows."""
        end = time.monotonic() + seconds_left(deadline, INVOKED_SECONDS)
        try:
            async with asyncio.timeout(max(end - time.monotonic(), 0.0) + GRACE_SECONDS):
                for _ in (1, 2):
                    link = await self._connected()
                    try:
                        return await link.call(message | {"deadline": max(end - time.monotonic(), 0.0)}, trace)
                    except LinkLostError:
                        if self._wire is not None and self._wire.code in (TOO_LARGE, UNREADABLE):
                            raise BadRequestError(str(ended(self.host, self._wire))) from None
        except TimeoutError:
            raise EngineUnavailableError(f"{self.host} did not answer in time") from None
        raise EngineUnavailableError(f"the connection to {self.host} was lost twice under this request")

    async def _connect(self) -> Link:
        try:
            return await super()._connect()
        except RemaskError:
            self._call_again()
            raise

    async def _open(self) -> Link:
        address = Address.parse(self._url, self._plaintext)
        self.host = address.host
        if self.state.state != "failed":
            self._become(EngineState("starting", f"connecting to {address.host}"))
        found = await asyncio.to_thread(token.needed, address)
        self._sent = found.text if found else None
        if self._refused and self._refused[0] == self._sent:
            raise self._refused[1]
        try:
            self._wire, welcome = await dial(address, found)
        except TokenRefusedError as refused:
            self._refused = (self._sent, refused)
            raise
        self.failure = None
        return Link(self._wire, welcome)

    def _failed(self, failure: RemaskError) -> None:
        self.failure = failure
        wait = failure.wait if isinstance(failure, RefusedError) else 0.0
        self._backoff.failure(min(wait, 10 * MOST_SECONDS))

    def _remembers(self, link: Link) -> bool:
        return False

    def _about(self, request: Request, document: str | None) -> Message:
        said = super()._about(request, document) | {"path": None}
        if document is not None:
            # Requests of one document go to one replica, popup and rewrites among them: what is behind # stays apart.
            said["document"] = "#".join(self._nameless(part) for part in document.split("#", 1))
        return said

    def _nameless(self, name: str) -> str:
        """Says nothing to who does not have our salt, and the same each time."""
        return hashlib.blake2b(name.encode("utf-8", "replace"), key=self._salt, digest_size=16).hexdigest()

    def _on_end(self) -> None:
        link, self._link = self._link, None
        self._ready.clear()
        if self._closed or link is None or self._wire is None:
            return
        why = ended(self.host, self._wire)
        self._trouble = str(why)
        self._failed(why)
        if isinstance(why, TokenRefusedError):
            self._refused = (self._sent, why)
            self._become(EngineState("failed", str(why)))
        else:
            self._become(EngineState("stopped", str(why)))
        self._call_again()

    def _call_again(self) -> None:
        if self._closed or (self._again is not None and not self._again.done()):
            return
        self._again = asyncio.get_running_loop().create_task(self._keep_calling())
        self._tasks.add(self._again)
        self._again.add_done_callback(self._tasks.discard)

    async def _keep_calling(self) -> None:
        while not self.connected:
            await asyncio.sleep(self._backoff.left * (1 + SPREAD * random.random()))
            with contextlib.suppress(RemaskError):
                await self._connected()
