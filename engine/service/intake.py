"""From a message to a job: the kinds of request there are, how urgent each is, and what it must carry."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from engine.errors import BadRequestError
from engine.service import messages
from engine.service.frames import Message
from engine.service.scheduler import Job, Rank
from engine.types import CompleteRequest, RepairRequest, RewriteRequest


def job_from(message: Message, owner: Hashable, send: Callable[[Message], None], size: int) -> Job:
    """The job that a checked `id` and `kind` ask for; `BadRequestError` says what is wrong with it."""
    kind = message["kind"]
    document = message.get("document")
    if document is not None and not isinstance(document, str):
        raise BadRequestError("document of a request must be text")
    rank, body = _body(kind, message)
    trace = kind == "complete" and message.get("trace") is True
    budget = messages.seconds(message)
    return Job(owner, message["id"], kind, rank, body, send, document, budget, size, trace)


def _body(kind: str, message: Message) -> tuple[Rank, Any]:
    if kind == "complete":
        rank = Rank.AUTOMATIC if message.get("automatic") is True else Rank.INVOKED
        return rank, messages.request_from_wire(CompleteRequest, message)
    if kind == "repair":
        return Rank.REPAIR, messages.request_from_wire(RepairRequest, message)
    if kind == "rewrite":
        return Rank.INVOKED, messages.request_from_wire(RewriteRequest, message)
    if kind == "warm":
        return Rank.WARM, messages.request_from_wire(CompleteRequest, message)
    if kind == "remember":
        path, text = messages.text_field(message, "path"), messages.text_field(message, "text")
        return Rank.MEMORY, (path, text, 0, message.get("unsaved") is not True)
    if kind == "forget":
        return Rank.MEMORY, [messages.text_field(message, "path")]
    if kind == "stats":
        return Rank.INVOKED, None
    raise BadRequestError(f"unknown kind of request {kind[:40]!r}")
