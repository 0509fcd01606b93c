"""Frames: four bytes of length, big-endian, then one msgpack map. Nothing here knows what the maps mean."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import msgpack

from engine.errors import BadRequestError

Message = dict[str, Any]

HEADER = struct.Struct(">I")
MAX_FRAME = 44_000_000  # the largest file that the engine reads, 10,000,000 characters, in UTF-8, and its envelope
MAX_GREETING = 16_384  # all that a stranger may send before it has been let in
MAX_ITEMS = 4_096  # of one array or map; bounds what a small frame can unpack to
MAX_MAPS = 4_096


class FrameError(Exception):
    """The bytes are no frame of this protocol; the connection cannot go on."""


def pack(message: Message) -> bytes:
    """A message as a frame, length first; raises what `encode` raises."""
    body = encode(message)
    return HEADER.pack(len(body)) + body


def encode(message: Message) -> bytes:
    """A message as a frame's body; `BadRequestError` when it does not fit into a frame or is no text."""
    try:
        body = msgpack.packb(message, use_bin_type=True)
    except UnicodeEncodeError:
        raise BadRequestError("the text holds half a surrogate pair, which is no character: send valid text") from None
    except OverflowError:
        raise BadRequestError("a number in the request has more than 64 bits: send a smaller one") from None
    if len(body) > MAX_FRAME:
        raise BadRequestError(f"the message has {len(body):,} bytes; Remask takes at most {MAX_FRAME:,}")
    return bytes(body)


def unpack(body: bytes) -> Message:
    """The message in a frame's body; `FrameError` for anything but one map with text keys."""
    maps = 0

    def count(value: Message) -> Message:
        nonlocal maps
        maps += 1
        if maps > MAX_MAPS:
            raise ValueError("too many maps")
        return value

    try:
        message = msgpack.unpackb(
            body, raw=False, object_hook=count, max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS, max_ext_len=0
        )
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as wrong:
        raise FrameError(f"not msgpack ({type(wrong).__name__})") from None
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise FrameError("a message is a map with text keys")
    return message


async def read_frame(reader: asyncio.StreamReader, limit: int = MAX_FRAME) -> Message | None:
    """The next message; None when the other side closed between two frames.

    Raises `FrameError` for junk, a frame over `limit` bytes or one cut short; `OSError` when the connection breaks.
    """
    length = await read_length(reader, limit)
    return None if length is None else unpack(await read_body(reader, length))


async def read_length(reader: asyncio.StreamReader, limit: int) -> int | None:
    """The size of the body that follows."""
    try:
        header = await reader.readexactly(HEADER.size)
    except asyncio.IncompleteReadError as cut:
        if cut.partial:
            raise FrameError("the connection closed inside a frame") from None
        return None
    (length,) = HEADER.unpack(header)
    if length > limit:
        raise FrameError(f"a frame of {length:,} bytes is over the limit of {limit:,}")
    return int(length)


async def read_body(reader: asyncio.StreamReader, length: int) -> bytes:
    """A frame's body, all of it."""
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise FrameError("the connection closed inside a frame") from None
