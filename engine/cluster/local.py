"""A team's engine on one machine: Ray, Serve's proxy and the application, in one command, until it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from engine.cluster.options import ClusterOptions
from engine.errors import BadRequestError, RemaskError

OBJECT_STORE_BYTES = 100_000_000  # nothing of ours goes through it


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and with which certificate. `address` joins a Ray cluster that runs already."""

    host: str = "127.0.0.1"
    port: int = 8444
    certificate: str | None = None
    key: str | None = None
    behind_proxy: bool = False
    address: str | None = None
    folder: str | None = None

    @property
    def url(self) -> str:
        """What editors are set to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self.certificate else 'ws'}://{host}:{self.port}/v1/engine"

    def check(self) -> None:
        """Raise `BadRequestError` for what would send tokens in the clear or cannot be read."""
        if not 0 < self.port < 65_536:
            raise BadRequestError(f"--port must be 1 to 65535, not {self.port}")
        if bool(self.certificate) != bool(self.key):
            raise BadRequestError("--tls-cert and --tls-key belong together: give both")
        if self.certificate and self.key:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
            except (OSError, ssl.SSLError) as wrong:
                raise BadRequestError(f"the certificate and its key cannot be used: {wrong}") from None
        elif self.host not in ("127.0.0.1", "::1", "localhost") and not self.behind_proxy:
            raise BadRequestError(
                f"without TLS, tokens and source code would cross the network to {self.host} in the clear: give "
                "--tls-cert and --tls-key, or --behind-proxy when a proxy in front of this ends TLS"
            )


def environment() -> None:
    """What Ray reads from the environment of the process that starts it. A value that is there already stays.

    No reports to Ray's makers, no copies of the replicas' logs on this terminal. A proxy that died is noticed by three
    missed checks in three seconds instead of thirty, and a node by five in five instead of fifteen. No niceness of 15,
    for somebody waits for these answers.
    """
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_health_check_period_ms": "1000",
        "RAY_worker_niceness": "0",
    }.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def running(options: ClusterOptions, place: Place, metrics_port: int | None = None) -> Iterator[None]:
    """A team's engine that is ready; drained and stopped, Ray's processes with it, at the end.

    Raises `BadRequestError` for a port in use and `RemaskError` when the engine does not come up, with the reason.
    """
    environment()
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions

    from engine.cluster.app import LOGGING, NAME, build

    application = build(options.to_args())
    if place.address is None:
        _check_port(place)
        _start_ray(options, place, metrics_port)
    else:
        ray.init(address=place.address, namespace="serve", log_to_driver=False, logging_level=logging.WARNING)
    try:
        http = HTTPOptions(host=place.host, port=place.port, ssl_certfile=place.certificate, ssl_keyfile=place.key)
        serve.start(proxy_location="EveryNode", http_options=http, logging_config=LOGGING)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        try:
            serve.run(application, name=NAME, route_prefix="/")
        except RuntimeError as failure:
            raise RemaskError(f"the team's engine did not come up: {_reason(failure)}") from None
        yield
    finally:
        with contextlib.suppress(Exception):  # half started, or killed under us: what is left is stopped all the same
            serve.delete(NAME) if place.address else serve.shutdown()
        ray.shutdown()


def serve_until_told(options: ClusterOptions, place: Place, metrics_port: int | None, ready: Any) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is called once."""
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        told.set()

    with running(options, place, metrics_port):
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, stop)
        ready()
        while not told.wait(1.0):  # a wait without end cannot be interrupted everywhere
            pass


def _start_ray(options: ClusterOptions, place: Place, metrics_port: int | None) -> None:
    """Ray for this machine alone: on loopback, for whoever reaches its ports can run programs."""
    import ray

    most = max(options.replicas, options.max_replicas)
    surge = math.ceil(most * options.surge / 100)
    settings: dict[str, Any] = {}
    if metrics_port is not None:
        settings["_metrics_export_port"] = metrics_port
    if place.folder is not None:
        settings["_temp_dir"] = str(Path(place.folder).expanduser().resolve())
    ray.init(
        address="local",
        namespace="serve",
        num_cpus=math.ceil((most + surge) * options.cpus_per_replica) + 1,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        _node_ip_address="127.0.0.1",
        _system_config={"automatic_object_spilling_enabled": False},
        **settings,
    )


def _check_port(place: Place) -> None:
    import socket

    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((place.host, place.port))
    except OSError as failure:
        raise BadRequestError(
            f"cannot listen on {place.host}:{place.port} ({failure.strerror or failure}): choose another --port"
        ) from None


def _reason(failure: Exception) -> str:
    """The last line that says something, of Serve's long account."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return lines[-1] if lines else type(failure).__name__
