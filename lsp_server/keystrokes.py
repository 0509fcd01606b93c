"""`remask bench editor`: a real file typed into the real language server; what each key waits for, and of what.

A client like an editor's sends every key as an incremental change with a question behind it, so many a second, and
cancels what it still waits for when the next key comes. Server and engine are processes of their own, started for this.
What is not the engine's own time (its `timings_ms["total"]`) is the protocol's and the language server's: messages, the
document and its tree, settings, fitting, packing, the socket. What is not in ONNX Runtime's passes (`["passes"]`) is
all overhead: that, and the engine's window, tokens, sampling and parser.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsprotocol import types
from rich.console import Console

from engine.bench import speed, typing_simulation
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.errors import RemaskError
from lsp_server.positions import units

ENGINE_TOOK = re.compile(r"suggestions in ([\d.]+) ms, ([\d.]+) of them in passes")
LOADING = 60.0  # seconds for the first answer
CAPABILITIES: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: milliseconds to the answer, the engine's (None when it was not asked), and of these its passes'."""

    ms: float
    engine_ms: float | None
    passes_ms: float
    kind: str  # "shown", "empty" or "late"


add_arguments = typing_simulation.add_arguments


def run(args: argparse.Namespace) -> int:
    """Print a table; exit 0."""
    text = typing_simulation.source(args.file)
    typing_simulation.beginning(text, args.keys)  # refuses what is too short before anything is loaded
    about = speed.facts(Denoiser(Checkpoint(Path(args.model) if args.model else None), choose(args.device)))
    with tempfile.TemporaryDirectory(prefix="remask-") as home:
        environment = os.environ | {"REMASK_RUNTIME_DIR": home, "REMASK_COUNTERS": str(Path(home) / "counters")}
        try:
            keys = asyncio.run(simulate(text, args, environment))
        finally:
            stop = [sys.executable, "-m", "engine.cli.main", "engine", "--stop"]
            subprocess.run(stop, env=environment, check=False, capture_output=True)
    report(keys, about, args)
    return 0


async def simulate(text: str, args: argparse.Namespace, environment: dict[str, str]) -> list[Key]:
    """Type `args.keys` characters from the middle of `text` on, a line's indentation as one key, as editors do."""
    at = typing_simulation.beginning(text, args.keys)
    at += len(text[at:]) - len(text[at:].lstrip())  # the editor has indented the line
    stop, suffix = typing_simulation.rest(text, at, args.keys)
    settings = {
        "log": {"level": "debug"},
        "engine": {"device": args.device, "model": str(Path(args.model).resolve()) if args.model else ""},
        "memory": {"enable": False},
    }
    async with _editor(environment) as editor:
        await editor.ask(types.INITIALIZE, {"capabilities": CAPABILITIES, "initializationOptions": settings})
        editor.tell(types.INITIALIZED, {})
        document = _Document(editor, text[:at], suffix)
        await document.ask(LOADING, invoked=True)
        await asyncio.sleep(0.3)  # its line in the log may come behind it
        keys: list[Key] = []
        clock = time.perf_counter()
        while len(keys) < args.keys and at < stop:
            end = typing_simulation.key_end(text, at)
            await asyncio.sleep(max(clock - time.perf_counter(), 0.0))
            editor.took.clear()
            began = time.perf_counter()
            document.type(text[at:end])
            found = await document.ask(1.0 / args.speed)
            ms = (time.perf_counter() - began) * 1e3
            engine, passes = editor.took[0] if editor.took else (None, 0.0)
            keys.append(Key(ms, engine, passes, "late" if found is None else "shown" if found else "empty"))
            at, clock = end, max(clock + 1.0 / args.speed, time.perf_counter())
        await editor.ask(types.SHUTDOWN, None)
        editor.tell(types.EXIT, None)
    return keys


@asynccontextmanager
async def _editor(environment: dict[str, str]) -> AsyncIterator[_Editor]:
    command = (sys.executable, "-P", "-m", "engine.cli.main", "lsp", "--log-level=debug")
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
    editor = _Editor(server)
    reading = asyncio.create_task(editor.read())
    try:
        yield editor
        await asyncio.wait_for(server.wait(), LOADING)
    finally:
        if server.returncode is None:
            server.kill()
        await reading


