"""What the requests of our own (`remask/...`) have in common: their parameters come unchecked."""

from __future__ import annotations

from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams


def document_uri(params: Any) -> str:
    """`params.textDocument.uri`; `JsonRpcInvalidParams` says what is missing."""
    uri = getattr(getattr(params, "textDocument", None), "uri", None)
    if not isinstance(uri, str):
        raise JsonRpcInvalidParams("textDocument.uri must be a string")
    return uri


def position(params: Any) -> types.Position:
    """`params.position`; `JsonRpcInvalidParams` when it is none."""
    at = getattr(params, "position", None)
    line, character = getattr(at, "line", None), getattr(at, "character", None)
    if not isinstance(line, int) or not isinstance(character, int) or line < 0 or character < 0:
        raise JsonRpcInvalidParams("position.line and position.character must be whole numbers")
    return types.Position(line, character)
