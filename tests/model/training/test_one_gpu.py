"""The one-GPU recipe, rehearsed on the processor: packed here, trained in a bare folder, brought back."""

from __future__ import annotations

import argparse
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
from engine.errors import RemaskError
from engine.model import manifest, one_gpu, one_gpu_run, parcels, shards, spans
from engine.model.parcels import ParcelError

# What the other machine does not have.
MISSING = ("onnxruntime", "onnx", "tree_sitter", "grammars", "rich", "pygls", "matplotlib", "lsp_server")


def run(home: Path, *words: str) -> str:
    command = [sys.executable, "-m", "engine.model.one_gpu", *words]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def settings(**changes: object) -> argparse.Namespace:
    return argparse.Namespace(**(dict.fromkeys(one_gpu_run.SETTINGS) | {"minutes": 10.0} | changes))


@pytest.mark.train
@pytest.mark.slow
def test_rehearsal_on_a_bare_machine(tmp_path: Path, tiny: Path, corpus_folder: Path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(one_gpu, "PARCEL", 1_200_000)
    monkeypatch.setattr(one_gpu, "PIECE", 300_000)
    monkeypatch.setattr(one_gpu, "SMALL", 200_000)
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

    words = ["--minutes", "20", "--steps", "3", "--positions", "640", "--accumulate", "1", "--device", "cpu"]
    begun = run(home, "train", f"{home}/", *words)
    assert "the first step is done" in begun or "training is over" in begun
    assert run(home, "wait", str(home), "--minutes", "4").endswith("the run has ended\n")
    assert "done" in run(home, "status", str(home))

    back = tmp_path / "back"
    assert "of 0" in run(home, "bring", str(home), str(home / "small"))
    assert one_gpu.assemble(home / "small", tmp_path / "at once")
    copied, there = one_gpu.bring(home, home / "out" / "a", 0, 2)
    assert there > copied == 2
    one_gpu.bring(home, home / "out" / "b", 2, there)
    for part in ("a", "b"):
        shutil.copytree(home / "out" / part, back, dirs_exist_ok=True)
    one_gpu.assemble(back, tmp_path / "model")
    model = Checkpoint(tmp_path / "model")
    name = "model.layers.1.self_attn.o_proj.weight"
    assert (model.dense(name) != Checkpoint(tiny).dense(name)).any()
    steps = [json.loads(x)["step"] for x in (tmp_path / "model" / "log.jsonl").read_text().splitlines() if "loss" in x]
    assert steps == [1, 2, 3]

    # Started again, it goes on where it stopped.
    run(home, "work", str(home), *["4" if s == "3" else s for s in words])
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


def test_base_weights_that_have_not_come_whole_are_waited_for(tmp_path: Path, tiny: Path, capsys):
    (tmp_path / "base").mkdir()
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train-python-000.json").write_text("{}")
    shutil.copy(tiny / "config.json", tmp_path / "base")
    assert one_gpu.main(["train", str(tmp_path)]) == 2
    assert "no whole base weights yet" in capsys.readouterr().err


def test_training_that_cannot_begin_says_why_at_once(tmp_path: Path, tiny: Path, monkeypatch):
    shutil.copytree(tiny, tmp_path / "base")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train-python-000.json").write_text("{}")
    monkeypatch.setattr(one_gpu_run, "_command", lambda *a, **k: [sys.executable, "-c", "exit('no such card')"])
    with pytest.raises(RemaskError, match=r"ended with status 1: no such card"):
        one_gpu_run.train(tmp_path, settings())


@pytest.mark.parametrize(
    ("fails", "minutes", "code", "tries"), [(2, 10.0, 0, 3), (99, 10.0, 9, one_gpu_run.TRIES), (99, 1.0, 9, 1)]
)
def test_training_is_begun_again_after_a_failure_while_there_is_time(
    tmp_path, monkeypatch, fails, minutes, code, tries
):
    script = "import pathlib, sys; p = pathlib.Path('tries'); n = p.stat().st_size if p.exists() else 0\n"
    script += f"p.write_text('x' * (n + 1)); sys.exit(9 if n < {fails} else 0)"
    monkeypatch.setattr(one_gpu_run, "_command", lambda *a, **k: [sys.executable, "-c", script])
    assert one_gpu_run.supervise(tmp_path, settings(minutes=minutes)) == code
    assert len((tmp_path / "tries").read_text()) == tries


def test_waiting_ends_with_its_time_or_with_the_run(tmp_path: Path, capsys):
    (tmp_path / "out.txt").write_text("step 1\nstep 2\n")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        (tmp_path / "pid").write_text(str(child.pid))
        assert one_gpu_run.wait(tmp_path, 0.01) == "still training"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still listed
        assert one_gpu_run.wait(tmp_path, 9.0) == "the run has ended"
    assert capsys.readouterr().out == "step 2\n"


def test_a_model_that_is_being_replaced_is_asked_for_once_more(tmp_path: Path, monkeypatch):
    whole = tmp_path / "run" / "model"

    def sleep(seconds: float) -> None:
        whole.mkdir(parents=True)
        (whole / "config.json").write_text("{}")

    monkeypatch.setattr(time, "sleep", sleep)
    assert (one_gpu._snapshot(tmp_path) / "config.json").read_text() == "{}"


def test_held_out_shards_travel_first_then_python_before_the_other_languages(tmp_path: Path, tiny: Path):
    piece = shards.Piece("p", "a", np.arange(9, dtype=np.uint16), np.zeros(0, spans.DTYPE))
    for split, language in (("train", "javascript"), ("train", "python"), ("dev", "typescript")):
        shards.write(tmp_path, split, language, [piece], "t")
    names = [name for _, name in one_gpu.contents(tiny, tmp_path) if name.endswith("-000.json")]
    assert [n.split("/")[1] for n in names] == [
        "dev-typescript-000.json",
        "train-python-000.json",
        "train-javascript-000.json",
    ]


def test_a_corpus_that_is_not_what_the_manifest_gives_is_packed_on_demand_only(tmp_path: Path, corpus_folder, capsys):
    where = ["--corpus", str(tmp_path / "corpus"), "--model", str(tmp_path / "none")]
    shutil.copytree(corpus_folder, tmp_path / "corpus")
    report = tmp_path / "corpus" / "report.json"
    for told, complaint in (
        (None, "has no report"),
        ({"manifest": "another"}, "built from a part of the manifest"),
        ({"manifest": manifest.digest(manifest.load())}, "no model folder"),  # it gets as far as the model
    ):
        if told is not None:
            report.write_text(json.dumps(told))
        assert one_gpu.main(["pack", str(tmp_path / "out"), *where]) == 2
        assert complaint in capsys.readouterr().err


def test_packing_into_a_full_folder_is_refused(tmp_path: Path, capsys):
    (tmp_path / "something").write_text("")
    assert one_gpu.main(["pack", str(tmp_path), "--anyway"]) == 2
    assert "is not empty" in capsys.readouterr().err
