"""What a team's engine is started with: plain data that fits into a YAML file of Ray Serve (`args`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from engine.errors import BadRequestError
from engine.service.worker import MOST_LANES

ROUTERS = ("prefix", "default")


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """One deployment of the team's engine.

    `replicas` is how many there are, or the least number when `max_replicas` is larger: then Ray adds some while more
    than `target_waiting` requests a replica run or wait, averaged, and drains them again. `caches` bounds the prefix
    caches of one replica (one a document; 35 MB each for the packaged model); `lanes` is how many requests, of whatever
    users, share its forward passes. `surge` is how many replicas more than `replicas`, in percent, may run while a
    model is replaced. `tokens` is the file of `remask serve token`. Rates hold for each token at each ingress: requests
    and bytes in a second, with bursts of four and sixteen seconds' worth.
    """

    tokens: str
    model: str | None = None
    device: str = "auto"
    router: str = "prefix"
    replicas: int = 1
    max_replicas: int = 0
    target_waiting: float = 4.0
    ingresses: int = 2  # one may die
    cpus_per_replica: float = 1.0
    gpus_per_replica: float = 0.0
    caches: int = 40
    lanes: int = 4
    surge: int = 25
    max_waiting: int = 64
    max_connections: int = 4_000
    max_connections_per_token: int = 32
    requests_per_second: float = 40.0
    bytes_per_second: float = 4_000_000.0

    @classmethod
    def from_args(cls, raw: Mapping[str, Any]) -> ClusterOptions:
        """Options from a YAML file's `args`; `BadRequestError` names an entry that is unknown, missing or wrong."""
        known = {f.name: f for f in fields(cls)}
        for name in raw:
            if name not in known:
                raise BadRequestError(f"unknown option {name!r}: choose among {', '.join(known)}")
        if "tokens" not in raw:
            raise BadRequestError("the option 'tokens' is missing: name the file that `remask serve token` writes")
        options = cls(**raw)
        options.check()
        return options

    def to_args(self) -> dict[str, Any]:
        """A plain map, for `from_args`."""
        return asdict(self)

    def check(self) -> None:
        """Raise `BadRequestError` for what makes no sense."""
        if self.router not in ROUTERS:
            raise BadRequestError(f"unknown router {self.router!r}: choose one of {', '.join(ROUTERS)}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise BadRequestError(f"unknown device {self.device!r}: choose auto, cpu or cuda")
        for name in (
            "replicas",
            "ingresses",
            "caches",
            "lanes",
            "max_waiting",
            "max_connections",
            "max_connections_per_token",
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadRequestError(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in ("cpus_per_replica", "requests_per_second", "bytes_per_second", "target_waiting"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise BadRequestError(f"{name} must be a number above 0, not {value!r}")
        if not isinstance(self.gpus_per_replica, int | float) or self.gpus_per_replica < 0:
            raise BadRequestError(f"gpus_per_replica must be 0 or more, not {self.gpus_per_replica!r}")
        if self.lanes > MOST_LANES:
            raise BadRequestError(f"lanes must be at most {MOST_LANES}, not {self.lanes}")
        if not 0 <= self.surge <= 100:
            raise BadRequestError(f"surge must be a percentage from 0 to 100, not {self.surge!r}")
        if self.max_replicas and self.max_replicas < self.replicas:
            raise BadRequestError(f"max_replicas ({self.max_replicas}) is below replicas ({self.replicas})")

    @property
    def model_folder(self) -> str | None:
        """The model's folder as one absolute path; None for the packaged model."""
        return str(Path(self.model).expanduser().resolve()) if self.model else None

    @property
    def threads(self) -> int:
        """Threads of one forward pass: the processors that a replica reserves."""
        return max(1, int(self.cpus_per_replica))
