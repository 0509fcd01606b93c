"""Files that are never read: not into a window, not into the memory, whatever asks.

Three lists, all in the manner of `.gitignore`: names that hold secrets, the setting `remask.exclude`, and the
`.gitignore` files between the file and the root of its repository or workspace folder. A link is excluded when what it
points to is.
"""

from __future__ import annotations

import os
from pathlib import Path

import pathspec

SECRET_FILES = (
    ".env .env.* *.env .envrc *.pem *.key *.p12 *.pfx *.p8 *.jks *.keystore *.kdbx *.ovpn id_rsa* id_dsa* id_ecdsa* "
    "id_ed25519* .netrc _netrc .npmrc .pypirc .htpasswd .pgpass .git-credentials .dockercfg credentials "
    "credentials.* *credentials.json secrets.* *.secret *.secrets *.tfvars *.tfstate service-account*.json "
    ".ssh/ .gnupg/ .aws/ .kube/ .docker/"
).split()
NEVER_WALKED = frozenset(
    ".git .hg .svn node_modules .venv venv __pycache__ .mypy_cache .ruff_cache .pytest_cache .tox dist build target "
    "site-packages .next .cache".split()
)


class Exclusions:
    """For one set of patterns and workspace folders; `.gitignore` files are read once, until `forget_gitignores`."""

    def __init__(
        self, patterns: list[str] | None = None, respect_gitignore: bool = True, folders: list[str] | None = None
    ) -> None:
        named = [Path(folder) for folder in folders or []]
        self._folders = [*named, *(real for f in named if (real := Path(os.path.realpath(f))) != f)]
        self._named = pathspec.GitIgnoreSpec.from_lines([*SECRET_FILES, *(patterns or [])])
        self._respect = respect_gitignore
        self._specs: dict[Path, pathspec.GitIgnoreSpec | None] = {}
        self._roots: dict[Path, Path] = {}

    def forget_gitignores(self) -> None:
        """Read `.gitignore` files again when they are next needed."""
        self._specs.clear()
        self._roots.clear()

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
        where = Path(path)
        target = Path(os.path.realpath(where))
        return self._reason(where) or (self._reason(target) if target != where else None)

    def _reason(self, where: Path) -> str | None:
        if any(self._named.match_file(name) for name in self._names(where)):
            return "it may hold secrets, or remask.exclude names it"
        if self._respect and self._ignored(where):
            return ".gitignore names it"
        return None

    def _names(self, path: Path) -> list[str]:
        """What patterns are matched with: the path inside each workspace folder, else the whole path."""
        inside = [path.relative_to(f).as_posix() for f in self._folders if f in path.parents]
        return inside or [path.as_posix().lstrip("/")]

    def _ignored(self, path: Path) -> bool:
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
                name = target.relative_to(folder).as_posix() + ("/" if target != path else "")
                verdict = spec.check_file(name).include
                if verdict is not None:
                    break
            if verdict:
                return True
        return False

    def _root(self, folder: Path) -> Path:
        """The repository that a folder is in; the folder itself when it is in none."""
        if folder not in self._roots:
            repositories = (f for f in (folder, *folder.parents) if (f / ".git").exists())
            self._roots[folder] = next(repositories, folder)
        return self._roots[folder]

    def _spec(self, folder: Path) -> pathspec.GitIgnoreSpec | None:
        if folder not in self._specs:
            try:
                lines = (folder / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
                self._specs[folder] = pathspec.GitIgnoreSpec.from_lines(lines)
            except OSError:
                self._specs[folder] = None
        return self._specs[folder]
