"""A real Ray cluster of two nodes with a team's engine on it, and ways to look at it and to break it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.bench.processes import free_port
from engine.cluster.local import environment
from engine.cluster.options import ClusterOptions
from engine.cluster.tokens import TokenFile
from tests.cluster.editor import Editor

urlopen = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # whatever http_proxy says


class Team:
    """Started on entering; nothing of it is left on leaving, which is asserted."""

    def __init__(self, nodes: int = 2, **options: Any) -> None:
        environment()
        self.folder = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))  # sockets below it have short paths to fit into
        self.tokens = TokenFile(self.folder / "tokens.json")
        self.token = self.tokens.add("ann")
        self.options = ClusterOptions(tokens=str(self.tokens.path), **({"ingresses": 1} | options))
        self.port = free_port()
        self._nodes = nodes

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/engine"

    def __enter__(self) -> Self:
        import ray
        from ray import serve
        from ray._common.utils import get_default_ray_temp_dir
        from ray.cluster_utils import Cluster

        from engine.cluster.app import LOGGING

        # Ray's test cluster notes its address there, whatever its own folder is, and does not make it.
        Path(get_default_ray_temp_dir()).mkdir(parents=True, exist_ok=True)
        node = {"num_cpus": 3, "object_store_memory": 80_000_000, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=node | {"temp_dir": str(self.folder / "ray")})
        self.workers = [
            self.cluster.add_node(num_cpus=3, object_store_memory=80_000_000) for _ in range(self._nodes - 1)
        ]
        ray.init(address=self.cluster.address, namespace="serve", log_to_driver=False, logging_level=logging.ERROR)
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": self.port},
            logging_config=LOGGING,
        )
        self.deploy(self.options)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        import ray
        from ray import serve

        mine = self.processes()
        with contextlib.suppress(Exception):  # what a test has broken may not answer
            serve.shutdown()
        ray.shutdown()
        self.cluster.shutdown()
        left = wait_until_gone(mine)
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        assert not left, f"processes are left behind: {left}"

    def deploy(self, options: ClusterOptions) -> None:
        """Start the application, or roll it over to other options; returns when that is done."""
        from ray import serve

        from engine.cluster.app import NAME, build

        serve.run(build(options.to_args()), name=NAME, route_prefix="/")

    def deploy_anew(self) -> None:
        """Start everything once more, where Ray places it then."""
        from ray import serve

        from engine.cluster.app import NAME

        serve.delete(NAME)
        self.deploy(self.options)

    def editor(self, token: str | None = None) -> Editor:
        """A client that is not connected yet."""
        return Editor(self.url, self.token if token is None else token)

    def actors(self, what: str) -> list[int]:
        """Process ids of `engine`, `ingress`, `ProxyActor` or `ServeController`, longest-lived first."""
        return sorted(p for p in self.processes() if command(p).startswith("ray::") and what in command(p))

    def kill(self, what: str) -> int:
        """kill -9 of one such actor's process; its id."""
        process = self.actors(what)[0]
        os.kill(process, signal.SIGKILL)
        return process

    def processes(self) -> set[int]:
        """Everything that Ray runs for this cluster."""
        nodes = [self.cluster.head_node, *self.cluster.worker_nodes]
        return descendants(
            {info.process.pid for node in nodes for kind in node.all_processes.values() for info in kind}
        )


def descendants(processes: set[int]) -> set[int]:
    """These and all that they have started."""
    parents = {int(e.name): parent(int(e.name)) for e in Path("/proc").iterdir() if e.name.isdigit()}
    found = set(processes)
    while more := {p for p, of in parents.items() if of in found and p not in found}:
        found |= more
    return found


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def wait_until_gone(processes: set[int], seconds: float = 120.0) -> set[int]:
    """Those of them that still run after so long: Ray's agents try to reach what was killed for a minute."""
    end = time.monotonic() + seconds
    while (left := {p for p in processes if is_running(p)}) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def resident(process: int) -> int:
    """Bytes of physical memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor(process: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