class _Editor:
    """What an editor's client does, and no more: JSON over two pipes. What it costs is not the server's."""

    def __init__(self, server: asyncio.subprocess.Process) -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        self._to, self._from = server.stdin, server.stdout
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0
        self.took: list[tuple[float, float]] = []  # milliseconds of the engine's answers and passes: the server's log

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message | {"jsonrpc": "2.0"}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def tell(self, method: str, params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    async def ask(self, method: str, params: Any, seconds: float = LOADING) -> Any:
        """The result of a request; `TimeoutError` when it took longer and was taken back."""
        self._asked += 1
        name, answer = self._asked, asyncio.get_running_loop().create_future()
        self._waiting[name] = answer
        self._send({"id": name, "method": method, "params": params})
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            self.tell(types.CANCEL_REQUEST, {"id": name})
            raise

    async def read(self) -> None:
        """Take what the server says until it ends."""
        try:
            while True:
                head = await self._from.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split()[0])
                self._take(json.loads(await self._from.readexactly(length)))
        except asyncio.IncompleteReadError:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(RemaskError("the language server ended"))

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            answer = self._waiting.pop(message["id"])
            if answer.done():
                return  # it was taken back
            if "error" in message:
                answer.set_exception(RemaskError(f"the language server failed: {message['error'].get('message')}"))
            else:
                answer.set_result(message.get("result"))
        elif "id" in message:
            self._send({"id": message["id"], "result": None})  # whatever it asks for, this editor has none
        elif message["method"] == types.WINDOW_LOG_MESSAGE:
            found = ENGINE_TOOK.findall(message["params"]["message"])
            self.took += [(float(engine), float(passes)) for engine, passes in found]


class _Document:
    """An open document that is typed into; nothing of it is sent twice."""

    def __init__(self, editor: _Editor, before: str, after: str) -> None:
        self._editor = editor
        self._uri = (Path.cwd() / "typed.py").as_uri()
        self._version = 0
        self._at = {"line": before.count("\n"), "character": units(before[before.rfind("\n") + 1 :], "utf-16")}
        item = {"uri": self._uri, "languageId": "python", "version": 0, "text": before + after}
        editor.tell(types.TEXT_DOCUMENT_DID_OPEN, {"textDocument": item})

    def type(self, new: str) -> None:
        """One change at the cursor."""
        self._version += 1
        change = {"range": {"start": self._at, "end": self._at}, "text": new}
        named = {"uri": self._uri, "version": self._version}
        self._editor.tell(types.TEXT_DOCUMENT_DID_CHANGE, {"textDocument": named, "contentChanges": [change]})
        _, line_break, rest = new.rpartition("\n")
        column = 0 if line_break else self._at["character"]
        self._at = {"line": self._at["line"] + len(line_break), "character": column + units(rest, "utf-16")}

    async def ask(self, seconds: float, invoked: bool = False) -> list[Any] | None:
        """Suggestions at the cursor; None when none came within `seconds`, and the question was taken back."""
        kind = types.InlineCompletionTriggerKind.Invoked if invoked else types.InlineCompletionTriggerKind.Automatic
        params = {
            "context": {"triggerKind": kind},
            "textDocument": {"uri": self._uri},
            "position": self._at,
        }
        try:
            answer = await self._editor.ask(types.TEXT_DOCUMENT_INLINE_COMPLETION, params, seconds)
        except TimeoutError:
            return None
        return list((answer["items"] if isinstance(answer, dict) else answer) or [])


def report(keys: list[Key], about: dict[str, Any], args: argparse.Namespace) -> None:
    """A table: all keys, those that the engine was asked for, and what of these was not the engine's."""
    asked = [k for k in keys if k.engine_ms is not None or k.kind == "late"]
    answered = [(k.ms, k.engine_ms, k.passes_ms) for k in keys if k.engine_ms is not None and k.kind != "late"]
    parts = {
        "all keys": [k.ms for k in keys],
        "answered without the engine": [k.ms for k in keys if k not in asked],
        "asked the engine": [k.ms for k in asked],
        "of those answered, in the engine": [engine for _, engine, _ in answered],
        "of those answered, outside of it": [ms - engine for ms, engine, _ in answered],
        "of those answered, outside of passes": [ms - passes for ms, _, passes in answered],
    }
    p = speed.percentile
    rows: list[list[Any]] = [[n, len(ms), p(ms, 0.5), p(ms, 0.95), max(ms)] for n, ms in parts.items() if ms]
    columns = ["keystroke to suggestion, ms", "keys", "p50", "p95", "max"]
    console = Console()
    speed.show(console, f"{len(keys)} keys at {args.speed:g} a second, in an editor", about, columns, rows)
    shares = {kind: sum(k.kind == kind for k in keys) / len(keys) for kind in ("shown", "empty", "late")}
    console.print(
        f"answered with a suggestion {shares['shown']:.0%}, with none {shares['empty']:.0%}, "
        f"overtaken by the next key {shares['late']:.0%}"
    )
    speed.write(args.json, {"about": about, "rows": rows, "shares": shares})
