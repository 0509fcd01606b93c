"""What needs no Ray: tokens, rates, the order of replicas, options; and that nobody else imports Ray."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.cluster.affinity import affinity, order, prefers_second
from engine.cluster.limits import Bucket
from engine.cluster.options import ClusterOptions
from engine.cluster.tokens import TokenFile, fingerprint
from engine.errors import BadRequestError


def test_neither_the_engine_nor_the_language_server_imports_ray() -> None:
    code = (
        "import sys, engine.core, engine.service.server, engine.service.client, lsp_server.server, engine.cli.main;"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('ray', 'starlette', 'fastapi', 'uvicorn')"
        " or m.startswith('engine.cluster')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_extra_serve_names_it(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "import importlib.util; importlib.util.find_spec = lambda n, *a: None if n == 'ray' else find(n, *a);"
        f"from engine.cli.main import main; sys.exit(main(['serve', '--tokens', {str(tmp_path / 't.json')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install '.[cluster]'" in done.stderr


# Tokens.


def test_tokens_are_kept_as_hashes_and_found_by_their_secret(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "deep" / "tokens.json")
    secret = tokens.add("ann", days=1)
    raw = tokens.path.read_text()
    assert secret not in raw
    assert json.loads(raw)["tokens"][0]["sha256"] == fingerprint(secret)
    other = TokenFile(tokens.path)
    assert other.refresh()
    assert not other.refresh()
    token = other.find(secret)
    assert token is not None
    assert token.name == "ann"
    assert other.find(secret + "x") is None
    assert other.find("") is None


def test_a_revoked_token_is_gone_for_whoever_reads_the_file_again(tmp_path: Path) -> None:
    tokens, reader = TokenFile(tmp_path / "t.json"), TokenFile(tmp_path / "t.json")
    secret = tokens.add("ann")
    reader.refresh()
    assert reader.find(secret)
    tokens.revoke("ann")
    assert reader.refresh()
    assert reader.find(secret) is None
    tokens.path.unlink()
    reader.refresh()
    assert list(reader) == []


def test_an_expired_token_is_not_found_and_its_name_is_free_again(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "t.json")
    secret = tokens.add("ann", days=0.05 / 86_400)
    time.sleep(0.1)
    assert tokens.find(secret) is None
    assert tokens.find(tokens.add("ann"))
    assert len(list(tokens)) == 1


def test_two_administrators_at_once_lose_nothing(tmp_path: Path) -> None:
    failed = []

    def add(n: int) -> None:
        for _ in range(200):
            with contextlib.suppress(BadRequestError):  # the other holds the lock
                TokenFile(tmp_path / "t.json").add(f"user{n}")
                return
            time.sleep(0.01)
        failed.append(n)

    threads = [threading.Thread(target=add, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tokens = TokenFile(tmp_path / "t.json")
    tokens.refresh()
    assert not failed
    assert len(list(tokens)) == 12


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tokens": [{"name": "a"}]}', '{"tokens": [{"name": 1}]}', "null"])
def test_a_damaged_file_is_named_and_what_was_known_stays(tmp_path: Path, text: str) -> None:
    tokens = TokenFile(tmp_path / "t.json")
    secret = tokens.add("ann")
    tokens.path.write_text(text)
    with pytest.raises(BadRequestError, match=r"t\.json"):
        tokens.refresh()
    assert tokens.find(secret)


# Rates.


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    now = 0.0
    bucket = Bucket(10.0, 20.0, lambda: now)
    assert [bucket.take() for _ in range(20)] == [0.0] * 20
    assert bucket.take() == pytest.approx(0.1)
    now = 0.05
    assert bucket.take() == pytest.approx(0.05)
    now = 0.1
    assert bucket.take() == 0.0
    now = 1_000.0
    assert sum(bucket.take() == 0.0 for _ in range(100)) == 20


def test_what_is_larger_than_a_bucket_passes_once_and_leaves_a_debt() -> None:
    now = 0.0
    bucket = Bucket(10.0, 20.0, lambda: now)
    assert bucket.take(100.0) == 0.0
    assert bucket.take() == pytest.approx(8.1)
    now = 8.2
    assert bucket.take() == 0.0
    bucket.spend(50.0)
    assert bucket.take() > 4.0


# Affinity.


def test_documents_spread_evenly_and_only_a_lost_replicas_documents_move() -> None:
    keys = [affinity("ann", f"{n}.py") for n in range(3_000)]
    before = {key: order(key, ["a", "b", "c"])[0] for key in keys}
    assert min(Counter(before.values()).values()) > 850
    after = {key: order(key, ["a", "c"])[0] for key in keys}
    moved = [key for key in keys if before[key] != after[key]]
    assert moved == [key for key in keys if before[key] == "b"]
    second = {key: order(key, ["a", "b", "c"])[1] for key in moved}
    assert second == {key: after[key] for key in moved}


def test_users_and_documents_have_keys_of_their_own_that_say_nothing() -> None:
    keys = {affinity(user, path) for user in ("ann", "bob") for path in ("a.py", "b.py", "", "\ud800")}
    assert len(keys) == 8
    assert not any("ann" in key or "a.py" in key for key in keys)


def test_a_document_leaves_its_replica_only_for_a_much_less_busy_one() -> None:
    assert not prefers_second(None, 0)
    assert not prefers_second(30, None)
    assert not prefers_second(5, 0)
    assert prefers_second(6, 0)
    assert not prefers_second(12, 6)
    assert prefers_second(14, 6)


# Options.


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ({}, "tokens"),
        ({"tokens": "t", "colour": 1}, "colour"),
        ({"tokens": "t", "replicas": 0}, "replicas"),
        ({"tokens": "t", "replicas": True}, "replicas"),
        ({"tokens": "t", "router": "random"}, "router"),
        ({"tokens": "t", "device": "tpu"}, "tpu"),
        ({"tokens": "t", "surge": 101}, "surge"),
        ({"tokens": "t", "gpus_per_replica": -1}, "gpus_per_replica"),
        ({"tokens": "t", "cpus_per_replica": "two"}, "cpus_per_replica"),
    ],
)
def test_options_that_make_no_sense_are_named(raw: dict[str, object], names: str) -> None:
    with pytest.raises(BadRequestError, match=names):
        ClusterOptions.from_args(raw)


def test_options_survive_the_way_through_a_file() -> None:
    options = ClusterOptions(tokens="t", replicas=3, gpus_per_replica=0.25)
    assert ClusterOptions.from_args(json.loads(json.dumps(options.to_args()))) == options
