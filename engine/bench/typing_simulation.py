"""`remask bench typing`: a real file typed at so many characters a second; how long each key waits for its suggestion.

A stretch of a real file is typed key by key in real time. A key that continues the suggestion on screen is answered at
once, without a call, as the language server does. Any other key asks the engine; the next one cancels what is still
running, and such an answer is late by as much as was waited for it.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

import grammars
from engine.bench import speed
from engine.core import Engine
from engine.errors import BadRequestError
from engine.types import CompleteRequest


@dataclass(frozen=True, slots=True)
class Key:
    """One key: milliseconds to the answer, processor time, and what answered."""

    ms: float
    cpu_ms: float
    kind: str  # "cached", "shown", "empty" or "late"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    speed.add_common(parser)
    parser.add_argument("--file", type=Path, metavar="FILE", help="a Python file to type in (default: argparse's)")
    parser.add_argument("--keys", type=int, default=250, metavar="N", help="keys to type (default 250)")
    parser.add_argument("--speed", type=float, default=5.0, metavar="N", help="characters a second (default 5)")


def run(args: argparse.Namespace) -> int:
    """Print a table; exit 0."""
    text = source(args.file)
    with Engine(args.device, model=args.model, memory=False) as engine:
        about = speed.facts(engine.denoiser)
        keys = simulate(engine, text, args.keys, args.speed)
        stats = engine.caches.stats()
    asked = [k for k in keys if k.kind != "cached"]
    every, called = [k.ms for k in keys], [k.ms for k in asked]
    p = speed.percentile
    rows: list[list[Any]] = [
        ["all keys", len(keys), p(every, 0.5), p(every, 0.95), max(every), mean_cpu(keys)],
        ["keys that asked the engine", len(asked), p(called, 0.5), p(called, 0.95), max(called), mean_cpu(asked)],
    ]
    columns = ["keystroke to suggestion", "keys", "ms p50", "ms p95", "ms max", "processor ms"]
    console = Console()
    speed.show(console, f"{len(keys)} keys at {args.speed:g} a second", about, columns, rows)
    shares = {kind: sum(k.kind == kind for k in keys) / len(keys) for kind in ("cached", "shown", "empty", "late")}
    console.print(
        f"answered without a call {shares['cached']:.0%}, by the engine {shares['shown']:.0%}, nothing to suggest "
        f"{shares['empty']:.0%}, overtaken by the next key {shares['late']:.0%}; "
        f"tokens of the window found cached {stats['cache_hit_rate']:.1%}; memory {peak_mb():.0f} MB at most"
    )
    figures = {"about": about, "rows": rows, "shares": shares, "cache": stats, "peak_mb": peak_mb()}
    speed.write(args.json, figures)
    return 0


def source(path: Path | None) -> str:
    """The text to type in."""
    if path is None:
        return Path(argparse.__file__).read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as refusal:
        raise BadRequestError(f"{path} cannot be read: {refusal}") from None


def beginning(text: str, keys: int) -> int:
    """The line from which on `keys` are typed; `BadRequestError` where the text is too short for that."""
    if len(text) < 2_000 + keys:
        raise BadRequestError(f"the file has {len(text):,} characters; typing {keys} takes at least {2_000 + keys:,}")
    return text.index("\n", len(text) // 2) + 1


def rest(text: str, at: int, keys: int) -> tuple[int, str]:
    """Where to stop at the latest when `keys` are typed from `at` on, and what stands behind the cursor meanwhile.

    What is typed is missing from a file that is whole without it: who cuts a docstring in two has no code behind it.
    """
    stop = min(at + 4 * keys, len(text))
    ends = [stop + found.end() - 1 for found in re.finditer(r"[^\n]*\n", text[stop:])]
    whole = (end for end in ends if not grammars.get("python").parse(text[:at] + text[end:]).broken)
    end = next(whole, ends[0] if ends else len(text))
    return stop, text[end:]


def key_end(text: str, at: int) -> int:
    """Where the key at `at` ends: with a line break comes the indentation, as from an editor."""
    end = at + 1
    while text[at] == "\n" and text[end : end + 1] == " ":
        end += 1
    return end


def simulate(engine: Engine, text: str, keys: int, rate: float) -> list[Key]:
    """Type `keys` characters from the middle of `text` on, a line's indentation as one key, as editors do."""
    at = beginning(text, keys)
    stop, suffix = rest(text, at, keys)
    engine.run_complete(CompleteRequest(text[:at], suffix, "python"))  # the file was open before it was typed in
    typed: list[Key] = []
    shown = ""
    clock = time.perf_counter()
    while len(typed) < keys and at < stop:
        key, at = text[at], key_end(text, at)
        time.sleep(max(clock - time.perf_counter(), 0.0))
        began, cpu = time.perf_counter(), time.process_time()
        if len(shown) > 1 and shown[0] == key:
            shown, kind = shown[1:], "cached"
        else:
            deadline = time.monotonic() + 1.0 / rate
            answer = engine.run_complete(CompleteRequest(text[:at], suffix, "python", deadline=deadline))
            shown = answer.items[0].text if answer.items else ""
            kind = "late" if time.monotonic() > deadline else "shown" if shown else "empty"
        typed.append(Key((time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3, kind))
        clock = max(clock + 1.0 / rate, time.perf_counter())
    return typed


def mean_cpu(keys: list[Key]) -> float:
    """Mean processor time, in milliseconds."""
    return sum(k.cpu_ms for k in keys) / max(len(keys), 1)


def peak_mb() -> float:
    """The most memory this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
