"""Token shards: whole files as uint16 ids, one after another, memory-mapped, with their boundaries and hash.

`train-python-000.bin` holds the ids, `.json` beside it the file boundaries and the SHA-256 of both binary files, and
`.spans.npy` the spans of syntax to cut at. A shard is complete when its `.json` exists: that is written last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.model.manifest import CorpusError

SHARD_TOKENS = 6_000_000  # 12 MB, so that several fit one small transfer
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a corpus: ids (n,), spans of syntax (bytes), and where it is from."""

    package: str
    path: str
    tokens: npt.NDArray[np.uint16]
    spans: npt.NDArray[np.void]


def write(folder: Path, split: str, language: str, pieces: Sequence[Piece], tokenizer: str) -> list[Path]:
    """Write the shards of one language in the given order; returns their `.json` files."""
    written: list[Path] = []
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        if batch and (size + len(piece.tokens) > SHARD_TOKENS or len(batch) >= 65_000):
            written.append(_write(folder, f"{split}-{language}-{len(written):03d}", language, batch, tokenizer))
            batch, size = [], 0
        batch.append(piece)
        size += len(piece.tokens)
    if batch:
        written.append(_write(folder, f"{split}-{language}-{len(written):03d}", language, batch, tokenizer))
    return written


def _write(folder: Path, name: str, language: str, pieces: list[Piece], tokenizer: str) -> Path:
    tokens = np.concatenate([p.tokens for p in pieces]).astype("<u2")
    spans = []
    for i, piece in enumerate(pieces):
        own = piece.spans.copy()
        own["file"] = i
        spans.append(own)
    bin_file, span_file = folder / f"{name}.bin", folder / f"{name}.spans.npy"
    _replace(bin_file, tokens.tobytes())
    scratch = span_file.with_suffix(".part.npy")
    np.save(scratch, np.concatenate(spans))
    os.replace(scratch, span_file)
    starts = np.concatenate([[0], np.cumsum([len(p.tokens) for p in pieces])])
    about = {
        "format": FORMAT,
        "language": language,
        "tokenizer": tokenizer,
        "tokens": len(tokens),
        "sha256": {p.name: sha256(p) for p in (bin_file, span_file)},
        "starts": starts.tolist(),
        "files": [f"{p.package}:{p.path}" for p in pieces],
    }
    _replace(folder / f"{name}.json", json.dumps(about).encode())
    return folder / f"{name}.json"


def _replace(path: Path, data: bytes) -> None:
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(data)
    os.replace(scratch, path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class Shard:
    """One shard, memory-mapped. `CorpusError` when a file is missing or cut short."""

    def __init__(self, about: Path) -> None:
        try:
            raw = json.loads(about.read_text(encoding="utf-8"))
            self.language: str = raw["language"]
            self.tokenizer: str = raw["tokenizer"]
            self.hashes: dict[str, str] = raw["sha256"]
            self.starts = np.array(raw["starts"], dtype=np.int64)
            self.files: list[str] = raw["files"]
            stem = about.name.removesuffix(".json")
            self.name = stem
            self._folder = about.parent
            self.tokens = np.memmap(about.parent / f"{stem}.bin", dtype="<u2", mode="r")
            self.spans = np.load(about.parent / f"{stem}.spans.npy", mmap_mode="r")
        except (OSError, ValueError, KeyError, TypeError) as damage:
            raise CorpusError(f"shard {about} is damaged ({damage}): build the corpus again") from None
        if len(self.tokens) != self.starts[-1] or len(self.files) != len(self.starts) - 1:
            raise CorpusError(
                f"shard {about} holds {len(self.tokens)} tokens, its .json says {self.starts[-1]}: it was cut short; "
                "build the corpus again or copy the shard again"
            )
        self._span_starts = np.searchsorted(np.asarray(self.spans["file"]), np.arange(len(self.files) + 1))

    def __len__(self) -> int:
        return len(self.files)

    def ids(self, file: int) -> npt.NDArray[np.uint16]:
        """The token ids of one file."""
        return np.asarray(self.tokens[self.starts[file] : self.starts[file + 1]])

    def cuts(self, file: int) -> npt.NDArray[np.void]:
        """The spans of syntax of one file: `start`, `length` (bytes), `kind`."""
        return np.asarray(self.spans[self._span_starts[file] : self._span_starts[file + 1]])

    def verify(self) -> None:
        """Check both hashes; `CorpusError` names the file that changed."""
        for name, digest in self.hashes.items():
            if sha256(self._folder / name) != digest:
                raise CorpusError(f"{self._folder / name} does not match its hash: copy it again")


def read(folder: Path, split: str = "train") -> list[Shard]:
    """All complete shards of a split, in a fixed order; `CorpusError` when there is none."""
    shards = list(_complete(folder, split))
    if not shards:
        raise CorpusError(f"no {split} shards in {folder}: build them with `remask model corpus --out {folder}`")
    return shards


def _complete(folder: Path, split: str) -> Iterator[Shard]:
    for about in sorted(folder.glob(f"{split}-*-[0-9][0-9][0-9].json")):
        yield Shard(about)
