"""The corpus manifest: which packages the denoiser may learn from, under which licence, and why.

The list is `manifest.toml` beside this file. A package's own metadata must confirm the licence that the manifest
states, or the package is refused.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from engine.errors import RemaskError

PACKAGED = Path(__file__).parent / "manifest.toml"

# What each accepted licence looks like in metadata, which is free text in older packages.
LICENCES = {
    "MIT": re.compile(r"\bMIT\b|\bExpat\b", re.I),
    "BSD-2-Clause": re.compile(r"\bBSD\b", re.I),
    "BSD-3-Clause": re.compile(r"\bBSD\b", re.I),
    "Apache-2.0": re.compile(r"\bApache\b", re.I),
    "ISC": re.compile(r"\bISC\b", re.I),
    "PSF-2.0": re.compile(r"\bPSF\b|Python Software Foundation", re.I),
    "Unlicense": re.compile(r"Unlicense|Public Domain", re.I),
    "0BSD": re.compile(r"\b0BSD\b", re.I),
    "MIT-0": re.compile(r"\bMIT-0\b", re.I),
}
COPYLEFT = re.compile(
    r"\b[AL]?GPL|General Public|\bMPL\b|Mozilla Public|\bEPL\b|Eclipse Public|\bCDDL\b|\bSSPL\b|\bBUSL\b|\bEUPL\b|"
    r"Commons Clause|\bCC[ -]BY[ -](?:NC|SA|ND)|Proprietary|UNLICENSED",
    re.I,
)

Registry = Literal["pypi", "npm", "interpreter"]
Split = Literal["train", "dev"]


class CorpusError(RemaskError):
    """The corpus cannot be built as asked; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the manifest; `split` "dev" is held out whole."""

    name: str
    version: str
    licence: str
    registry: Registry
    split: Split
    why: str

    @property
    def key(self) -> str:
        """A file name that stands for this package and version."""
        return f"{self.registry}-{self.name.replace('/', '+')}-{self.version}"


def load(path: Path = PACKAGED) -> list[Package]:
    """Read a manifest; `CorpusError` names the entry that is wrong."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorpusError(f"no manifest at {path}") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as damage:
        raise CorpusError(f"{path} cannot be read: {damage}") from None
    packages = [_package(entry, path) for entry in raw.get("packages", [])]
    if not packages:
        raise CorpusError(f"{path} lists no packages: it needs entries under `packages`")
    seen: set[tuple[str, str]] = set()
    for package in packages:
        identity = (package.registry, package.name.lower())
        if identity in seen:
            raise CorpusError(f"{path} lists {package.name} twice: a package is either train or dev")
        seen.add(identity)
    return packages


def _package(entry: object, path: Path) -> Package:
    if not isinstance(entry, dict):
        raise CorpusError(f"{path}: an entry of `packages` is not a table: {entry!r}")
    fields = ("name", "version", "licence", "registry", "split", "why")
    for field in fields:
        if not isinstance(entry.get(field), str) or not entry[field]:
            raise CorpusError(f"{path}: the entry {entry.get('name', entry)!r} needs a text `{field}`")
    if entry["licence"] not in LICENCES:
        raise CorpusError(
            f"{path}: {entry['name']} is under {entry['licence']!r}; accepted are {', '.join(LICENCES)} only"
        )
    if entry["registry"] not in ("pypi", "npm", "interpreter"):
        raise CorpusError(f"{path}: {entry['name']} comes from {entry['registry']!r}; known are pypi, npm, interpreter")
    if entry["split"] not in ("train", "dev"):
        raise CorpusError(f"{path}: {entry['name']} has split {entry['split']!r}; it must be train or dev")
    return Package(
        entry["name"],
        entry["version"],
        entry["licence"],
        cast(Registry, entry["registry"]),
        cast(Split, entry["split"]),
        entry["why"],
    )


def digest(packages: Iterable[Package]) -> str:
    """Twelve hex digits that change with the packages, their versions and what is held out."""
    lines = sorted(f"{p.key} {p.split}" for p in packages)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def confirms(package: Package, stated: str) -> str | None:
    """Why metadata that states `stated` does not confirm the manifest's licence; None when it does."""
    if not stated.strip():
        return "its metadata states no licence"
    if (found := COPYLEFT.search(stated)) is not None:
        return f"its metadata mentions {found.group()!r}"
    if LICENCES[package.licence].search(stated) is None:
        return f"the manifest says {package.licence}, its metadata says {stated.strip()[:80]!r}"
    return None
