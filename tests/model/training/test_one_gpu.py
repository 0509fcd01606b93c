"""The one-GPU recipe, rehearsed on the processor: packed here, trained in a bare folder, brought back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.checkpoint import Checkpoint
from engine.model import one_gpu, parcels
from engine.model.parcels import ParcelError

# What the other machine does not have.
MISSING = ("onnxruntime", "onnx", "tree_sitter", "grammars", "rich", "pygls", "matplotlib", "lsp_server")


def run(home: Path, *words: str) -> str:
    command = [sys.executable, "-m", "engine.model.one_gpu", *words]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.train
@pytest.mark.slow
def test_rehearsal_on_a_bare_machine(tmp_path: Path, tiny: Path, corpus_folder: Path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(one_gpu, "PARCEL", 1_200_000)
    monkeypatch.setattr(one_gpu, "PIECE", 300_000)
    folders = one_gpu.pack(tmp_path / "parcels", corpus_folder, tiny)
    assert len(folders) > 2
    for folder in folders:
        assert sum(p.stat().st_size for p in folder.iterdir()) <= 1_200_000
        assert max(p.stat().st_size for p in folder.iterdir()) <= 300_000

    home = tmp_path / "home"
    # The first parcel carries the code: it is put together here as a copy of the receiving code would do there.
    for folder in folders:
        parcels.receive(folder, home)
    for name in MISSING:
        (home / f"{name}.py").write_text("raise ImportError('this machine does not have it')\n")
    assert Checkpoint(home / "base").config.hidden == 32

    settings = ["--minutes", "20", "--steps", "3", "--positions", "640", "--accumulate", "1", "--device", "cpu"]
    assert "training as process" in run(home, "train", f"{home}/", *settings)
    deadline = time.monotonic() + 240
    while (home / "run" / "pid").exists() or not (home / "run" / "model" / "config.json").exists():
        assert time.monotonic() < deadline, run(home, "status", str(home))
        time.sleep(1)
    assert "done" in run(home, "status", str(home))

    back = tmp_path / "back"
    (home / "out").mkdir()
    text = run(home, "bring", str(home), str(home / "out" / "a"), "--pieces", "2")
    there = int(text.rsplit(" ", 1)[1])
    run(home, "bring", str(home), str(home / "out" / "b"), "--from-piece", "2", "--pieces", str(there))
    for part in ("a", "b"):
        shutil.copytree(home / "out" / part, back, dirs_exist_ok=True)
    one_gpu.assemble(back, tmp_path / "model")
    model = Checkpoint(tmp_path / "model")
    name = "model.layers.1.self_attn.o_proj.weight"
    assert (model.dense(name) != Checkpoint(tiny).dense(name)).any()
    steps = [json.loads(x)["step"] for x in (tmp_path / "model" / "log.jsonl").read_text().splitlines() if "loss" in x]
    assert steps == [1, 2, 3]

    # Started again, it goes on where it stopped.
    run(home, "work", str(home), *["4" if s == "3" else s for s in settings])
    assert '"step": 4' in (home / "run" / "log.jsonl").read_text()


def test_pieces_may_come_in_any_order_and_twice(tmp_path: Path):
    data = np.random.default_rng(0).integers(0, 255, 50_000, np.uint8).tobytes()
    (tmp_path / "a.bin").write_bytes(data)
    (tmp_path / "a.json").write_text("{}")
    parcels.send([(tmp_path / "a.bin", "corpus/a.bin"), (tmp_path / "a.json", "corpus/a.json")], tmp_path / "out", 9000)
    pieces = sorted((tmp_path / "out").iterdir(), reverse=True)
    home = tmp_path / "home"
    for i, piece in enumerate(pieces):
        parcel = tmp_path / f"parcel{i}"
        parcel.mkdir()
        shutil.copy(piece, parcel)
        appeared, _ = parcels.receive(parcel, home)
        assert "corpus/a.json" not in appeared or (home / "corpus" / "a.bin").exists()
    parcels.receive(tmp_path / "parcel0", home)
    assert (home / "corpus" / "a.bin").read_bytes() == data


def test_a_shard_is_declared_complete_when_its_own_files_are_there_whatever_else_is_missing(tmp_path: Path):
    files = []
    for name in ("a.bin", "a.json", "b.bin", "b.json"):
        (tmp_path / name).write_bytes(os.urandom(3000))
        files.append((tmp_path / name, f"corpus/{name}"))
    parcels.send(files, tmp_path / "out", 1000)
    (tmp_path / "out" / "corpus@b.bin.001").unlink()
    appeared, waiting = parcels.receive(tmp_path / "out", tmp_path / "home")
    assert appeared == ["corpus/a.bin", "corpus/a.json"]
    assert waiting == ["corpus/b.bin", "corpus/b.json"]


def test_a_piece_damaged_on_the_way_is_asked_for_again(tmp_path: Path):
    (tmp_path / "a.bin").write_bytes(os.urandom(20_000))
    parcels.send([(tmp_path / "a.bin", "a.bin")], tmp_path / "out", 9000)
    hurt = tmp_path / "out" / "a.bin.001"
    hurt.write_bytes(b"\0" + hurt.read_bytes()[1:])
    with pytest.raises(ParcelError, match=r"a\.bin arrived damaged: send its 3 pieces again"):
        parcels.receive(tmp_path / "out", tmp_path / "home")
    assert not (tmp_path / "home" / "a.bin").exists()


def test_training_before_anything_arrived_says_what_is_missing(tmp_path: Path, capsys):
    assert one_gpu.main(["train", str(tmp_path)]) == 2
    assert "receive more parcels first" in capsys.readouterr().err


def test_packing_into_a_full_folder_is_refused(tmp_path: Path, capsys):
    (tmp_path / "something").write_text("")
    assert one_gpu.main(["pack", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
