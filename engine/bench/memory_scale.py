"""`remask bench memory-scale`: the memory with a million lines in it.

Indexing time and memory, an edit, a look-up, and what completions cost meanwhile. As in the engine process, files are
remembered one by one between requests, and a person's request comes first; merging goes on in the background. The lines
are those of the Python files installed beside this program, repeated under other paths until there are enough.
"""

from __future__ import annotations

import argparse
import json
import os
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import engine
from engine.bench import speed
from engine.core import Engine
from engine.memory import Memory, rests_of_line
from engine.memory.index import step_back
from engine.service.allocator import give_back_freed_memory
from engine.types import CompleteRequest

LARGEST = 300_000  # bytes of a file that is indexed
ROUNDS = 2
PAUSE = 0.2  # seconds between two keys
EDITED = "def edited():\n    return 1\n" * 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines to index (default 1,000,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def run(args: argparse.Namespace) -> int:
    """Print the table; exit 0."""
    give_back_freed_memory()  # as the engine process does
    with engine.load("auto", memory=False) as e:
        pass_ms = speed.one_row_ms(e.denoiser)
        requests = list(_requests())
        for request in requests:
            e.run_complete(request)
        quiet = [_pausing(e, request) for _ in range(ROUNDS) for request in requests]
        memory = Memory(e.vocabulary)
        before = _resident()
        busy: list[float] = []
        files, lines, seconds = _index(e, memory, args.lines, requests, busy)
        memory.settle()
        grown = _resident() - before
        quiet += [_pausing(e, request) for _ in range(ROUNDS) for request in requests]  # machines change under way
        edits = [_edit(memory, i) for i in range(30)]
        memory.settle()
        looks, rests = list(_looks(e, memory)), list(_rests(memory))
        figures = {
            "lines": lines,
            "files": files,
            "tokens": memory.tokens,
            "pass_ms": pass_ms,
            "index_s": seconds,
            "resident_mb": grown / 1e6,
            "counted_mb": memory.stats()["memory_bytes"] / 1e6,
            "edit_ms_p95": _percentile(edits, 95),
            "lookup_ms_p95": _percentile(looks, 95),
            "line_ms_p95": _percentile(rests, 95),
            "complete_ms_p50_alone": _percentile(quiet, 50),
            "complete_ms_p50_while_indexing": _percentile(busy, 50),
            "complete_ms_p95_alone": _percentile(quiet, 95),
            "complete_ms_p95_while_indexing": _percentile(busy, 95),
        }
        memory.close()
    table = Table(title="the workspace's memory at scale")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


def _index(
    e: Engine, memory: Memory, wanted: int, requests: list[CompleteRequest], busy: list[float]
) -> tuple[int, int, float]:
    """Index in a background thread at the lowest priority while this one completes; (files, lines, seconds)."""
    done, turn, waiting = [0, 0], threading.Lock(), threading.Event()

    def work() -> None:
        step_back()
        for path, text in _endless():
            if done[1] >= wanted:
                return
            while waiting.is_set():
                time.sleep(0.001)
            with turn:
                memory.remember(path, text)
            done[0] += 1
            done[1] += text.count("\n")

    thread = threading.Thread(target=work)
    started = time.perf_counter()
    thread.start()
    while thread.is_alive():
        for request in requests:
            time.sleep(PAUSE)
            if not thread.is_alive():
                break
            asked = time.perf_counter()
            waiting.set()
            with turn:
                waiting.clear()
                e.run_complete(request)
            busy.append((time.perf_counter() - asked) * 1e3)
    return done[0], done[1], time.perf_counter() - started


def _endless() -> Iterator[tuple[str, str]]:
    """Paths and texts; read again for every copy, so that nothing but the memory grows."""
    folders = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    paths = sorted(path for folder in folders for path in folder.rglob("*.py") if "test" not in path.parts)
    for copy in range(1000):
        for path in paths:
            try:
                text = path.read_text(encoding="utf-8") if path.stat().st_size <= LARGEST else ""
            except (OSError, UnicodeDecodeError):
                continue
            if text:
                yield f"{path}/{copy}.py", text.replace("self", f"self_{copy}") if copy else text


def _requests() -> Iterator[CompleteRequest]:
    """A person who types on at four places of a file."""
    text = Path(json.__file__).with_name("decoder.py").read_text(encoding="utf-8")
    for mark in ("def decode(self", "raise JSONDecodeError(", "nextchar = s[", "obj, end = "):
        start = text.index(mark)
        for at in range(start, start + len(mark), 2):
            yield CompleteRequest(text[:at], text[text.index("\n", at) :], "python", "decoder.py", 32)


def _pausing(e: Engine, request: CompleteRequest) -> float:
    """Milliseconds of a completion after a pause."""
    time.sleep(PAUSE)
    started = time.perf_counter()
    e.run_complete(request)
    return (time.perf_counter() - started) * 1e3


def _edit(memory: Memory, i: int) -> float:
    started = time.perf_counter()
    memory.remember("edited.py", EDITED + f"x_{i} = {i}\n")
    return (time.perf_counter() - started) * 1e3


def _looks(e: Engine, memory: Memory) -> Iterator[float]:
    for request in _requests():
        view = memory.view("python", "decoder.py", request.prefix, request.suffix, -1)
        ids = e.vocabulary.encode(request.prefix)
        for end in range(max(len(ids) - 250, 4), len(ids)):
            started = time.perf_counter()
            view.match(ids[:end])
            yield (time.perf_counter() - started) * 1e3


def _rests(memory: Memory) -> Iterator[float]:
    """Milliseconds to find the rests of a line, once a request."""
    for request in _requests():
        for cut in range(0, 100, 10):
            prefix = request.prefix[: len(request.prefix) - cut]
            started = time.perf_counter()
            rests_of_line(memory.view("python", "decoder.py", prefix, request.suffix, -1), prefix, request.suffix)
            yield (time.perf_counter() - started) * 1e3


def _resident() -> int:
    """Bytes of this process in memory (Linux; 0 elsewhere)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _percentile(values: list[float], at: float) -> float:
    return float(np.percentile(values, at)) if values else 0.0
