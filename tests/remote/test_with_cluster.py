"""The whole way: `remask serve` with Ray, a token, a client; the model's own suggestions, metrics, a revocation."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.core import Engine
from engine.remote.team import TeamClient, TeamOptions
from engine.service.options import EngineOptions
from engine.types import CompleteRequest, RepairRequest
from tests.deploy.test_dashboard import defined
from tests.remote.test_suggestions import BROKEN, CASES, said

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Serving:
    url: str
    token: str
    tokens: Path
    metrics: int

    def command(self, *words: str) -> str:
        return remask("serve", "--tokens", str(self.tokens), *words)


def remask(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "engine.cli.main", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    from tests.cluster.team import descendants, free_port, wait_until_gone

    folder = tmp_path_factory.mktemp("serving")
    tokens, port, metrics = folder / "tokens.json", free_port(), free_port()
    token = remask("serve", "--tokens", str(tokens), "token", "add", "ann")
    words = ["serve", "--tokens", str(tokens), "--port", str(port), "--metrics-port", str(metrics), "--device", "cpu"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *words], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "remask.engine.url" in line, line + (folder / "log").read_text()
    url = re.search(r"wss?://\S+?(?=:? )", line)
    assert url
    mine = descendants({process.pid})
    yield Serving(url[0], token, tokens, metrics)
    process.send_signal(signal.SIGTERM)
    assert process.wait(180) == 0
    assert not wait_until_gone(mine)


async def test_suggestions_are_the_models_own_and_a_revoked_token_ends_them(
    serving: Serving, engine: Engine, engine_home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REMASK_TOKEN", serving.token)
    client = TeamClient(TeamOptions(serving.url, fallback=False), EngineOptions(memory=False))
    try:
        for prefix, suffix, more in CASES:
            request = CompleteRequest(prefix, suffix, "python", **more)
            answer = await client.complete(request, document="a.py")
            assert said(answer) == said(engine.run_complete(request)) != []
        repair = RepairRequest(BROKEN, "python")
        assert (await client.repair(repair, document="a.py")).repair == engine.run_repair(repair).repair
        assert (client.state.state, client.state.engine, client.state.model) == ("ready", "team", engine.model)

        serving.command("token", "revoke", "ann")
        end = time.monotonic() + 20
        while client.state.state == "ready":
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        assert "no longer accepts your token" in client.state.message
    finally:
        await client.close()


def test_prometheus_gets_what_the_dashboard_asks_for(serving: Serving):
    """After the test above, which made some requests."""
    wanted = {"ray_remask_requests_total", "ray_remask_request_seconds_bucket", "ray_remask_phase_seconds_bucket"}
    wanted |= {"ray_remask_prompt_tokens_total", "ray_remask_tokens_total", "ray_remask_waiting"}
    wanted |= {"ray_remask_connections", "ray_remask_resident_bytes"}
    from tests.cluster.team import urlopen

    end = time.monotonic() + 60
    while True:
        with urlopen(f"http://127.0.0.1:{serving.metrics}/metrics", timeout=10) as page:
            text = page.read().decode()
        found = dict(re.findall(r"^(ray_remask_\w+)\{(.*?)\} ", text, re.MULTILINE))
        if wanted <= set(found):
            break
        assert time.monotonic() < end, f"missing: {wanted - set(found)}"
        time.sleep(1.0)
    known = defined()
    for name, labels in found.items():
        if not name.endswith("_created"):
            assert name in known
        if name in wanted:
            names = set(re.findall(r'(\w+)="', labels))
            assert known[name] | {"application"} <= names, f"{name} has {names}"
            assert 'application="remask"' in labels
