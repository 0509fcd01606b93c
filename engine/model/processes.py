"""What the system says of processes: whether one is still at work, and how many cores this one may use."""

from __future__ import annotations

import os
from pathlib import Path


def cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alive(process: int) -> bool:
    """False too for one that has ended and that nobody has taken leave of, which systems still list."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # it lives, and is another user's
    except (OSError, OverflowError):
        return False
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return True  # a system without such files
