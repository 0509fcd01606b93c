"""`remask bench memory-scale`: the memory with a million lines in it.

Indexing time and memory, an edit, a look-up, and what completions cost meanwhile. As in the engine process, files are
remembered one by one on a thread of the lowest priority that gives way to requests, merging on another. The lines are
those of the Python files installed beside this program, repeated under other paths until there are enough.
"""

from __future__ import annotations

import argparse
import json
import os
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import engine
from engine.bench import speed
from engine.core import Engine
from engine.memory import Memory, rests_of_line
from engine.memory.index import step_back
from engine.service import process
from engine.types import CompleteRequest

LARGEST = 300_000  # bytes of a file that is indexed
PARTS = 4
KEYS = 2  # characters between two requests
PAUSE = 0.2  # seconds between two keys
EDITED = "def edited():\n    return 1\n" * 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines to index (default 1,000,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def run(args: argparse.Namespace) -> int:
    """Print the table; exit 0."""
    process.set_up()  # as the engine process does
    with engine.load("auto", memory=False) as e:
        pass_ms = speed.one_row_ms(e.denoiser)
        requests = list(_requests())
        for request in requests:
            e.run_complete(request)
        memory = Memory(e.vocabulary)
        memory.busy = lambda: e.turns.busy
        before = _resident()
        alone, meanwhile = Latencies(), Latencies()
        done, texts, seconds = Indexed(), _endless(), 0.0
        for part in range(1, PARTS + 1):  # in turns, for machines change under way
            alone.ask(e, requests)
            seconds += _index(e, memory, texts, done, args.lines * part // PARTS, requests, meanwhile)
        alone.ask(e, requests)
        grown = _resident() - before
        edits = [_edit(memory, i) for i in range(30)]
        memory.settle()
        looks, rests = list(_looks(e, memory)), list(_rests(memory))
        figures = {
            "lines": done.lines,
            "files": done.files,
            "tokens": memory.tokens,
            "pass_ms": pass_ms,
            "index_s": seconds,
            "resident_mb": grown / 1e6,
            "counted_mb": memory.stats()["memory_bytes"] / 1e6,
            "edit_ms_p95": _percentile(edits, 95),
            "lookup_ms_p95": _percentile(looks, 95),
            "line_ms_p95": _percentile(rests, 95),
            **{f"{name}_alone": value for name, value in alone.figures().items()},
            **{f"{name}_while_indexing": value for name, value in meanwhile.figures().items()},
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


class Latencies:
    """Milliseconds of completions: of all, of those a key after the last one, and of those that begin a window."""

    def __init__(self) -> None:
        self.all: list[float] = []
        self.next_key: list[float] = []
        self.new_window: list[float] = []

    def ask(self, e: Engine, requests: list[CompleteRequest], goes_on: Callable[[], bool] = lambda: True) -> None:
        """All requests, with pauses. A round that is cut short counts for nothing: some windows cost twice others."""
        e.caches.clear()  # every round begins alike, wherever the last one was cut
        last, answered = 0, []
        for request in requests:
            time.sleep(PAUSE)
            if not goes_on():
                return
            started = time.perf_counter()
            e.run_complete(request)
            answered.append((len(request.prefix) - last, (time.perf_counter() - started) * 1e3))
            last = len(request.prefix)
        for typed, ms in answered:
            self.all.append(ms)
            (self.next_key if typed == KEYS else self.new_window).append(ms)

    def figures(self) -> dict[str, float]:
        """Percentiles by name."""
        return {
            "complete_ms_p50": _percentile(self.all, 50),
            "complete_ms_p95": _percentile(self.all, 95),
            "next_key_ms_p95": _percentile(self.next_key, 95),
            "new_window_ms_p50": _percentile(self.new_window, 50),
        }


@dataclass
class Indexed:
    """How much is in the memory."""

    files: int = 0
    lines: int = 0


def _index(
    e: Engine,
    memory: Memory,
    texts: Iterator[tuple[str, str]],
    done: Indexed,
    wanted: int,
    requests: list[CompleteRequest],
    latencies: Latencies,
) -> float:
    """Index up to `wanted` lines, in a background thread at the lowest priority, while this one completes; seconds."""

    def work() -> None:
        step_back()
        while done.lines < wanted:
            path, text = next(texts)
            memory.remember(path, text)
            done.files += 1
            done.lines += text.count("\n")

    thread = threading.Thread(target=work)
    started = time.perf_counter()
    thread.start()
    while thread.is_alive():
        latencies.ask(e, requests, thread.is_alive)
    memory.settle()
    return time.perf_counter() - started


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
        for at in range(start, start + len(mark), KEYS):
            yield CompleteRequest(text[:at], text[text.index("\n", at) :], "python", "decoder.py", 32)


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
