"""Files that are never read: not into a window, not into the memory, whatever asks.

Three lists, all in the manner of `.gitignore`: names that hold secrets, the setting `remask.exclude`, and the
`.gitignore` files between the file and the root of its repository or workspace folder. A link is excluded when what it
points to is.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pathspec

SECRET_FILES = (
    ".env .env.* *.env .envrc *.pem *.key *.p12 *.pfx *.p8 *.jks *.keystore *.kdbx *.ovpn id_rsa* id_dsa* id_ecdsa* "
    "id_ed25519* .netrc _netrc .npmrc .pypirc .htpasswd .pgpass .git-credentials .dockercfg credentials "
    "credentials.* *credentials.json secrets.* *.secret *.secrets *.tfvars *.tfstate service-account*.json "
    ".ssh/ .gnupg/ .aws/ .kube/ .docker/"
).split()
LARGEST = 500_000  # characters of a document that is looked at; larger ones are followed and left alone
FRESH = 1.0  # seconds for which what was seen of a folder is not looked at again
TOLD = 64  # files of which the last answer is kept
NEVER_WALKED = frozenset(
    ".git .hg .svn node_modules .venv venv env __pycache__ .mypy_cache .ruff_cache .pytest_cache .tox dist build "
    "target site-packages .next .cache".split()
)


class Exclusions:
    """For one set of patterns and workspace folders.

    `.gitignore` files are read again when they have changed, for not every client tells of that; `changed` is set then,
    and stays so until somebody who must act on it unsets it.
    """

    def __init__(
        self, patterns: list[str] | None = None, respect_gitignore: bool = True, folders: list[str] | None = None
    ) -> None:
        named = [Path(folder) for folder in folders or []]
        self._folders = [*named, *(real for f in named if (real := Path(os.path.realpath(f))) != f)]
        # Two lists, so that no `!` of the second takes anything back from the first.
        self._secret = pathspec.GitIgnoreSpec.from_lines(SECRET_FILES)
        self._named = pathspec.GitIgnoreSpec.from_lines(patterns or [])
        self._takes_back = any(pattern.startswith("!") for pattern in patterns or [])
        self._respect = respect_gitignore
        self.changed = False
        # Each with when it was last looked at; a spec also with the time of change and the size of its file.
        self._specs: dict[Path, tuple[float, tuple[int, int] | None, pathspec.GitIgnoreSpec | None]] = {}
        self._roots: dict[Path, tuple[float, Path]] = {}
        self._told: dict[str, tuple[float, str | None]] = {}  # the last answers: every key asks of the same file

    def forget_gitignores(self) -> None:
        """Look at `.gitignore` files and for repositories again when they are next needed."""
        self._specs.clear()
        self._roots.clear()
        self._told.clear()

    def walked(self, path: str | Path) -> bool:
        """Whether a file lies in a workspace folder, and in no folder of it that is hidden or not written by people."""
        where = Path(path)
        return any(
            not any(part in NEVER_WALKED or part.startswith(".") for part in where.relative_to(folder).parts[:-1])
            for folder in self._folders
            if folder in where.parents
        )

    def reason(self, path: str | Path) -> str | None:
        """Why a file is excluded; None when it is not."""
        now, known = time.monotonic(), self._told.get(str(path))
        if known is not None and now - known[0] < FRESH:
            return known[1]
        where = Path(path)
        target = Path(os.path.realpath(where))
        found = self._reason(where) or (self._reason(target) if target != where else None)
        if len(self._told) >= TOLD:
            self._told.clear()
        self._told[str(path)] = now, found
        return found

    def prunes(self, folder: str | Path) -> bool:
        """Whether all that a folder holds is excluded: there is no need to go in."""
        where = Path(folder)
        if not self._takes_back and any(self._named.match_file(name + "/") for name in self._names(where)):
            return True
        return self._respect and self._ignored(where, is_folder=True)

    def _reason(self, where: Path) -> str | None:
        names = self._names(where)
        if any(self._secret.match_file(name) for name in names):
            return "by its name it may hold secrets"
        if any(self._named.match_file(name) for name in names):
            return "remask.exclude names it"
        if self._respect and self._ignored(where):
            return ".gitignore names it"
        return None

    def _names(self, path: Path) -> list[str]:
        """What patterns are matched with: the path inside each workspace folder, else the whole path."""
        inside = [path.relative_to(f).as_posix() for f in self._folders if f in path.parents]
        return inside or [path.as_posix().lstrip("/")]

    def _ignored(self, path: Path, is_folder: bool = False) -> bool:
        """Git's rule: the nearest file that says anything decides, and an ignored folder hides all that is in it."""
        root = self._root(path.parent)
        folders = [folder for folder in path.parents if folder == root or root in folder.parents]
        for target in [*reversed(folders[:-1]), path]:
            verdict = None
            for folder in folders:
                if folder == target or folder not in target.parents:
                    continue
                spec = self._spec(folder)
                if spec is None:
                    continue
                name = target.relative_to(folder).as_posix() + ("/" if target != path or is_folder else "")
                verdict = spec.check_file(name).include
                if verdict is not None:
                    break
            if verdict:
                return True
        return False

    def _root(self, folder: Path) -> Path:
        """The repository that a folder is in; in none, the outermost workspace folder; else the folder itself."""
        now, known = time.monotonic(), self._roots.get(folder)
        if known is not None and now - known[0] < FRESH:
            return known[1]
        above = (folder, *folder.parents)
        workspace = next((f for f in reversed(above) if f in self._folders), folder)
        root = next((f for f in above if (f / ".git").exists()), workspace)
        self.changed |= known is not None and known[1] != root
        self._roots[folder] = now, root
        return root

    def _spec(self, folder: Path) -> pathspec.GitIgnoreSpec | None:
        now, known = time.monotonic(), self._specs.get(folder)
        if known is not None and now - known[0] < FRESH:
            return known[2]
        file, stamp, spec = folder / ".gitignore", None, None
        try:
            found = file.stat()
            stamp = found.st_mtime_ns, found.st_size
            if known is not None and known[1] == stamp:
                spec = known[2]
            else:
                lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
                spec = pathspec.GitIgnoreSpec.from_lines(lines)
        except OSError:
            pass
        self.changed |= known is not None and known[1] != stamp
        self._specs[folder] = now, stamp, spec
        return spec
