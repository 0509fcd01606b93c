"""Weights between two models lie on the line between them, and the best share is the one that is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from engine.checkpoint import Checkpoint
from engine.cli.main import main
from engine.model.export import find_checkpoint

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def _torch():
    pytest.importorskip("torch")


@pytest.fixture(scope="module")
def ended(tiny, tmp_path_factory):
    """What a run ended with: a model in which every weight of the tiny one was moved at random."""
    out = tmp_path_factory.mktemp("ended")
    for name in ("config.json", "tokenizer.json"):
        (out / name).write_bytes((tiny / name).read_bytes())
    rng = np.random.default_rng(1)
    moved = {
        n: w + rng.normal(0, 0.05, w.shape).astype(np.float32) for n, w in load_file(tiny / "model.safetensors").items()
    }
    save_file(moved, out / "model.safetensors")
    return out


def interpolate(run, out, tiny, corpus_folder, *more: str) -> int:
    options = ["--base", str(tiny), "--corpus", str(corpus_folder), "--held-out", "1", *more]
    return main(["model", "interpolate", str(run), str(out), *options])


def test_the_share_with_the_lowest_losses_is_written(tiny, ended, tmp_path, corpus_folder, capsys):
    assert interpolate(ended, tmp_path / "mix", tiny, corpus_folder, "--shares", "0.25", "0.5") == 0
    found = [json.loads(line) for line in (tmp_path / "mix" / "log.jsonl").read_text().splitlines()]
    assert [record["share"] for record in found[:-1]] == [0.0, 0.25, 0.5, 1.0]
    assert found[-1] in found[:-1]  # the one that was written comes once more, at the end
    sums = {r["share"]: r["dev"]["middle"] + r["dev"]["masked middle"] for r in found}
    assert len(set(sums.values())) == 4
    written = find_checkpoint(tmp_path / "mix")
    kept = json.loads((written.folder / "config.json").read_text())["remask"]["training"]
    assert kept == {"share": min(sums, key=lambda share: sums[share]), "base": Checkpoint(tiny).name}
    assert found[-1]["share"] == kept["share"]
    assert f"{kept['share']:g} of the run has the lowest" in capsys.readouterr().out
    first, last = load_file(tiny / "model.safetensors"), load_file(ended / "model.safetensors")
    for name in written.names():
        expected = first[name] + kept["share"] * (last[name] - first[name])
        np.testing.assert_allclose(written.dense(name), expected, atol=1e-6)


def test_between_is_on_the_line():
    import torch

    from engine.model.interpolation import between

    first, last = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([2.0, 0.0])}
    assert between(first, last, 0.25)["w"].tolist() == [0.5, 3.0]
    assert between(first, last, 1.0)["w"].tolist() == [2.0, 0.0]


def test_a_model_of_another_shape_is_refused(ended, tmp_path, corpus_folder, capsys):
    assert main(["model", "interpolate", str(ended), str(tmp_path / "mix"), "--corpus", str(corpus_folder)]) == 2
    assert "of another shape" in capsys.readouterr().err
    assert not (tmp_path / "mix").exists()


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan"])
def test_a_share_that_is_none_is_refused(tiny, ended, tmp_path, corpus_folder, capsys, share):
    assert interpolate(ended, tmp_path / "mix", tiny, corpus_folder, "--shares", share) == 2
    assert "shares from 0" in capsys.readouterr().err


def test_a_folder_that_is_taken_is_left_alone(tiny, ended, tmp_path, corpus_folder, capsys):
    (tmp_path / "mix").mkdir()
    (tmp_path / "mix" / "notes.txt").write_text("keep")
    assert interpolate(ended, tmp_path / "mix", tiny, corpus_folder) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "mix").iterdir()] == ["notes.txt"]


def test_a_corpus_that_holds_nothing_out_is_told(tiny, ended, tmp_path, capsys):
    (tmp_path / "corpus").mkdir()
    assert interpolate(ended, tmp_path / "mix", tiny, tmp_path / "corpus") == 2
    assert "remask model corpus" in capsys.readouterr().err
