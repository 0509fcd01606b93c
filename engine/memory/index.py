"""The memory: files by language family, found by the longest match of what stands left of a hole.

Code repeats itself locally (Hellendoorn and Devanbu 2017), so nearness counts: this file, its folder, the workspace.
Languages are kept apart. A file's own remembered copy is never asked while that file is edited: it would give away the
very text that is being written; the text around the cursor's line stands for it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import grammars
from engine.memory.folding import Folding, Tokens
from engine.memory.match import Match
from engine.memory.shelf import File, Segment, Shelf
from engine.memory.store import TokenStore
from engine.memory.suffixes import DEPTH
from engine.vocabulary import Vocabulary

MAX_TOKENS = 12_000_000  # about a million lines, 100 MB: the engine as a whole stays under 600 MB
MAX_FILE = 1_000_000  # characters; larger files are data or generated
A_FILE, A_MERGE = 1.0, 20.0  # seconds that a file and a merge give way to requests
APART = 1.0  # seconds between two files, and the second gives no way
SHORTEST = 2  # tokens that must agree
PATIENCE = 50  # places looked at one by one for the longest match, before so many at once:
WIDER = (200, 2000)  # on either side
PLACES = 512  # places looked at for one match, shared by the sorted streams that have it,
FEWEST = 64  # but so many in each
AHEAD = 64  # tokens of a draft: several lines
NEARNESS = (8.0, 3.0, 1.0)  # how much a place counts: in this file, its folder, the workspace
AROUND = 60_000  # characters of the file being edited on either side of the cursor
AGREES = 3  # tokens of the suffix looked for after a place
WEIGHTS = np.array(NEARNESS)
REACH = 40  # tokens after a place in which the suffix may begin
AGREEMENT = 4.0  # how much more a place counts where the suffix follows
BESIDE = 256  # tokens on either side of the cursor's line that the denoiser sees for itself
Label = tuple[str, int]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Place(NamedTuple):
    """Where the left of a cursor stands as well: `at` is a backward index, `token` what comes after.

    `shared` tokens agree; `near` is 0 in this file, 1 in its folder, 2 elsewhere.
    """

    segment: Segment
    at: int
    shared: int
    near: int
    token: int


class Memory:
    """Remembered files. Thread-safe: a scan may add files while completions look them up."""

    def __init__(self, vocabulary: Vocabulary, store: TokenStore | None = None) -> None:
        self.vocabulary = vocabulary
        self.store = store
        self.folding = Folding(vocabulary)
        # By language family and group; and the shelf and the tokens of each file.
        self._shelves: dict[Label, Shelf] = defaultdict(lambda: Shelf(self.folding))
        self._where: dict[str, tuple[Label, int]] = {}
        self._stored: dict[str, bytes] = {}  # by path: under what the store has the text that the file had there
        self._lock = threading.Lock()
        self._merger = ThreadPoolExecutor(1, thread_name_prefix="memory", initializer=step_back)
        self._merging = False
        self.busy: Callable[[], bool] = lambda: False  # whether somebody waits for an answer: merging waits for them
        self._remembered = 0.0  # when the last file was
        self._current: tuple[tuple[str, str, str], Around] = (("", "", ""), Around((), 0))
        self.tokens = 0
        self.lookups = 0
        self.hits = 0
        self.lines = 0
        self.lines_taken = 0

    def remember(self, path: str, text: str, group: int = 0, store: bool = True) -> None:
        """Add a file or replace its older text; it can be found when this returns. Other languages are left out.

        Without `store` nothing of it is kept on the disk: for text that is not there yet, as in an editor's buffer.
        Files of a `group` are sorted together: those of another project, which may not speak (`view`), would stand in
        front of those that may. A file stays in the group that it first came with. Who feeds a workspace begins with
        what matters most: over the bound the file that came last makes room.
        """
        language = grammars.for_path(path)
        if language is None or len(text) > MAX_FILE:
            self.forget(path)
            return
        key = self.store.key(text) if store and self.store is not None else None
        # One file after the other is a workspace; one alone is an edit, and wanted at once.
        give_way = self._giving_way(A_FILE if time.monotonic() - self._remembered < APART else 0.0)
        give_way()
        ids = self._encode(text, key)
        give_way()
        fresh = Segment([File(path, ids)], self.folding, give_way)
        with self._lock:
            if key is not None:
                self._stored[path] = key
            label, size = self._where.get(path, ((family_of(language), group), 0))
            self.tokens += len(ids) - size
            self._where[path] = (label, len(ids))
            self._make_room(path)
            shelf = self._shelves[label]
            shelf.put(fresh)
            if shelf.crowded and not self._merging:
                self._merging = True
                self._merger.submit(self._merge, shelf)
        self._remembered = time.monotonic()

    def forget(self, path: str, erase: bool = True) -> None:
        """Drop a file; unknown paths are fine.

        On the disk, too, unless another file has the same text: but for a file whose editor was closed (`erase`).
        """
        with self._lock:
            key = self._stored.pop(path, None)
            self._drop(path)
            shared = key is None or key in self._stored.values()
        if erase and not shared and key is not None and self.store is not None:
            self.store.drop(key)

    def view(
        self, language: str, path: str | None, prefix: str, suffix: str, end: int, files: Set[str] | None = None
    ) -> View:
        """What a request at this cursor may look up; a place where the suffix follows at once votes for `end`.

        Of `files`, if they are given, and of no others: it may change meanwhile.
        """
        family = family_of(grammars.get(language))
        shelves = [shelf for (of, _), shelf in list(self._shelves.items()) if of == family]
        if files is not None:
            shelves = [shelf for shelf in shelves if not files.isdisjoint(shelf.files)]
        segments = [segment for shelf in shelves for segment in shelf.segments]
        around = self._around(path, prefix, suffix)
        follows = self.vocabulary.encode_again(suffix[:200])[:AGREES]
        return View(self, (*around.segments, *segments), around, path, follows, end, files)

    def count(self, taken: bool) -> None:
        """Count a rest of a line that was offered, and whether it was suggested, not what the denoiser wrote."""
        self.lines += 1
        self.lines_taken += taken

    def settle(self) -> None:
        """Merge what is there, and wait for it: what is found then does not depend on when merges came."""
        for shelf in list(self._shelves.values()):
            self._merger.submit(shelf.merge)
        self._merger.submit(lambda: None).result()

    def close(self) -> None:
        """Stop the background work and close the store."""
        self._merger.shutdown()
        if self.store is not None:
            self.store.close()

    def stats(self) -> dict[str, int]:
        """Counters for `stats`."""
        return {
            "memory_files": len(self._where),
            "memory_tokens": self.tokens,
            "memory_bytes": sum(s.nbytes for s in list(self._shelves.values())),
            "memory_lookups": self.lookups,
            "memory_hits": self.hits,
            "memory_lines": self.lines,
            "memory_lines_taken": self.lines_taken,
        }

    def _encode(self, text: str, key: bytes | None) -> Tokens:
        if self.store is None or key is None:
            return np.array(self.vocabulary.encode(text), dtype=np.uint32)
        return self.store.tokens(text, self.vocabulary.encode, self.vocabulary.size, key)

    def _make_room(self, path: str) -> None:
        """For a file: the last of the others go."""
        while self.tokens > MAX_TOKENS:
            last = next((other for other in reversed(self._where) if other != path), None)
            if last is None:
                return
            self._drop(last)

    def _drop(self, path: str) -> None:
        self._stored.pop(path, None)
        label, size = self._where.pop(path, (None, 0))
        if label is not None:
            shelf = self._shelves[label]
            shelf.drop(path)
            self.tokens -= size
            if not shelf.files:  # a group ends with its last file
                del self._shelves[label]

    def _merge(self, shelf: Shelf) -> None:
        try:
            shelf.merge(self._giving_way(A_MERGE))
        finally:
            self._merging = False

    def _giving_way(self, seconds: float) -> Callable[[], None]:
        """For what runs beside requests: waits while any is under way, `seconds` of all its calls together."""
        left = seconds

        def give_way() -> None:
            nonlocal left
            while left > 0 and self.busy():
                time.sleep(0.005)
                left -= 0.005

        return give_way

    def _around(self, path: str | None, prefix: str, suffix: str) -> Around:
        """The file being edited without the cursor's line, sorted anew only when another line is edited."""
        # Without the white space before the cursor: a place there would have nothing but white space to say.
        above = prefix[: prefix.rfind("\n") + 1][-AROUND:].rstrip()
        line = suffix.find("\n")
        below = suffix[line + 1 : line + 1 + AROUND] if line >= 0 else ""
        key = (path or "", above, below)
        if self._current[0] != key:
            texts = [self.vocabulary.encode_file(t) for t in (above, below)]
            files = [File(path or "", t) for t in texts if len(t)]
            self._current = (key, Around((Segment(files, self.folding),) if files else (), len(texts[0]) + 1))
        return self._current[1]


