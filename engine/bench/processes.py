"""A team's engine under measurement: a port for it, and its processor time and memory by part from /proc (Linux)."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PARTS = {"remask:engine": "engines", "remask:ingress": "ingress", "ProxyActor": "proxy"}
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class Use:
    """Of one part: processor seconds since its processes began, resident bytes now."""

    seconds: float
    resident: int


def use_by_part(root: int) -> dict[str, Use]:
    """Of `root`, which simulates the "editors", and all that it has started: engines, ingress, proxy, and "ray"."""
    seconds: dict[str, float] = defaultdict(float)
    resident: dict[str, int] = defaultdict(int)
    for process in _family(root):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
            words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has just ended
            continue
        part = "editors" if process == root else next((p for mark, p in PARTS.items() if mark in words), "ray")
        seconds[part] += (int(fields[11]) + int(fields[12])) / TICK
        resident[part] += pages * PAGE
    return {part: Use(seconds[part], resident[part]) for part in seconds}


def _family(root: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {root}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on just now.

    Below those that a system hands out by itself: Ray's processes open many there before this one is listened on.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 200):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port between 20,000 and 32,000")
