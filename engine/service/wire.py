"""What a `Link` sends messages through: a stream of frames here, a WebSocket in `engine.remote`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from engine.service.frames import FrameError, Message, pack, read_frame


class Wire(Protocol):
    """Messages out and in, over whatever connects the two sides."""

    @property
    def unsent(self) -> int:
        """Bytes that the other side has not taken yet."""

    def send(self, message: Message) -> None:
        """Send, or put into the queue; `BadRequestError` when the message fits into no frame."""

    async def receive(self) -> Message | None:
        """The next message; None when the other side closed, or speaks something else."""

    def close(self) -> None:
        """End the connection."""


class StreamWire:
    """Frames with a length, over a socket of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @property
    def unsent(self) -> int:
        """Bytes in the socket's buffer."""
        return self._writer.transport.get_write_buffer_size()

    def send(self, message: Message) -> None:
        """Write a frame."""
        self._writer.write(pack(message))

    async def receive(self) -> Message | None:
        """The next frame's message."""
        try:
            return await read_frame(self._reader)
        except (FrameError, OSError):
            return None

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()
