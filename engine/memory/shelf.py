"""Files of one language family in sorted streams: a few large ones, and small ones for what was edited lately.

An edit sorts its own file again and nothing else; small streams are merged behind the scenes, and files that were
replaced or forgotten stay in their stream, unseen, until a merge drops them. A token takes eight bytes: its id, what it
is sorted by, and its place in the order.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from engine.memory.folding import Folding, Tokens
from engine.memory.suffixes import Suffixes

RECENT = 24  # single files before they are merged
SEGMENT = 2_000_000  # tokens of a merged stream at most: sorting one takes some 100 MB for a moment


@dataclass(eq=False, slots=True)
class File:
    """A remembered file; `alive` turns false when it is replaced or forgotten."""

    path: str
    tokens: Tokens
    alive: bool = True
    folder: str = ""

    def __post_init__(self) -> None:
        self.folder = str(PurePath(self.path).parent)


class Segment:
    """Some files in one sorted stream, a separator (which no context can match) before and after each."""

    def __init__(self, files: list[File], folding: Folding, between: Callable[[], object] = lambda: None) -> None:
        """`between` as in `Suffixes`."""
        self.files = files
        self.wall = folding.wall
        wall = np.array([self.wall], dtype=folding.dtype)
        parts = [wall]
        for file in files:
            parts += [file.tokens.astype(folding.dtype), wall]
        self.text = np.concatenate(parts)
        self.suffixes = Suffixes(folding.of(self.text), folding.width, self.wall, between)
        self._starts = np.cumsum([len(p) for p in parts])[:-1:2]
        self._begin: list[int] = self._starts.tolist()  # for one place at a time
        for file, start in zip(files, self._begin, strict=True):
            file.tokens = self.text[start : start + len(file.tokens)]  # not a second copy

    def file(self, place: int) -> File:
        """The file that a backward index lies in."""
        return self.files[max(bisect_right(self._begin, self.suffixes.size - 1 - place) - 1, 0)]

    def files_at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The number in `files` of the file that each backward index lies in."""
        at = self.suffixes.size - 1 - places
        return np.maximum(np.searchsorted(self._starts, at, side="right") - 1, 0)

    def after(self, place: int, count: int) -> Tokens:
        """At most `count` tokens after a place, those of the next file among them behind a `wall`."""
        at = self.suffixes.size - place
        return self.text[at : at + count]

    @property
    def alive(self) -> bool:
        """Whether any file of it was not replaced or forgotten since."""
        return any(f.alive for f in self.files)

    @property
    def living(self) -> list[File]:
        """Files that were not replaced or forgotten since."""
        return [f for f in self.files if f.alive]

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.text.nbytes + self.suffixes.nbytes


class Shelf:
    """All files of one family. `put` and `drop` take effect at once; `merge` is for a background thread."""

    def __init__(self, folding: Folding) -> None:
        self.folding = folding
        self.files: dict[str, File] = {}
        self.segments: tuple[Segment, ...] = ()
        self._lock = threading.Lock()

    def put(self, fresh: Segment) -> None:
        """Add a file, sorted already, or replace it."""
        [file] = fresh.files
        path = file.path
        with self._lock:
            self._bury(path)
            self.files[path] = file
            self.segments = (*(s for s in self.segments if s.alive), fresh)

    def drop(self, path: str) -> bool:
        """Forget a file; whether it was there."""
        with self._lock:
            found = self._bury(path)
            if found:
                self.segments = tuple(s for s in self.segments if s.alive)
        return found

    def _bury(self, path: str) -> bool:
        file = self.files.pop(path, None)
        if file is not None:
            file.alive = False
        return file is not None

    @property
    def crowded(self) -> bool:
        """Whether a merge is due."""
        return sum(len(s.files) == 1 for s in self.segments) > RECENT

    def merge(self, between: Callable[[], object] = lambda: None) -> None:
        """Put small streams together, and streams that are mostly dead anew; `between` as in `Suffixes`."""
        old = [s for s in self.segments if s.suffixes.size < SEGMENT // 2 or 2 * len(s.living) < len(s.files)]
        fresh = [Segment(group, self.folding, between) for group in _groups(f for s in old for f in s.living)]
        with self._lock:
            self.segments = (*fresh, *(s for s in self.segments if s not in old))

    @property
    def nbytes(self) -> int:
        """Memory of the streams."""
        return sum(s.nbytes for s in self.segments)


def _groups(files: Iterable[File]) -> Iterator[list[File]]:
    group: list[File] = []
    size = 0
    for file in files:
        if group and size + len(file.tokens) > SEGMENT:
            yield group
            group, size = [], 0
        group.append(file)
        size += len(file.tokens)
    if group:
        yield group
