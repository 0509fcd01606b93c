"""Who is who in a handshake: protocol, version, build, model, settings; and whether an engine may serve a client.

Newest wins. An engine older than its client is asked to leave and replaced; a client older than the engine is served
as long as both speak one protocol. The order is total, so two installations never replace each other in turn.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from engine.errors import RemaskError
from engine.service.options import EngineOptions

PROTOCOL = 1

Verdict = Literal["accepted", "outdated", "refused"]


@dataclass(frozen=True, slots=True)
class Identity:
    """One side of a connection.

    `build` is the time of the newest source file, in seconds: it tells two states of a working tree apart. `digest`
    names the contents of the model's files ("" when there are none).
    """

    protocol: int
    version: str
    build: int
    digest: str
    settings: dict[str, str | bool | None]

    def to_wire(self) -> dict[str, object]:
        """A plain map."""
        return asdict(self)

    @classmethod
    def from_wire(cls, raw: Mapping[str, object]) -> Identity:
        """The peer's identity; `RemaskError` when an entry is missing or of the wrong type."""
        protocol, version, build = raw.get("protocol"), raw.get("version"), raw.get("build")
        digest, settings = raw.get("digest"), raw.get("settings")
        if not (isinstance(protocol, int) and isinstance(version, str) and isinstance(build, int)):
            raise RemaskError("the greeting lacks protocol, version or build")
        if not (isinstance(digest, str) and isinstance(settings, dict)):
            raise RemaskError("the greeting lacks digest or settings")
        return cls(protocol, version, build, digest, settings)

    @property
    def age(self) -> tuple[tuple[int, ...], int]:
        """Orders identities from old to new."""
        return tuple(map(int, re.findall(r"\d+", self.version))), self.build


def own_identity(options: EngineOptions) -> Identity:
    """This process's side. Reads a page of every mebibyte of the model: milliseconds for the packaged one."""
    return Identity(PROTOCOL, _version(), _build(), model_digest(options.model_folder), options.settings())


def judge(client: Identity, engine: Identity) -> tuple[Verdict, str]:
    """Whether `engine` may serve `client`, and why not."""
    if client.protocol != engine.protocol:
        return "refused", f"the engine speaks protocol {engine.protocol}, this client {client.protocol}"
    if client.settings != engine.settings:
        return "refused", f"the engine runs with {engine.settings}, this client wants {client.settings}"
    if engine.age < client.age:
        return "outdated", f"the engine is Remask {engine.version}, this client {client.version}: it is replaced"
    # The packaged model belongs to its installation; a folder belongs to nobody and may have been written anew.
    shared_model = client.settings["model"] is not None or client.age == engine.age
    if shared_model and client.digest != engine.digest:
        return "outdated", "the model's files changed since the engine read them: it is replaced"
    return "accepted", ""


def model_digest(folder: str | None) -> str:
    """The digest of a model's files; "" when the folder holds no model that could be read."""
    from engine.checkpoint import PACKAGED, Checkpoint  # NumPy and safetensors: not before they are needed

    try:
        return Checkpoint(Path(folder) if folder else PACKAGED).digest
    except (RemaskError, OSError):
        return ""


def proof(token: str, role: str, nonce: str) -> str:
    """What shows that its sender holds the token, without sending it: HMAC-SHA256 of its role and the peer's nonce."""
    return hmac.new(token.encode(), f"{role}:{nonce}".encode(), hashlib.sha256).hexdigest()


def proves(token: str, role: str, nonce: str, offered: object) -> bool:
    """Check a `proof` in constant time."""
    return isinstance(offered, str) and hmac.compare_digest(proof(token, role, nonce).encode(), offered.encode())


@cache
def _version() -> str:
    try:
        return metadata.version("remask")
    except metadata.PackageNotFoundError:
        return "0"


@cache
def _build() -> int:
    """Once a process: what counts is the source that was imported, not what lies on the disk by now."""
    packages = [Path(__file__).parents[1], Path(__file__).parents[2] / "grammars"]
    return max((int(f.stat().st_mtime) for p in packages for f in p.rglob("*.py")), default=0)
