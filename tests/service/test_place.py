"""The folder that only the user can enter, and the lock that dies with its process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from engine.errors import BadRequestError, EngineUnavailableError
from engine.service import place as place_module
from engine.service.identity import PROTOCOL, Identity, judge, proof, proves
from engine.service.options import EngineOptions
from engine.service.place import FOLDER_VARIABLE, Lock, find_place, make_private, runtime_folder


def test_the_folder_is_made_private_even_when_it_was_open(folder):
    folder.chmod(0o755)
    assert runtime_folder(EngineOptions(runtime_folder=str(folder))) == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    deep = folder / "a" / "b"
    assert stat.S_IMODE(runtime_folder(EngineOptions(runtime_folder=str(deep))).stat().st_mode) == 0o700


def test_a_link_and_a_file_are_no_folders_of_ones_own(folder):
    (folder / "real").mkdir()
    (folder / "link").symlink_to(folder / "real")
    (folder / "file").write_text("x")
    for name in ("link", "file"):
        with pytest.raises(EngineUnavailableError, match=FOLDER_VARIABLE):
            runtime_folder(EngineOptions(runtime_folder=str(folder / name)))


def test_the_folder_of_another_user_is_not_used(folder, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(OSError, match="belongs to user"):
        make_private(folder)


def test_a_path_too_long_for_a_socket_is_named_and_is_fine_for_tcp(folder):
    options = EngineOptions(runtime_folder=str(folder / ("x" * 90)))
    with pytest.raises(EngineUnavailableError, match="too long"):
        find_place(options)
    assert find_place(replace(options, transport="tcp")).transport == "tcp"


def test_without_a_usable_runtime_folder_of_the_system_the_temporary_one_serves(folder, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(place_module.platformdirs, "user_runtime_dir", lambda *a, **k: str(folder / ("y" * 120)))
    monkeypatch.setattr(place_module.tempfile, "gettempdir", lambda: str(folder))
    assert runtime_folder(EngineOptions()).parent == folder


def test_the_environment_may_name_the_folder(folder, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder / "mine"))
    assert runtime_folder(EngineOptions()) == folder / "mine"


def test_engines_of_other_settings_live_elsewhere_and_one_folder_spelled_twice_is_one_model(options, tmp_path):
    (tmp_path / "model").mkdir()
    spelled = [str(tmp_path / "model"), str(tmp_path / "other" / ".." / "model"), str(tmp_path / "model") + "/"]
    places = {find_place(replace(options, model=m)) for m in spelled}
    assert len(places) == 1
    variants = [options, replace(options, device="cuda"), replace(options, memory=False), replace(options, model="/x")]
    variants += [replace(options, transport="tcp")]
    assert len({find_place(o).key for o in variants}) == len(variants)
    assert find_place(replace(options, idle_minutes=1.0, log_level="debug")) == find_place(options)


def test_an_unknown_transport_is_named(options):
    with pytest.raises(BadRequestError, match="pigeon"):
        find_place(replace(options, transport="pigeon"))


def test_the_note_is_for_the_users_eyes_and_damage_counts_as_none(options):
    place = find_place(replace(options, transport="tcp"))
    place.write_note(4711, "token")
    assert stat.S_IMODE(place.note.stat().st_mode) == 0o600
    assert place.read_note() == (4711, "token")
    for damage in ("", "{", "[1]", '{"port": "x"}'):
        place.note.write_text(damage)
        with pytest.raises(FileNotFoundError):
            place.read_note()


HOLD = """
import sys, time
from pathlib import Path
from engine.service.place import Lock
print(Lock(Path(sys.argv[1])).acquire(), flush=True)
time.sleep(60)
"""


def test_a_lock_is_exclusive_between_processes_and_dies_with_its_holder(folder):
    path = folder / "engine-x.lock"
    mine = Lock(path)
    assert mine.holder() is None
    assert mine.acquire()
    assert mine.holder() == os.getpid()
    rival = subprocess.run([sys.executable, "-c", HOLD.replace("60", "0"), str(path)], capture_output=True, text=True)
    assert rival.stdout.strip() == "False"
    mine.release()
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "True"
    assert not mine.acquire()
    assert mine.holder() == holder.pid
    holder.kill()
    holder.wait()
    end = time.monotonic() + 5
    while not mine.acquire():
        assert time.monotonic() < end
    holder.stdout.close()


def identity(version: str = "1.2.3", build: int = 5, digest: str = "d", model: str | None = None) -> Identity:
    return Identity(PROTOCOL, version, build, digest, {"device": "auto", "model": model, "memory": True})


@pytest.mark.parametrize(
    ("client", "engine", "verdict"),
    [
        (identity(), identity(), "accepted"),
        (identity("1.10.0"), identity("1.9.9"), "outdated"),
        (identity("1.9.9"), identity("1.10.0"), "accepted"),
        (identity(build=6), identity(build=5), "outdated"),
        (identity(build=5), identity(build=6), "accepted"),
        (identity(digest="new"), identity(), "outdated"),
        (identity(build=4, digest="of another installation"), identity(), "accepted"),
        (identity(build=4, digest="new", model="/m"), identity(model="/m"), "outdated"),
        (identity(model="/m"), identity(model="/n"), "refused"),
    ],
)
def test_the_newest_wins_and_never_two_in_turn(client, engine, verdict):
    assert judge(client, engine)[0] == verdict
    if client.age != engine.age and client.settings == engine.settings and client.settings["model"] is None:
        assert {judge(client, engine)[0], judge(engine, client)[0]} == {"accepted", "outdated"}


def test_a_proof_is_of_one_role_one_nonce_one_token():
    good = proof("token", "client", "nonce")
    assert proves("token", "client", "nonce", good)
    for wrong in (("tokex", "client", "nonce"), ("token", "engine", "nonce"), ("token", "client", "noncf")):
        assert not proves(*wrong, good)
    for junk in (None, 3, b"x", "", "é", good[:-1]):
        assert not proves("token", "client", "nonce", junk)
