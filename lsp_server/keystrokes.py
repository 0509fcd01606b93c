"""`remask bench editor`: a real file typed into the real language server; what each key waits for, and of what.

A client like an editor's sends every key as an incremental change with a question behind it, so many a second, and
cancels what it still waits for when the next key comes. Server and engine are processes of their own, started for this.
What is not the engine's own time (its `timings_ms["total"]`) is the protocol's and the language server's: messages, the
document and its tree, settings, fitting, packing, the socket.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsprotocol import types as t
from pygls.lsp.client import LanguageClient
from rich.console import Console

from engine.bench import speed, typing_simulation
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose

ENGINE_TOOK = re.compile(r"suggestions in ([\d.]+) ms")
LOADING = 60.0  # seconds for the first answer


@dataclass(frozen=True, slots=True)
class Key:
    """One key: milliseconds to the answer, those of the engine (None when it was not asked), and what was answered."""

    ms: float
    engine_ms: float | None
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
    client = LanguageClient("remask-bench", "1")
    took: list[float] = []

    @client.feature(t.WINDOW_LOG_MESSAGE)
    def logged(params: t.LogMessageParams) -> None:
        took.extend(float(ms) for ms in ENGINE_TOOK.findall(params.message))

    for other in ("remask/status", t.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS):
        client.feature(other)(_ignored)

    await client.start_io(sys.executable, "-P", "-m", "engine.cli.main", "lsp", "--log-level=debug", env=environment)
    settings = {
        "log": {"level": "debug"},
        "engine": {"device": args.device, "model": str(Path(args.model).resolve()) if args.model else ""},
        "memory": {"enable": False},
    }
    shows = t.TextDocumentClientCapabilities(inline_completion=t.InlineCompletionClientCapabilities())
    await client.initialize_async(
        t.InitializeParams(t.ClientCapabilities(text_document=shows), initialization_options=settings)
    )
    client.initialized(t.InitializedParams())
    at = typing_simulation.beginning(text, args.keys)
    at += len(text[at:]) - len(text[at:].lstrip())  # the editor has indented the line
    stop, suffix = typing_simulation.rest(text, at, args.keys)
    document = _Document(client, text[:at], suffix)
    await document.ask(LOADING, invoked=True)
    await asyncio.sleep(0.3)  # its line in the log may come behind it
    keys: list[Key] = []
    clock = time.perf_counter()
    while len(keys) < args.keys and at < stop:
        end = typing_simulation.key_end(text, at)
        await asyncio.sleep(max(clock - time.perf_counter(), 0.0))
        took.clear()
        began = time.perf_counter()
        document.type(text[at:end])
        found = await document.ask(1.0 / args.speed)
        ms = (time.perf_counter() - began) * 1e3
        keys.append(Key(ms, took[0] if took else None, "late" if found is None else "shown" if found else "empty"))
        at, clock = end, max(clock + 1.0 / args.speed, time.perf_counter())
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    return keys


def _ignored(params: Any) -> None:
    pass


def _seen(task: asyncio.Future[Any]) -> None:
    task.cancelled() or task.exception()


class _Document:
    """An open document that is typed into; nothing of it is sent twice."""

    def __init__(self, client: LanguageClient, before: str, after: str) -> None:
        self._client = client
        self._uri = (Path.cwd() / "typed.py").as_uri()
        self._version = self._asked = 0
        self._at = t.Position(before.count("\n"), len(before) - before.rfind("\n") - 1)
        item = t.TextDocumentItem(self._uri, t.LanguageKind.Python, 0, before + after)
        client.text_document_did_open(t.DidOpenTextDocumentParams(item))

    def type(self, new: str) -> None:
        """One change at the cursor."""
        self._version += 1
        change = t.TextDocumentContentChangePartial(t.Range(self._at, self._at), new)
        self._client.text_document_did_change(
            t.DidChangeTextDocumentParams(t.VersionedTextDocumentIdentifier(self._version, self._uri), [change])
        )
        _, line_break, rest = new.rpartition("\n")
        width = len(rest.encode("utf-16-le")) // 2
        line, column = self._at.line + len(line_break), width if line_break else self._at.character + width
        self._at = t.Position(line, column)

    async def ask(self, seconds: float, invoked: bool = False) -> list[t.InlineCompletionItem] | None:
        """Suggestions at the cursor; None when none came within `seconds`, and the question was taken back."""
        kind = t.InlineCompletionTriggerKind.Invoked if invoked else t.InlineCompletionTriggerKind.Automatic
        params = t.InlineCompletionParams(
            t.InlineCompletionContext(kind), t.TextDocumentIdentifier(self._uri), self._at
        )
        self._asked += 1
        name = f"key-{self._asked}"
        protocol = self._client.protocol
        asking = protocol.send_request_async(t.TEXT_DOCUMENT_INLINE_COMPLETION, params, name)
        task = asyncio.ensure_future(asking)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            protocol.notify(t.CANCEL_REQUEST, t.CancelParams(name))
            task.add_done_callback(_seen)  # pygls wants to be the one who ends it
            return None
        answer = task.result()
        return list((answer.items if isinstance(answer, t.InlineCompletionList) else answer) or [])


def report(keys: list[Key], about: dict[str, Any], args: argparse.Namespace) -> None:
    """A table: all keys, those that the engine was asked for, and what of these was not the engine's."""
    asked = [k for k in keys if k.engine_ms is not None or k.kind == "late"]
    answered = [(k.ms, k.engine_ms) for k in keys if k.engine_ms is not None and k.kind != "late"]
    parts = {
        "all keys": [k.ms for k in keys],
        "answered without the engine": [k.ms for k in keys if k not in asked],
        "asked the engine": [k.ms for k in asked],
        "of those answered, in the engine": [engine for _, engine in answered],
        "of those answered, outside of it": [ms - engine for ms, engine in answered],
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
