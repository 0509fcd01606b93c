"""Built graphs in the cache folder: used again, rebuilt when damaged, done without when nothing can be written."""

from __future__ import annotations

import errno
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine import graph, variants
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from tests.engine.tiny import LLAMA, write_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(variants, "folder", lambda: tmp_path / "cache" / "graphs")
    return tmp_path / "cache" / "graphs"


@pytest.fixture
def model(tmp_path: Path) -> Checkpoint:
    return Checkpoint(write_model(tmp_path / "model", LLAMA))


def answer(model: Checkpoint) -> np.ndarray:
    denoiser = Denoiser(Checkpoint(model.folder), choose("cpu"), "int8")
    return denoiser.causal(denoiser.new_cache(), [5, 6, 7, 300, 42], 0, range(5)).logits


def count_builds(monkeypatch) -> list[int]:
    builds: list[int] = []
    build = graph.GraphBuilder.build
    monkeypatch.setattr(variants.GraphBuilder, "build", lambda self: (builds.append(1), build(self))[1])
    return builds


def test_a_second_start_reads_what_the_first_one_built(folder, model, monkeypatch):
    builds = count_builds(monkeypatch)
    first, second = answer(model), answer(model)
    assert len(builds) == 1
    assert np.array_equal(first, second)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_other_weights_are_built_anew(folder, model, monkeypatch):
    builds = count_builds(monkeypatch)
    answer(model)
    write_model(model.folder, LLAMA, rms_norm_eps=1e-3)
    answer(model)
    assert len(builds) == 2


@pytest.mark.parametrize("damage", [b"", b"not a model", None])
def test_a_damaged_file_is_built_again(folder, model, damage):
    whole = answer(model)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:5000] if damage is None else damage)
    assert np.array_equal(answer(model), whole)
    assert file.stat().st_size > 5000


def test_a_cache_folder_that_cannot_be_made_costs_only_time(folder, model, caplog):
    folder.parent.parent.joinpath("cache").write_text("a file where the folder should be")
    assert answer(model).shape == (5, 600)
    assert "cannot be kept" in caplog.text


def test_a_full_disk_costs_only_time_and_leaves_nothing(folder, model, monkeypatch, caplog):
    def full(tensors, path):
        Path(path).write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(variants, "save_file", full)
    assert answer(model).shape == (5, 600)
    assert "No space left" in caplog.text
    assert list(folder.iterdir()) == []


def test_engines_that_start_at_once_leave_one_whole_file(folder, model):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: answer(model), range(4)))
    assert all(np.array_equal(a, answers[0]) for a in answers)
    (file,) = folder.iterdir()
    assert file.suffix == ".safetensors"


def test_only_the_latest_variants_are_kept(folder, tmp_path):
    for i in range(variants.KEPT + 2):
        answer(Checkpoint(write_model(tmp_path / f"model{i}", LLAMA, vocab_size=600 + i)))
    assert len(list(folder.iterdir())) == variants.KEPT
