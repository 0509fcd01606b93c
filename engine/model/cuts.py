"""Where to cut a file into prefix, middle and suffix: the mix that real typing has. All offsets are bytes of UTF-8."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# How often each kind of cut is tried. About seven in ten middles stay on one line, as most completions do.
MIX = {
    "rest of line": 0.32,
    "whole line": 0.24,
    "inside line": 0.11,
    "syntax": 0.16,
    "block": 0.07,
    "lines": 0.05,
    "random": 0.03,
    "nothing": 0.02,
}
KINDS = tuple(MIX)
_SHARES = np.cumsum(list(MIX.values())) / sum(MIX.values())
ARGUMENTS = 2  # index in spans.KINDS; that module needs the grammars, which a training machine may lack
LONGEST_BLOCK = 600  # bytes
CODE = re.compile(
    rb"[()\[\]{}=]|:\s*(?:#.*)?\Z|^\s*(?:@|import|from|return|raise|yield|else|pass|break|continue)\b", re.M
)
HEADER = re.compile(rb"^([ \t]*)\S.*[:{][ \t]*(?:#.*)?$", re.M)
EDGE = re.compile(rb"\w+|[^\w\s]|\s+")


@dataclass(frozen=True, slots=True)
class Cut:
    """The middle is `data[start:end]`."""

    start: int
    end: int
    kind: str


def choose(data: bytes, spans: npt.NDArray[np.void], rng: np.random.Generator) -> Cut:
    """One cut of a file, drawn from `MIX`; a kind that does not fit at the place drawn becomes rest of line."""
    kind = KINDS[int(np.searchsorted(_SHARES, rng.random(), side="right"))]
    at = _somewhere(data, rng)
    found: tuple[int, int] | None
    if kind == "whole line":
        found = _whole_line(data, at, rng)
    elif kind == "inside line":
        found = _inside_line(data, at, rng)
    elif kind == "syntax":
        found = _syntax(data, spans, rng)
    elif kind == "block":
        found = _block(data, at, rng)
    elif kind == "lines":
        found = _lines(data, at, rng)
    elif kind == "random":
        found = at, min(at + 1 + int(rng.exponential(40)), len(data))
    elif kind == "nothing":
        stop = line_end(data, at)
        found = stop, stop
    else:
        found = _rest_of_line(data, at, rng)
    if found is None:
        kind, found = "rest of line", _rest_of_line(data, at, rng)
    start, end = whole_character(data, found[0]), whole_character(data, found[1])
    return Cut(start, max(start, end), kind)


def line_start(data: bytes, at: int) -> int:
    """The first byte of the line that `at` is on."""
    return data.rfind(b"\n", 0, at) + 1


def line_end(data: bytes, at: int) -> int:
    """The line break that ends the line `at` is on, or the end of the file."""
    found = data.find(b"\n", at)
    return found if found >= 0 else len(data)


def whole_character(data: bytes, at: int) -> int:
    """`at`, moved left to a border between characters."""
    while 0 < at < len(data) and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


def _somewhere(data: bytes, rng: np.random.Generator) -> int:
    """A byte of code: lines weigh by their length; white space is passed over, and prose (a docstring) mostly."""
    for _ in range(8):
        at = int(rng.integers(len(data)))
        if data[at : at + 1].isspace():
            continue
        if CODE.search(data, line_start(data, at), line_end(data, at)) or rng.random() < 0.15:
            break
    return at


def _edges(data: bytes, start: int, end: int) -> list[int]:
    return [m.start() for m in EDGE.finditer(data, start, end)]


def _rest_of_line(data: bytes, at: int, rng: np.random.Generator) -> tuple[int, int]:
    stop = line_end(data, at)
    if rng.random() < 0.55:  # people pause between words more often than inside them
        edges = [e for e in _edges(data, line_start(data, at), stop) if e <= at]
        at = edges[-1] if edges else at
    return at, stop


def _whole_line(data: bytes, at: int, rng: np.random.Generator) -> tuple[int, int]:
    first, stop = line_start(data, at), line_end(data, at)
    if rng.random() < 0.5:
        body = data[first:stop]
        return first + len(body) - len(body.lstrip()), stop
    return first, min(stop + (rng.random() < 0.5), len(data))


def _inside_line(data: bytes, at: int, rng: np.random.Generator) -> tuple[int, int] | None:
    if rng.random() < 0.7:
        words = [e for e in _edges(data, line_start(data, at), at + 1) if e <= at]
        at = words[-1] if words else at
    edges = _edges(data, at, line_end(data, at))
    if len(edges) < 3:
        return None
    return at, edges[int(rng.integers(1, min(len(edges), 14)))]


def _syntax(data: bytes, spans: npt.NDArray[np.void], rng: np.random.Generator) -> tuple[int, int] | None:
    if not len(spans):
        return None
    span = spans[int(rng.integers(len(spans)))]
    start, end = int(span["start"]), int(span["start"]) + int(span["length"])
    if span["kind"] == ARGUMENTS and end - start > 2:
        start, end = start + 1, end - 1  # brackets are often there already
    if rng.random() < 0.4:
        edges = _edges(data, start, min(line_end(data, start), end))
        start = edges[int(rng.integers(len(edges)))] if edges else start
    return start, end


def _block(data: bytes, at: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """The body under the next header: the lines behind it that are indented deeper than it is."""
    header = HEADER.search(data, line_start(data, at), min(at + 4000, len(data)))
    if header is None:
        return None
    depth = len(header.group(1))
    stop = last = header.end()
    while stop < len(data):
        first, stop = stop + 1, line_end(data, stop + 1)
        line = data[first:stop]
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        if line.strip():
            last = stop
        if stop - header.end() > LONGEST_BLOCK:
            return None
    if last == header.end():
        return None
    body = data[header.end() : last]
    if rng.random() < 0.5:  # the cursor behind the header, before the line break
        return header.end(), last
    return header.end() + len(body) - len(body.lstrip()), last


def _lines(data: bytes, at: int, rng: np.random.Generator) -> tuple[int, int]:
    first = line_start(data, at)
    stop = line_end(data, at)
    for _ in range(int(rng.integers(1, 5))):
        stop = line_end(data, min(stop + 1, len(data)))
    body = data[first:stop]
    return (first + len(body) - len(body.lstrip()) if rng.random() < 0.5 else first), stop
