"""Who may use a team's engine: one token a person, kept as hashes in a file that is read again when it changes.

A token is 256 random bits, so its SHA-256 cannot be turned back by guessing, and a slow hash (scrypt, argon2), which
exists to make guessing at *passwords* dear, would only let strangers burn the ingress's processor. Looking a digest up
needs no constant time: what the timing of a dictionary tells about a hash does not help to find a text that has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.errors import BadRequestError

PREFIX = "remask_"  # so that secret scanners and people recognise one
NAME = re.compile(r"[\w.@+-]{1,64}")


@dataclass(frozen=True, slots=True)
class Token:
    """One person's right to ask. `added` and `expires` are seconds since the epoch; None never expires."""

    name: str
    sha256: str
    added: float
    expires: float | None = None

    def expired(self, now: float) -> bool:
        """Whether it is past its time."""
        return self.expires is not None and now >= self.expires


def fingerprint(secret: str) -> str:
    """The hash under which a token is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class TokenFile:
    """The tokens in a file, by hash; `refresh` reads it again when it changed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def __iter__(self) -> Iterator[Token]:
        return iter(list(self._tokens.values()))

    def refresh(self) -> bool:
        """Read the file if it changed since; True when it did. A file that is gone holds no tokens.

        Raises `BadRequestError` for a damaged file, whose older contents stay valid.
        """
        try:
            at = self.path.stat()
            seen = (at.st_mtime_ns, at.st_size, at.st_ino)
            if seen == self._seen:
                return False
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            changed = self._seen is not None
            self._seen, self._tokens = None, {}
            return changed
        except (OSError, UnicodeDecodeError) as failure:
            raise BadRequestError(f"cannot read the tokens in {self.path}: {failure}") from None
        self._tokens = {token.sha256: token for token in _parse(text, self.path)}
        self._seen = seen
        return True

    def find(self, secret: str) -> Token | None:
        """The token with this secret, when it has not expired."""
        return self.valid(fingerprint(secret))

    def valid(self, sha256: str) -> Token | None:
        """The token with this hash, when it is still there and has not expired."""
        token = self._tokens.get(sha256)
        return None if token is None or token.expired(time.time()) else token

    def add(self, name: str, days: float | None = None) -> str:
        """A new token's secret, which is shown once and kept nowhere; `BadRequestError` for a name in use."""
        if not NAME.fullmatch(name):
            raise BadRequestError(f"{name!r} is no name for a token: letters, digits and . _ @ + - only, 64 at most")
        if days is not None and not 0 < days < 36_525:
            raise BadRequestError("--days must be a number of days above 0")
        with self._editing() as tokens:
            if any(token.name == name and not token.expired(time.time()) for token in tokens):
                raise BadRequestError(f"there is a token for {name} already: revoke it first, or choose another name")
            secret = PREFIX + secrets.token_urlsafe(32)
            now = time.time()
            kept = [token for token in tokens if token.name != name]
            expires = now + days * 86_400 if days is not None else None
            tokens[:] = [*kept, Token(name, fingerprint(secret), now, expires)]
        return secret

    def revoke(self, name: str) -> None:
        """Remove a token; `BadRequestError` when there is none of that name."""
        with self._editing() as tokens:
            kept = [token for token in tokens if token.name != name]
            if len(kept) == len(tokens):
                known = ", ".join(token.name for token in tokens) or "none"
                raise BadRequestError(f"there is no token for {name!r}; there are: {known}")
            tokens[:] = kept

    @contextlib.contextmanager
    def _editing(self) -> Iterator[list[Token]]:
        """The tokens as a list that is written back, whole or not at all, while nobody else edits it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            held = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            raise BadRequestError(f"somebody else is editing the tokens; if not, remove {lock}") from None
        except OSError as failure:
            raise BadRequestError(f"cannot write beside {self.path}: {failure.strerror or failure}") from None
        try:
            self._seen = None
            self.refresh()
            tokens = list(self)
            yield tokens
            self._write(tokens)
        finally:
            os.close(held)
            lock.unlink(missing_ok=True)

    def _write(self, tokens: list[Token]) -> None:
        text = json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=1) + "\n"
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as f:
                f.write(text)
            os.replace(name, self.path)
        except OSError as failure:
            Path(name).unlink(missing_ok=True)
            raise BadRequestError(f"cannot write {self.path}: {failure.strerror or failure}") from None
        self.refresh()


def _parse(text: str, path: Path) -> list[Token]:
    try:
        rows = json.loads(text)["tokens"]
        tokens = [Token(str(r["name"]), str(r["sha256"]), float(r["added"]), _expiry(r.get("expires"))) for r in rows]
    except (ValueError, KeyError, TypeError) as wrong:
        raise BadRequestError(f"{path} is no file of tokens ({type(wrong).__name__}: {wrong})") from None
    return tokens


def _expiry(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expires must be a number or null")
    return float(value)
