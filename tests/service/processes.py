"""Looking at engine processes from outside, and starting them in ways that no client does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine.service.options import EngineOptions
from engine.service.place import Lock, find_place
from engine.service.spawn import command


def holder(options: EngineOptions) -> int | None:
    """The process that runs the engine of these options."""
    return Lock(find_place(options).lock).holder()


def start_by_hand(options: EngineOptions, before: str = "", shell: str = "") -> subprocess.Popen[bytes]:
    """The engine as a client starts it, but with Python code run first, or by way of a shell command."""
    words = command(options)[4:]
    code = f"import sys; {before or 'pass'}; from engine.cli.main import main; sys.exit(main({words!r}))"
    python = [sys.executable, "-c", code]
    full = ["sh", "-c", f'{shell}; exec "$@"', "sh", *python] if shell else python
    return subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


async def listening(options: EngineOptions, seconds: float = 60.0) -> int:
    """Wait for the engine's socket; its process id."""
    place = find_place(options)
    there = place.socket if place.transport == "unix" else place.note
    end = time.monotonic() + seconds
    while not there.exists():
        assert time.monotonic() < end, "no engine listens"
        await asyncio.sleep(0.02)
    process = holder(options)
    assert process is not None
    return process


async def gone(process: int, seconds: float = 60.0) -> None:
    """Wait for a process to end (a zombie has ended)."""
    end = time.monotonic() + seconds
    while alive(process):
        assert time.monotonic() < end, f"process {process} is still there"
        await asyncio.sleep(0.02)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def processor_seconds(process: int) -> float:
    """Processor time that a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def least_processor_seconds(process: int, seconds: float) -> float:
    """Processor time that it used in the calmest of three stretches: something may just have come to an end."""
    used = []
    for _ in range(3):
        before = processor_seconds(process)
        await asyncio.sleep(seconds)
        used.append(processor_seconds(process) - before)
        if used[-1] <= 0.02:
            break
    return min(used)


def memory_megabytes(process: int, what: str = "VmRSS") -> float:
    """Physical memory now (`VmRSS`) or at its highest (`VmHWM`)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(what)


def end(process: subprocess.Popen[bytes]) -> None:
    """See that a process started here is over."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(10)
    if process.stderr is not None:
        process.stderr.close()
