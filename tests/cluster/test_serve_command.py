"""`remask serve` as an administrator runs it: TLS, tokens, logs without source code, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.cluster.editor import HERE, Editor
from tests.cluster.team import descendants, free_port, wait_until_gone

pytestmark = pytest.mark.cluster

PLANTED = "xyzzy_planted_secret"


class Command:
    """A running `remask serve`."""

    def __init__(self, model: Path, *more: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rs", dir="/tmp"))  # sockets below need a short path
        self.port = free_port()
        self.tokens = self.folder / "tokens.json"
        self.certificate, key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
            f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {self.certificate}".split(),
            check=True,
            capture_output=True,
        )
        words = ["serve", "--port", str(self.port), "--tokens", str(self.tokens), "--model", str(model)]
        words += ["--tls-cert", str(self.certificate), "--tls-key", str(key), "--ray-folder", str(self.folder / "ray")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *words, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdout is not None
        while b"Serving at" not in (line := self.process.stdout.readline()):
            assert line, "remask serve ended"

    def token(self, *words: str) -> str:
        full = [sys.executable, "-m", "engine.cli.main", "serve", "--tokens", str(self.tokens), "token", *words]
        return subprocess.run(full, check=True, capture_output=True, text=True).stdout.strip()

    def editor(self, token: str) -> Editor:
        context = ssl.create_default_context(cafile=str(self.certificate))
        return Editor(f"wss://127.0.0.1:{self.port}/v1/engine", token, context)

    def logs(self) -> Iterator[tuple[Path, bytes]]:
        for path in (self.folder / "ray").rglob("*"):
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    yield path, path.read_bytes()

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, set[int]]:
        """Its exit code, and what it has left running."""
        everything = descendants({self.process.pid})
        self.process.send_signal(how)
        code = self.process.wait(180)
        return code, wait_until_gone(everything)


async def refused(command: Command, token: str, seconds: float = 10.0) -> None:
    """Wait until a token is: an ingress looks at the file once a second."""
    end = time.monotonic() + seconds
    while True:
        try:
            async with command.editor(token):
                pass
        except InvalidStatus:
            return
        except ConnectionClosed:  # let in, and revoked before the welcome
            pass
        assert time.monotonic() < end, "a revoked token lets people in"
        await asyncio.sleep(0.2)


async def test_from_the_first_token_to_the_end(tiny_model: Path) -> None:
    """TLS; a token added while it runs; requests of all kinds and junk, none of which any log quotes; SIGTERM."""
    command = Command(tiny_model, "--replicas", "2")
    try:
        secret = command.token("add", "ann", "--days", "30")
        assert secret.startswith("remask_")
        assert "ann" in command.token("list")
        assert secret not in command.tokens.read_text()
        assert command.tokens.stat().st_mode & 0o077 == 0
        plant = {"prefix": f"{PLANTED} = {PLANTED}(", "path": f"/home/{PLANTED}/a.py", "document": PLANTED}
        async with command.editor(secret) as ann:
            assert (await ann.complete(**plant, max_tokens=8))["kind"] == "answer"
            assert (await ann.ask("repair", text=f"def {PLANTED}(:\n", language="python"))["kind"] == "answer"
            await ann.ask("rewrite", text=f"{PLANTED} = 1\n", start=0, end=5, language="python")
            await ann.ask("remember", path=f"{PLANTED}.py", text=PLANTED)
            assert (await ann.complete(**plant, language=PLANTED))["error"] == "BadRequestError"
            assert (await ann.ask(PLANTED))["error"] == "BadRequestError"
            assert (await ann.complete(0.0, **plant, automatic=True))["kind"] == "answer"
            task = ann.start("complete", trace=True, max_tokens=128, alternatives=8, **(HERE | plant))
            while not ann.traces:
                await asyncio.sleep(0.01)
            for process in descendants({command.process.pid}):
                words = Path(f"/proc/{process}/cmdline").read_bytes()
                if b"remask:engine" in words:
                    os.kill(process, signal.SIGKILL)  # at work on it, or about to be
                    break
            await asyncio.wait([task], timeout=30)
            await ann.send(PLANTED)
            assert await ann.closed() == 4400
        command.token("revoke", "ann")
        await refused(command, secret)
    finally:
        code, left = command.end()
    read = 0
    for path, text in command.logs():
        read += 1
        assert PLANTED.encode() not in text, f"{path} quotes a request"
        assert secret.encode() not in text, f"{path} holds a token"
    assert read > 10, "Ray's logs were not found"
    assert (code, left) == (0, set())
    shutil.rmtree(command.folder)


def test_kill_9_of_the_command_leaves_nothing_behind(tiny_model: Path) -> None:
    command = Command(tiny_model)
    _, left = command.end(signal.SIGKILL)
    assert not left
    shutil.rmtree(command.folder)


def test_it_says_what_is_wrong_before_anything_starts(tmp_path: Path) -> None:
    def serve(*words: str) -> str:
        full = [sys.executable, "-m", "engine.cli.main", "serve", "--tokens", str(tmp_path / "t.json"), *words]
        done = subprocess.run(full, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    began = time.monotonic()
    assert "--behind-proxy" in serve("--host", "0.0.0.0")
    assert "--tls-key" in serve("--tls-cert", "x.pem")
    assert "certificate" in serve("--tls-cert", "x.pem", "--tls-key", "y.pem")
    assert "replicas" in serve("--replicas", "0")
    assert "max_replicas" in serve("--replicas", "3", "--max-replicas", "2")
    assert "no token for" in serve("token", "revoke", "nobody")
    assert "no name" in serve("token", "add", "a b")
    assert time.monotonic() - began < 60
