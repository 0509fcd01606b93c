"""Requests and answers as the maps that travel in frames, and back: checked field by field, since anyone may err.

A request is `{"id", "kind", "deadline", ...}`, where `deadline` is in seconds from now, for clocks differ between
processes; its reply is `{"id", "kind": "answer" | "error", ...}`, and before it any number of `trace` messages.
"""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from engine import errors
from engine.errors import BadRequestError, RemaskError
from engine.service.frames import Message
from engine.types import (
    CompleteAnswer,
    CompleteRequest,
    Completion,
    Edit,
    Repair,
    RepairAnswer,
    RepairRequest,
    RewriteAnswer,
    RewriteRequest,
)

MAX_SECONDS = 3600.0
NOT_ASKED = ("files",)  # of a request: what the engine process puts in itself

Data = TypeVar("Data")
Request = CompleteRequest | RepairRequest | RewriteRequest


def request_to_wire(request: Request) -> Message:
    """Every field but the deadline, which the sender gives in seconds, and those that are not the sender's to say."""
    return {f.name: getattr(request, f.name) for f in fields(request) if f.name not in ("deadline", *NOT_ASKED)}


def request_from_wire(kind: type[Data], message: Message) -> Data:
    """A request without its deadline; `BadRequestError` names a field that is missing or of the wrong type."""
    values = {}
    for name, hint in _types(cast(Any, kind)).items():
        if name in ("deadline", *NOT_ASKED) or name not in message:
            continue
        value = message[name]
        if not _fits(value, hint):
            raise BadRequestError(f"{name} of a request is of type {type(value).__name__}: see docs/service.md")
        values[name] = value
    try:
        return kind(**values)
    except TypeError as missing:
        raise BadRequestError(f"the request is incomplete: {missing}") from None


def text_field(message: Message, name: str) -> str:
    """A field that must be text."""
    value = message.get(name)
    if not isinstance(value, str):
        raise BadRequestError(f"{name} of a request must be text, not {type(value).__name__}")
    return value


def seconds(message: Message) -> float:
    """The deadline of a request in seconds from now."""
    value = message.get("deadline")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequestError("every request has a deadline: a number of seconds from now")
    return min(max(float(value), 0.0), MAX_SECONDS)


def answer_to_wire(answer: CompleteAnswer | RepairAnswer | RewriteAnswer) -> Message:
    """Plain maps, all the way down."""
    return asdict(answer)


def complete_answer(raw: Message) -> CompleteAnswer:
    """What `answer_to_wire` made of a `CompleteAnswer`; fields of a newer engine are left out."""
    known = _known(CompleteAnswer, raw)
    known["items"] = [Completion(**_known(Completion, item)) for item in raw["items"]]
    return CompleteAnswer(**known)


def repair_answer(raw: Message) -> RepairAnswer:
    """What `answer_to_wire` made of a `RepairAnswer`; fields of a newer engine are left out."""
    known = _known(RepairAnswer, raw)
    known["repair"] = _repair(raw["repair"])
    known["alternatives"] = tuple(_repair(other) for other in raw.get("alternatives", ()))
    return RepairAnswer(**known)


def rewrite_answer(raw: Message) -> RewriteAnswer:
    """What `answer_to_wire` made of a `RewriteAnswer`; fields of a newer engine are left out."""
    known = _known(RewriteAnswer, raw)
    known["edit"] = Edit(**_known(Edit, raw["edit"])) if raw.get("edit") is not None else None
    return RewriteAnswer(**known)


def _repair(raw: Message) -> Repair:
    known = _known(Repair, raw)
    known["edits"] = [Edit(**_known(Edit, edit)) for edit in raw["edits"]]
    return Repair(**known)


def error_to_wire(error: RemaskError) -> Message:
    """An error by its class's name, so that the client raises the same."""
    return {"kind": "error", "error": type(error).__name__, "message": str(error)}


def error_from_wire(message: Message) -> RemaskError:
    """The error to raise; a class that this side does not know becomes a `RemaskError`."""
    kind = getattr(errors, str(message.get("error")), RemaskError)
    known = isinstance(kind, type) and issubclass(kind, RemaskError)
    return (kind if known else RemaskError)(str(message.get("message", "the engine reported an error")))


def _known(kind: type[Any], raw: Message) -> Message:
    return {f.name: raw[f.name] for f in fields(kind) if f.name in raw}


@cache
def _types(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value from the wire is what a field's annotation says, as deep as the outer type."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    kind = origin or hint
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
