"""Real files to damage: Python's own library and installed packages; published npm packages for the other languages."""

from __future__ import annotations

import random
import shutil
import subprocess
import sysconfig
import tarfile
from pathlib import Path

import grammars
from engine.errors import BadRequestError

# Pinned, permissively licensed (MIT, Apache-2.0), and shipped with readable sources.
PACKAGES = ("eslint@10.0.0", "webpack@5.100.0", "express@5.1.0", "rxjs@7.8.2", "zod@4.1.0", "react-native-paper@5.14.0")
FOLDERS = {
    "javascript": ("eslint", "webpack", "express"),
    "typescript": ("rxjs", "zod"),
    "tsx": ("react-native-paper",),
}
SKIPPED = ("test", "lib2to3", "idlelib", "turtledemo", "torch", "dist", "build", "umd", "esm", "cjs", "locales")
LINES = (60, 1000)  # of a file that is damaged


def paths(language: str, folder: Path) -> list[Path]:
    """Source files of a language in a fixed order; npm packages are fetched into `folder` when they are not there."""
    wanted = grammars.get(language).extensions
    if language == "python":
        roots = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    else:
        roots = [_package(name, folder) for name in FOLDERS[language]]
    found = {p for root in roots for p in root.rglob("*") if p.suffix in wanted and not p.name.endswith(".d.ts")}
    return sorted(p for p in found if not any(part in SKIPPED or part.startswith("test") for part in p.parts[-6:]))


def texts(language: str, folder: Path, count: int, seed: int, lines: tuple[int, int] = LINES) -> list[tuple[Path, str]]:
    """`count` files that parse, drawn with the seed, of a size within `lines`."""
    order = paths(language, folder)
    random.Random(f"{seed}:{language}").shuffle(order)
    chosen: list[tuple[Path, str]] = []
    for path in order:
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        if lines[0] <= text.count("\n") <= lines[1] and grammars.accepts(grammars.get(language), text):
            chosen.append((path, text))
        if len(chosen) >= count:
            break
    return chosen


def _package(name: str, folder: Path) -> Path:
    pinned = next(p for p in PACKAGES if p.split("@")[0] == name)
    target = folder / pinned.replace("@", "-")
    if target.exists():
        return target
    if shutil.which("npm") is None:
        raise BadRequestError("npm is needed once, to fetch the packages that are damaged: install Node.js")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["npm", "pack", "--silent", pinned, "--pack-destination", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise BadRequestError(f"npm could not fetch {pinned}: {done.stderr.strip().splitlines()[-1:]}")
    archive = folder / done.stdout.strip().splitlines()[-1]
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    archive.unlink()
    return target
