"""Fetch packages with the ordinary clients (`pip download`, `npm pack`), check their licence, read their sources.

A download that is already there is not fetched again. Nothing of a package is ever executed: wheels only, no builds.
"""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from engine.model.manifest import CorpusError, Package, confirms

WHEEL_TAGS = ("any", "manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_24_x86_64")
OLDER_TAGS = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64")
PYTHONS = ("3.13", "3.14.9", "3.12", "3.11")  # newest that most wheels are built for, then the others
TIMEOUT = 600
# What an archive raises that was cut short or changed on its way.
DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


class PackageRefusedError(CorpusError):
    """This package cannot be used (vanished, wrong licence, damaged); the others can."""


def archive(package: Package, folder: Path) -> Path | None:
    """The package's archive in `folder`, fetched if need be; None for the interpreter's own library."""
    if package.registry == "interpreter":
        return None
    home = folder / package.registry / package.key
    found = _only(home)
    if found is None:
        scratch = home.with_suffix(".part")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        (_pip if package.registry == "pypi" else _npm)(package, scratch)
        if _only(scratch) is None:
            raise PackageRefusedError(f"{package.name} {package.version}: the client fetched nothing")
        shutil.rmtree(home, ignore_errors=True)
        scratch.rename(home)
        found = _only(home)
    assert found is not None
    return found


def _only(folder: Path) -> Path | None:
    files = sorted(p for p in folder.glob("*") if p.suffix in (".whl", ".tgz")) if folder.is_dir() else []
    return files[0] if files else None


def _pip(package: Package, into: Path) -> None:
    platforms = [word for tag in (*WHEEL_TAGS, *OLDER_TAGS) for word in ("--platform", tag)]
    error = ""
    for python in PYTHONS:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms]
        done = _client([*command, "--dest", str(into), f"{package.name}=={package.version}"], package)
        if done.returncode == 0:
            return
        error = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), done.stderr[-300:])
    raise PackageRefusedError(f"{package.name} {package.version}: pip finds no wheel ({error.strip()})")


def _npm(package: Package, into: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PackageRefusedError(f"{package.name}: npm is not installed, and {package.name} comes from npm")
    command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(into)]
    done = _client([*command, f"{package.name}@{package.version}"], package)
    if done.returncode:
        raise PackageRefusedError(f"{package.name} {package.version}: npm pack failed ({done.stderr.strip()[-300:]})")


def _client(command: list[str], package: Package) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise PackageRefusedError(f"{package.name} {package.version}: no answer within {TIMEOUT} s") from None


def check_licence(package: Package, path: Path | None) -> None:
    """Raise `PackageRefusedError` unless the package's own metadata confirms the manifest's licence."""
    stated = stated_licence(package, path)
    if (problem := confirms(package, stated)) is not None:
        raise PackageRefusedError(f"{package.name} {package.version}: {problem}")


def stated_licence(package: Package, path: Path | None) -> str:
    """What a package's metadata says of its licence, in one text."""
    if path is None:
        return "Python Software Foundation License (PSF-2.0)"
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as z:
                name = next(n for n in z.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1)
                meta = email.message_from_bytes(z.read(name))
            expression = str(meta["License-Expression"] or "")
            if expression:
                return expression
            classifiers = [c for c in meta.get_all("Classifier", []) if c.startswith("License ::")]
            # Some packages put the whole licence text here: its first lines name it.
            return "\n".join([str(meta["License"] or "")[:300], *classifiers])
        with tarfile.open(path) as t:
            member = next(m for m in t if m.name.split("/", 1)[-1] == "package.json")
            file = t.extractfile(member)
            raw = json.loads(file.read()) if file else {}
        licence = raw.get("license") or raw.get("licenses") or ""
        return licence if isinstance(licence, str) else json.dumps(licence)
    except (StopIteration, ValueError, *DAMAGE) as damage:
        raise PackageRefusedError(f"{path.name} is damaged ({damage!r}): delete it and run the command again") from None


def sources(path: Path | None, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """(path inside the package, content) of every file with one of `suffixes`, in a fixed order."""
    if path is None:
        yield from _library(suffixes)
    elif path.suffix == ".whl":
        try:
            with zipfile.ZipFile(path) as z:
                for info in sorted(z.infolist(), key=lambda i: i.filename):
                    if info.filename.endswith(suffixes) and info.file_size <= 1 << 20:
                        yield info.filename, z.read(info)
        except DAMAGE as damage:
            raise PackageRefusedError(f"{path.name} is damaged ({damage}): delete it and run again") from None
    else:
        found = {}
        try:
            with tarfile.open(path) as t:
                for member in t:  # in the archive's order: to go back in a compressed stream is to begin again
                    if member.isfile() and member.name.endswith(suffixes) and member.size <= 1 << 20:
                        file = t.extractfile(member)
                        if file is not None:
                            found[member.name.split("/", 1)[-1]] = file.read()
        except DAMAGE as damage:
            raise PackageRefusedError(f"{path.name} is damaged ({damage}): delete it and run again") from None
        yield from sorted(found.items())


def _library(suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The interpreter's standard library, without what was installed into it."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in ("site-packages", "dist-packages", "__pycache__"))
        for file in sorted(files):
            if file.endswith(suffixes):
                path = Path(folder) / file
                if path.stat().st_size <= 1 << 20:
                    yield str(path.relative_to(root)), path.read_bytes()
