"""`remask model corpus` and `remask model train` from the command line: bad input is answered in one line."""

from __future__ import annotations

import pytest

from engine.cli.main import main


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["model", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_missing_manifest_is_named(capsys, tmp_path):
    assert "no manifest at" in said(capsys, "corpus", "--manifest", tmp_path / "none.toml", "--out", tmp_path)


def test_no_workers_build_no_corpus(capsys, tmp_path):
    assert "--workers is 0" in said(capsys, "corpus", "--workers", "0", "--out", tmp_path)


@pytest.mark.train
def test_training_without_a_corpus_says_how_to_build_one(capsys, tmp_path, tiny):
    pytest.importorskip("torch")
    found = said(capsys, "train", tmp_path / "run", "--corpus", tmp_path, "--from", tiny, "--device", "cpu")
    assert "remask model corpus" in found
    assert not (tmp_path / "run" / "pid").exists()


@pytest.mark.train
def test_training_from_a_folder_without_a_model_says_so(capsys, tmp_path):
    pytest.importorskip("torch")
    assert "no model folder at" in said(capsys, "train", tmp_path / "run", "--from", tmp_path / "none")