class Around(NamedTuple):
    """The file being edited, and the token of its text behind which the cursor's line is left out."""

    segments: tuple[Segment, ...]
    cursor: int


def step_back() -> None:
    """Give the calling thread the lowest priority, where threads have one of their own (Linux)."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def family_of(language: grammars.Language) -> str:
    """Languages that share their words: TypeScript may learn from JavaScript."""
    return language.queries_from or language.name


class View:
    """One request's look-ups."""

    def __init__(
        self,
        memory: Memory,
        segments: tuple[Segment, ...],
        around: Around,
        path: str | None,
        follows: list[int],
        end: int,
        files: Set[str] | None,
    ) -> None:
        self.end = end
        self.memory = memory
        self.segments = segments
        self.own = around.segments
        self.cursor = around.cursor
        self.path = path
        self.files = files
        self.folder = str(PurePath(path).parent) if path else None
        self.follows = memory.folding.of(np.array(follows, dtype=np.uint32))

    def query(self, known: list[int]) -> bytes:
        """The end of `known` (token ids) as streams spell it."""
        ids = self.memory.folding.of(np.array(known[-DEPTH:], dtype=np.uint32))
        return ids[::-1].astype(ids.dtype.newbyteorder(">")).tobytes()

    def places(self, query: bytes, reach: int, most: int, goes_on: Callable[[int], bool]) -> Iterator[Place]:
        """Places whose left ends like `query`, the longest first, those of this file before others.

        At most `2 * reach` of a segment, which share most, and of the `most` best those before a token that `goes_on`.
        """
        near_by = [s.suffixes.near(query, reach) for s in self.segments]
        found = [(i, *self._speaking(self.segments[i], at, shared)) for i, (at, shared) in enumerate(near_by)]
        of = np.concatenate([np.full(len(at), i) for i, at, _, _ in found] or [np.zeros(0, dtype=int)])
        if not len(of):
            return
        tokens = [self.segments[i].text[self.segments[i].suffixes.size - at] for i, at, _, _ in found]
        columns = [of, *(np.concatenate(column) for column in (*list(zip(*found, strict=True))[1:], tokens))]
        order = np.argsort(-columns[2], kind="stable")[:most]
        told, which = np.unique(columns[4][order], return_inverse=True)
        order = order[np.array([goes_on(token) for token in told.tolist()])[which]]
        for i, at, shared, near, token in zip(*(column[order].tolist() for column in columns), strict=True):
            yield Place(self.segments[i], at, shared, near, token)

    def _speaks(self, segment: Segment, place: int) -> bool:
        """Whether a place counts: not in what was replaced or forgotten, nor in the file's own remembered copy."""
        return segment in self.own or self._near(segment.file(place)) >= 0

    def _near(self, file: File) -> int:
        """1 in the folder, 2 elsewhere, -1 for a file that may not speak."""
        if not file.alive or file.path == self.path:
            return -1
        if self.files is not None and file.path not in self.files:
            return -1
        return 1 if file.folder == self.folder else 2

    def match(self, known: list[int]) -> Match:
        """The longest match of the end of `known` (token ids), and what followed it."""
        self.memory.lookups += 1
        if not self.segments or len(known) < SHORTEST:
            return Match()
        query = self.query(known)
        lengths = [self._longest(s, query) for s in self.segments]
        for length in sorted({n for n in lengths if n >= SHORTEST}, reverse=True)[:4]:
            found = self._at(query, length, [s for s, n in zip(self.segments, lengths, strict=True) if n >= length])
            if found is not None:
                self.memory.hits += 1
                return found
        return Match()

    def _longest(self, segment: Segment, query: bytes) -> int:
        """Tokens that the best place of a segment shares.

        Where a project and a part of it are open in two editors, thousands of places that may not speak here can stand
        before one that may: those are passed over together, and not for ever.
        """
        if self.files is None:
            return segment.suffixes.longest(query, partial(self._speaks, segment))
        passed = 0

        def speaks(place: int) -> bool:
            nonlocal passed
            passed += 1
            return passed > PATIENCE or self._speaks(segment, place)

        length = segment.suffixes.longest(query, speaks)
        if passed <= PATIENCE:
            return length
        for reach in WIDER:
            if len(shared := self._speaking(segment, *segment.suffixes.near(query, reach))[1]):
                return int(shared.max())
        return 0

    def _at(self, query: bytes, length: int, segments: list[Segment]) -> Match | None:
        weights: dict[int, float] = defaultdict(float)
        count, nearest, agreeing, seen = 0, 2, 0.0, 0.0
        best, ahead = 0.0, (segments[0], 0)
        most = max(PLACES // max(len(segments) - len(self.own), 1), FEWEST)
        for segment in segments:
            looked_at, among = segment.suffixes.places(query, length, most)
            places, _, near = self._speaking(segment, looked_at, np.full(len(looked_at), length))
            if not len(places):
                continue
            tokens, agrees = self._next(segment, places)
            weight = WEIGHTS[near] * np.where(agrees, AGREEMENT, 1.0)
            for token, part in zip(tokens.tolist(), weight.tolist(), strict=True):
                weights[token] += part
            agreeing += float(weight[agrees].sum())
            if segment in self.own:
                seen += float(weight[np.abs(segment.suffixes.size - places - self.cursor) <= BESIDE].sum())
            nearest = min(nearest, int(near.min()))
            count += round(among * len(places) / len(looked_at))
            at = int(weight.argmax())
            if weight[at] > best:
                best, ahead = float(weight[at]), (segment, int(places[at]))
        if not weights:
            return None
        total = sum(weights.values())
        chances = {t: w / total for t, w in weights.items()}
        return Match(length, max(count, 1), nearest, agreeing / total, seen / total, chances, self._ahead(*ahead))

    def _speaking(self, segment: Segment, places: Places, shared: Places) -> tuple[Places, Places, Places]:
        """Those of the backward indices that count and have something to say, what they share, how near each is."""
        kept = (places > 0) & (shared > 0)
        kept[kept] = segment.suffixes.stream[places[kept] - 1] != segment.wall
        places, shared = places[kept], shared[kept]
        if segment in self.own:
            return places, shared, np.zeros(len(places), dtype=np.int64)
        which = segment.files_at(places)
        near = np.zeros(len(segment.files), dtype=np.int64)
        for i in np.unique(which).tolist():
            near[i] = self._near(segment.files[i])
        kept = near[which] >= 0
        return places[kept], shared[kept], near[which[kept]]

    def _next(self, segment: Segment, places: Places) -> tuple[Places, Flags]:
        """The token after each place, `end` where the suffix follows at once, and whether it follows soon."""
        tokens = segment.text[segment.suffixes.size - places].astype(np.int64)
        n = len(self.follows)
        if not n:
            return tokens, np.zeros(len(places), dtype=bool)
        # A text ends with a wall, which no suffix can match: what lies beyond the stream's end reads as one.
        after = segment.suffixes.stream[np.maximum(places[:, None] - 1 - np.arange(REACH), 0)]
        hits = np.logical_and.accumulate(after != segment.wall, axis=1)[:, : REACH - n + 1]
        for i, token in enumerate(self.follows.tolist()):
            hits = hits & (after[:, i : i + REACH - n + 1] == token)
        return np.where(hits[:, 0], self.end, tokens), np.logical_or.reduce(hits, axis=1)

    def _ahead(self, segment: Segment, place: int) -> list[int]:
        tokens: list[int] = segment.after(place, AHEAD).tolist()
        return tokens[: tokens.index(segment.wall)] if segment.wall in tokens else tokens
