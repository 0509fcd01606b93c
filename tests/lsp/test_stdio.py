"""Whatever standard input is, a server reads its messages from it and leaves at its end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

SERVER = (sys.executable, "-P", "-m", "engine.cli.main", "lsp")
UNIX = pytest.mark.skipif(sys.platform == "win32", reason="sockets are no standard input there")


def frame(method: str, params: Any = None, id: int | None = None) -> bytes:
    message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


INITIALIZE = frame("initialize", {"processId": None, "rootUri": None, "capabilities": {}}, 1)
GOODBYE = frame("shutdown", id=2) + frame("exit")


def answer(output: IO[bytes], id: int) -> dict[str, Any]:
    """The answer to request `id`; what comes before it is passed over."""
    while True:
        length = 0
        while (line := output.readline()) != b"\r\n":
            assert line, "the server left without an answer"
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(output.read(length))
        if message.get("id") == id and "method" not in message:
            return message


@pytest.mark.parametrize(
    "kind", ["pipe", pytest.param("sockets", marks=UNIX), pytest.param("one socket for both", marks=UNIX)]
)
def test_a_session_over_pipes_and_sockets(kind: str) -> None:
    if kind == "pipe":
        server = subprocess.Popen(SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdin is not None
        assert server.stdout is not None
        to: IO[bytes] = server.stdin
        of: IO[bytes] = server.stdout
    else:
        ours, theirs = socket.socketpair()
        other = (ours, theirs) if kind == "one socket for both" else socket.socketpair()
        server = subprocess.Popen(SERVER, stdin=theirs.fileno(), stdout=other[1].fileno())
        theirs.close()
        other[1].close()
        to, of = ours.makefile("wb"), other[0].makefile("rb")
    with server:
        to.write(INITIALIZE + frame("initialized", {}))
        to.flush()
        assert answer(of, 1)["result"]["serverInfo"]["name"] == "remask"
        # Longer than what is read ahead, and in a line that is no header.
        to.write(b"x" * 3_000_000 + b"\r\n" + frame("unknown", {"of": "y" * 3_000_000}, 3))
        to.flush()
        assert "error" in answer(of, 3)
        to.write(GOODBYE)
        to.flush()
        assert answer(of, 2)["result"] is None
        assert server.wait(30) == 0
    to.close()
    of.close()


def test_a_session_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "session").write_bytes(INITIALIZE + GOODBYE)
    with open(tmp_path / "session", "rb") as file:
        done = subprocess.run(SERVER, stdin=file, stdout=subprocess.PIPE, check=False, timeout=60)
    assert b'"serverInfo"' in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("input", [b"", INITIALIZE, INITIALIZE[:-20]], ids=["nothing", "no goodbye", "cut short"])
def test_an_input_that_ends_ends_the_server(input: bytes) -> None:
    done = subprocess.run(SERVER, input=input, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_no_input_at_all_ends_the_server() -> None:
    done = subprocess.run(SERVER, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals to open")
def test_a_terminal_is_read() -> None:
    ours, theirs = os.openpty()
    server = subprocess.Popen(SERVER, stdin=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    with server, os.fdopen(ours, "wb", buffering=0) as terminal:
        terminal.write(b"\x04")  # the end of the input
        assert server.wait(60) == 1
