"""What a run says of itself: lines on stderr for people, records in its log for programs."""

from __future__ import annotations

import sys
import time
from typing import Any

from engine.model.objective import KINDS
from engine.model.run_folder import RunFolder


def say(line: str) -> None:
    """Progress goes to stderr, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def log(run: RunFolder, record: dict[str, Any]) -> None:
    """A line in the run's log; a disk that does not take it costs the line, not the run."""
    try:
        run.log(record)
    except OSError as problem:
        say(f"the log could not be written: {problem}")


def describe(record: dict[str, Any]) -> str:
    """One record as a line for people."""
    found = record.get("loss") or record.get("dev") or {}
    parts = [f"{k} {found[k]:.3f}" for k in KINDS if k in found]
    parts += [f"{name.replace('_', ' ')} {count}" for name, count in record.get("compiled", {}).items()]
    head = f"step {record['step']} ({record['minutes']:.1f} min)"
    if "positions_s" in record:
        head += f" {record['positions_s']:.0f}/s {record['of_products']:.0%}, data {record['waited']:.0%}"
    return f"{head}{' dev' if 'dev' in record else ''}: {', '.join(parts)}"
