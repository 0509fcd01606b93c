"""The source files around a file, as git sees them: what a completion on the command line may learn from."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grammars
from lsp_server import source_files
from lsp_server.exclusions import Exclusions

CHARACTERS = 2_000_000  # of files at most, the nearest first: a second or two of work, once


def around(path: Path) -> Iterator[tuple[str, str]]:
    """(absolute path, text) of the other source files of the project that `path` is in, nearest first.

    In a git repository, what it tracks and what it does not ignore; elsewhere the files beside it. Never files that may
    hold secrets, nor what is large, binary or not UTF-8.
    """
    home = path.resolve()
    root, files = _listed(home.parent)
    excluded = Exclusions(folders=[str(root)])
    room = CHARACTERS
    for file in sorted(files, key=lambda f: (_distance(home, f), f)):
        if file == home or grammars.for_path(str(file)) is None or excluded.reason(file) is not None:
            continue
        text = source_files.read(file)
        if text is None:
            continue
        room -= len(text)
        if room < 0:
            return
        yield str(file), text


def _listed(folder: Path) -> tuple[Path, list[Path]]:
    """The repository's root and files, or the folder and what lies in it."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    names = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--full-name", ":/")
    if root is None or names is None:
        return folder, sorted(f for f in folder.iterdir() if f.is_file())
    top = Path(root.rstrip("\n"))
    return top, [top / name for name in names.split("\0") if name]


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, or no repository
        return None
    return done.stdout.decode("utf-8", "surrogateescape")


def _distance(a: Path, b: Path) -> int:
    """Steps between two files through their folders."""
    shared = sum(x == y for x, y in zip(a.parts, b.parts, strict=False))
    return len(a.parts) + len(b.parts) - 2 * shared
