"""Messages over standard input and output, read in the event loop itself.

pygls reads each line of a header, and each body, on a thread: six times there and back for a key and its question. A
pipe or a socket, which is what editors give a server, needs none. A file, a terminal and Windows' pipes are still read
on threads, as is an input that is also the output: the event loop makes what it reads non-blocking, and a write of some
length would then fail.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, BinaryIO

from pygls.io_ import StdinAsyncReader, StdoutWriter, run_async

if TYPE_CHECKING:
    from lsp_server.server import Server

logger = logging.getLogger("remask.stdio")

AHEAD = 1_000_000  # bytes read before they are asked for; no line of a header is longer


def run(server: Server, stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Serve until the client says `exit`, its end of a pipe is closed, or the person interrupts."""
    server.protocol.set_writer(StdoutWriter(stdout))
    try:
        asyncio.run(_serve(server, stdin, stdout))
    except BrokenPipeError:
        logger.error("the client is gone")
    except (KeyboardInterrupt, SystemExit):  # pygls ends a server by the latter
        pass
    finally:
        server.shutdown()


async def _serve(server: Server, stdin: BinaryIO, stdout: BinaryIO) -> None:
    source = await open_stream(stdin, stdout) or StdinAsyncReader(stdin, server.thread_pool)
    reader = Reader(source, server.protocol.ready)
    await run_async(threading.Event(), reader, server.protocol, error_handler=server.report_server_error)


async def open_stream(stdin: BinaryIO, stdout: BinaryIO) -> asyncio.StreamReader | None:
    """`stdin` as the running event loop reads it; None where it has to be read on threads."""
    mode = os.fstat(stdin.fileno()).st_mode
    piped = sys.platform != "win32" and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))
    if not piped or os.path.sameopenfile(stdin.fileno(), stdout.fileno()):
        return None
    stream = asyncio.StreamReader(AHEAD)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), stdin)
    return stream


class Reader:
    """What pygls reads messages from: an input that ends where its client was killed, or left in the middle of one."""

    def __init__(self, source: asyncio.StreamReader | StdinAsyncReader, ready: Callable[[], Awaitable[None]]) -> None:
        """`ready` returns once the next message may be handled."""
        self._source = source
        self._ready = ready

    async def readline(self) -> bytes:
        """A line, its end included; b"" at the end of the input."""
        while True:
            try:
                return await self._source.readline()
            except ValueError:  # longer than a header: what is left of it is none either
                continue
            except OSError:
                return b""

    async def readexactly(self, n: int) -> bytes:
        """`n` bytes, or as many as there are."""
        await self._ready()
        try:
            return await self._source.readexactly(n)
        except asyncio.IncompleteReadError as cut:
            return cut.partial
        except OSError:
            return b""
