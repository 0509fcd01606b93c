"""Messages as WebSocket messages, which know their length: frames of `engine.service.frames` without the header."""

from __future__ import annotations

from engine.service.frames import HEADER, Message, pack

MAX_BYTES = 16 * 1024 * 1024  # what Serve's proxy lets through in one WebSocket message


def packed(message: Message) -> bytes:
    """A message as one msgpack map; `BadRequestError` when it cannot be one."""
    return pack(message)[HEADER.size :]
