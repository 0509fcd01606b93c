"""One request on its way from the ingress to a replica and back, whatever dies meanwhile.

Serve chooses the replica, notices that it died and starts another. What is here is what an editor is owed: exactly one
answer or error, at most a second after the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ray.serve.exceptions import BackPressureError

from engine.cluster.affinity import affinity
from engine.cluster.metrics import IngressMetrics
from engine.cluster.wire import packed
from engine.errors import EngineUnavailableError, RemaskError
from engine.service import messages
from engine.service.scheduler import Job, Rank
from engine.types import CompleteAnswer

log = logging.getLogger("ray.serve")

LATE_SECONDS = 0.7  # an engine stops at the deadline, after its current pass: it is waited for so long

Send = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Call:
    """A request that was checked, still packed. `deadline` is a `time.monotonic()` instant."""

    owner: str
    id: int
    kind: str
    document: str | None
    key: str
    body: bytes
    deadline: float
    automatic: bool
    over: bool = False  # its answer or error has been sent

    @classmethod
    def of(cls, job: Job, user: str, body: bytes) -> Call:
        """From what `engine.service.intake` made of the message."""
        name = job.document or getattr(job.body, "path", None) or ""
        deadline = time.monotonic() + job.budget
        automatic = job.rank is Rank.AUTOMATIC
        key = affinity(user, name.partition("#")[0])  # a document's popup and rewrites share its prefix cache
        return cls(str(job.owner), job.id, job.kind, job.document, key, body, deadline, automatic)


class Engines:
    """The replicas, as one ingress sees them. `handle` is Serve's, of the deployment `EngineReplica`."""

    def __init__(self, handle: Any, metrics: IngressMetrics) -> None:
        # By value, over gRPC: by reference, texts above 100 kB would go through Ray's object store, which may spill
        # them to a disk.
        self._answer = handle.options(method_name="answer", stream=True, _by_reference=False)
        self._describe = handle.options(method_name="describe", _by_reference=False)
        self._metrics = metrics

    def start(self, call: Call, send: Send) -> asyncio.Task[None]:
        """Ask a replica; `send` gets traces and then exactly one answer or error, unless the task is cancelled.

        In a context of its own: Serve names a request by its context's id, and all requests of a WebSocket would share
        one and be confused by the router.
        """
        return asyncio.create_task(self._ask(call, send), context=contextvars.Context())

    async def describe(self, seconds: float) -> dict[str, Any]:
        """What some replica says of itself; raises `TimeoutError` or what Serve raises."""

        async def ask() -> dict[str, Any]:
            response = self._describe.remote()
            try:
                described: dict[str, Any] = await response
                return described
            except asyncio.CancelledError:
                response.cancel()
                raise

        async with asyncio.timeout(seconds):
            return await asyncio.create_task(ask(), context=contextvars.Context())

    async def _ask(self, call: Call, send: Send) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(call.deadline + LATE_SECONDS - began):
                why = await self._once(call, send)
                if why == "died" and not call.automatic and time.monotonic() < call.deadline:
                    why = await self._once(call, send)
        except TimeoutError:
            why = "late"
        if why and not call.over:
            call.over = True
            self._metrics.failed.inc(1, {"kind": call.kind, "why": why})
            await send(unanswered(call, REASONS[why]))
        self._metrics.seconds.observe(time.monotonic() - began, {"kind": call.kind})

    async def _once(self, call: Call, send: Send) -> str:
        """ "" when it was answered, else why not."""
        last = False
        left = max(0.0, call.deadline - time.monotonic())
        replies = self._answer.options(session_id=call.key).remote(call.owner, call.body, left)
        try:
            async for last, reply in replies:
                call.over = last
                await send(reply)
                if last:
                    return ""
        except BackPressureError:
            return "full"
        except Exception as failure:
            # Ray raises many classes when a process dies, gRPC others. Their texts may quote a request: not logged.
            log.warning("a %s was lost: %s", call.kind, type(failure).__name__)
        finally:
            if not last:
                with contextlib.suppress(Exception):  # it raises again what ended the call
                    replies.cancel()
        return "died"


REASONS = {
    "died": "the engine that worked on it died: ask again",
    "full": "the team's engine is busy: every queue is full; try again in a moment",
    "late": "no engine answered by the deadline",
}


def unanswered(call: Call, reason: str, error: type[RemaskError] = EngineUnavailableError) -> bytes:
    """The reply to a request that no replica answered: nothing for what nobody asked, an error else."""
    if call.automatic and error is EngineUnavailableError:
        return packed({"id": call.id, "kind": "answer", "answer": messages.answer_to_wire(CompleteAnswer([], 0, 0))})
    return packed({"id": call.id} | messages.error_to_wire(error(reason)))
