"""Where a team's engine is: the setting `remask.engine.url`, checked before anything is sent there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.errors import EngineUnavailableError

PATH = "/v1/engine"


class SetupError(EngineUnavailableError):
    """Something that only the user can mend: an address, a token, a package. No reason to fall back in silence."""


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address; `host` names it in messages and in the keyring (`engine.example.com`, `[::1]:8443`)."""

    url: str
    host: str
    loopback: bool

    @classmethod
    def parse(cls, text: str, plaintext: bool = False) -> Address:
        """`wss://HOST[:PORT]`, whose path is `/v1/engine` unless another is given.

        `ws://` sends code and token readably: for this machine alone, or where `plaintext` allows it. Raises
        `SetupError`.
        """
        try:
            parts = urlsplit(text.strip())
            name, port = parts.hostname, parts.port
        except ValueError as wrong:
            raise SetupError(f"remask.engine.url is no address ({wrong}): write wss://HOST:PORT") from None
        if parts.scheme not in ("ws", "wss"):
            raise SetupError(f"remask.engine.url must begin with wss://, as in wss://HOST:PORT, not {text[:80]!r}")
        if not name:
            raise SetupError("remask.engine.url names no host: write wss://HOST:PORT")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise SetupError(
                "remask.engine.url holds more than an address: a token belongs into REMASK_TOKEN or the keyring "
                "(remask token set URL), never into a setting"
            )
        loopback = _is_loopback(name)
        if parts.scheme == "ws" and not (loopback or plaintext):
            raise SetupError(
                f"ws://{name} would send your code and your token unencrypted: use wss://, or, on a network that you "
                "trust, set remask.engine.allowPlaintext"
            )
        host = f"[{name}]" if ":" in name else name
        if port is not None:
            host = f"{host}:{port}"
        path = parts.path if parts.path not in ("", "/") else PATH
        return cls(f"{parts.scheme}://{host}{path}", host, loopback)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
