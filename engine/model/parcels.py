"""Files in numbered pieces that fit small transfers, compressed, checked by hash, put together as they arrive.

A file becomes `NAME.000`, `NAME.001`, …, slices of its zlib stream; `NAME.index` says how many there are, and the
file's SHA-256. Pieces may arrive in any order and any number of times; a file appears whole or not at all, and `X.json`
only after `X.bin` and all else that begins so: it is what says that a shard is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path

from engine.errors import RemaskError

INDEX = ".index"


class ParcelError(RemaskError):
    """Pieces are missing or damaged; the text names them."""


def send(files: Iterable[tuple[Path, str]], out: Path, piece: int, parcel: int | None = None) -> list[Path]:
    """Write the pieces (at most `piece` bytes each) of (file, name) pairs into `out`.

    With `parcel`, folders `out/01`, `out/02`, … of at most so many bytes each are filled in order, so that what is
    listed first travels first. Returns the folders.
    """
    number, used = 1, 0
    folder = out if parcel is None else out / "01"
    folder.mkdir(parents=True, exist_ok=True)
    folders = [folder]
    files = list(files)
    for path, name in files:
        data = path.read_bytes()
        packed = zlib.compress(data, 6)
        count = max(-(-len(packed) // piece), 1)
        needs = [n for _, n in files if name.endswith(".json") and n != name and n.startswith(name[:-4])]
        index = {"name": name, "pieces": count, "sha256": hashlib.sha256(data).hexdigest(), "needs": needs}
        stem = name.replace("/", "@")
        slices = [(f"{stem}.{i:03d}", packed[i * piece : (i + 1) * piece]) for i in range(count)]
        for piece_name, content in [(stem + INDEX, json.dumps(index).encode()), *slices]:
            if parcel is not None and used and used + len(content) > parcel:
                number, used = number + 1, 0
                folder = out / f"{number:02d}"
                folder.mkdir(parents=True, exist_ok=True)
                folders.append(folder)
            (folder / piece_name).write_bytes(content)
            used += len(content)
    return folders


def receive(parcel: Path, home: Path) -> tuple[list[str], list[str]]:
    """Take over the pieces in `parcel` and put together what is whole now: (files that appeared, files still waiting).

    A file whose hash is wrong is taken apart again: `ParcelError` names it, and its pieces must be sent once more.
    """
    if not parcel.is_dir():
        raise ParcelError(f"no folder {parcel}: name the folder of pieces that was copied here")
    inbox = home / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    for piece in sorted(parcel.iterdir()):
        if piece.is_file():
            scratch = inbox / (piece.name + ".part")
            shutil.copyfile(piece, scratch)
            os.replace(scratch, inbox / piece.name)
    appeared: list[str] = []
    waiting: list[str] = []
    for index_file in sorted(inbox.glob("*" + INDEX), key=lambda p: (p.name.endswith(".json" + INDEX), p.name)):
        stem = index_file.name.removesuffix(INDEX)
        index = json.loads(index_file.read_text(encoding="utf-8"))
        pieces = [inbox / f"{stem}.{i:03d}" for i in range(index["pieces"])]
        if not all(p.exists() for p in pieces) or not all((home / n).exists() for n in index["needs"]):
            waiting.append(str(index["name"]))
            continue
        _put_together(index, pieces, home / str(index["name"]))
        for p in (*pieces, index_file):
            p.unlink()
        appeared.append(str(index["name"]))
    return appeared, waiting


def _put_together(index: dict[str, object], pieces: list[Path], target: Path) -> None:
    try:
        data = zlib.decompress(b"".join(p.read_bytes() for p in pieces))
    except zlib.error:
        data = b""
    if hashlib.sha256(data).hexdigest() != index["sha256"]:
        for p in pieces:
            p.unlink()
        raise ParcelError(f"{index['name']} arrived damaged: send its {index['pieces']} pieces again")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(target.name + ".part")
    scratch.write_bytes(data)
    os.replace(scratch, target)
