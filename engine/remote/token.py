"""Whose token it is that opens a team's engine: from `REMASK_TOKEN`, or from the system's keyring by host.

Never from a setting: settings are files, some of them a project's. A keyring's entry goes to the host it was kept for
and to no other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from engine.remote.address import Address, SetupError

VARIABLE = "REMASK_TOKEN"
SERVICE = "remask"
INSTALL = "in a checkout of Remask, pip install '.[team]'"


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it came from, in words; the text is in no repr."""

    text: str = field(repr=False)
    source: str


def find(address: Address) -> Token | None:
    """The token for a host; None when there is none. May take a while: keyrings ask around.

    Raises `SetupError` for a token that cannot be sent and a keyring that cannot be used.
    """
    if text := os.environ.get(VARIABLE, "").strip():
        return Token(checked(text, VARIABLE), f"the environment variable {VARIABLE}")
    keyring = _keyring()
    found = _ask(keyring, "get_password", address.host) if keyring else None
    if found:
        return Token(checked(found, "the keyring"), f"the system's keyring ({keyring.get_keyring().name})")
    return None


def needed(address: Address) -> Token | None:
    """As `find`, but `SetupError` when there is none for another machine; one's own may want none."""
    found = find(address)
    if found is None and not address.loopback:
        raise SetupError(
            f"there is no token for {address.host}: run `remask token set {address.url}`, or set {VARIABLE}"
        )
    return found


def keep(address: Address, text: str) -> str:
    """Keep a token in the keyring; returns the keyring's name. Raises `SetupError`."""
    keyring = _installed()
    _ask(keyring, "set_password", address.host, checked(text.strip(), "the input"))
    return str(keyring.get_keyring().name)


def drop(address: Address) -> bool:
    """Remove a token from the keyring; False when there was none. Raises `SetupError`."""
    keyring = _installed()
    if _ask(keyring, "get_password", address.host) is None:
        return False
    _ask(keyring, "delete_password", address.host)
    return True


def checked(text: str, where: str) -> str:
    """A token that fits into an HTTP header; `SetupError` for any other."""
    if not text or not text.isascii() or any(c <= " " or c == "\x7f" for c in text):
        raise SetupError(f"the token in {where} is empty or holds spaces or special characters: copy it again")
    return text


def _installed() -> Any:
    keyring = _keyring()
    if keyring is None:
        raise SetupError(f"the package keyring is missing: {INSTALL}, or set {VARIABLE} instead")
    return keyring


def _keyring() -> Any:
    try:
        import keyring
    except ImportError:
        return None
    return keyring


def _ask(keyring: Any, what: str, *words: str) -> Any:
    try:
        return getattr(keyring, what)(SERVICE, *words)
    except Exception as failure:  # each keyring has errors of its own
        if what == "get_password" and isinstance(failure, keyring.errors.NoKeyringError):
            return None  # a machine without a desktop: the environment is the place there
        raise SetupError(
            f"the system's keyring cannot be used ({type(failure).__name__}): set {VARIABLE} instead"
        ) from None
