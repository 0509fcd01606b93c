"""The calibration is kept, so that answers do not depend on how busy the machine was at one start."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from engine import calibration
from engine.calibration import calibrate, conclude, measure
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from tests.engine.tiny import LLAMA, write_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(calibration, "user_cache_path", lambda *a, **k: tmp_path / "cache")
    return tmp_path / "cache" / "calibration"


@pytest.fixture
def small(tmp_path: Path) -> Denoiser:
    return Denoiser(Checkpoint(write_model(tmp_path / "model", LLAMA)), choose("cpu"), "int8-blocks")


def test_a_second_start_reads_the_first_measurement(folder, small, monkeypatch):
    first = calibrate(small)
    monkeypatch.setattr(calibration, "measure", lambda d: pytest.fail("measured again"))
    assert calibrate(small) == first
    assert first.describe().startswith("K = 1: ")


def test_what_is_kept_is_what_was_measured_and_not_what_was_once_concluded(folder, small):
    first = calibrate(small)
    (file,) = folder.iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"masks": 99, "row_cost": 99.0}))
    assert calibrate(small) == first


@pytest.mark.parametrize("damage", ["", "{}", '{"milliseconds": {"1": 0}}', "[]", '{"milliseconds": 3}'])
def test_a_damaged_file_is_measured_again(folder, small, damage):
    calibrate(small)
    (file,) = folder.iterdir()
    file.write_text(damage)
    again = calibrate(small)
    assert json.loads(file.read_text())["masks"] == again.masks


def test_without_a_folder_it_still_measures(folder, small, caplog):
    folder.parent.write_text("a file where the folder should be")
    assert calibrate(small).milliseconds[1] > 0
    assert "cannot be kept" in caplog.text


def test_cheap_rows_mean_more_masks_and_dear_rows_none():
    assert conclude({1: 10.0, 4: 10.1, 8: 10.2, 16: 10.4})[1] >= 2
    cost, masks = conclude({1: 10.0, 4: 11.5, 8: 13.5, 16: 17.5})
    assert cost == pytest.approx(0.05, abs=0.01)
    assert masks == 1
    assert conclude({1: 10.0, 4: 40.0, 8: 80.0, 16: 160.0}) == (1.0, 0)


def test_measuring_leaves_a_denoiser_as_it_was(small):
    cache = small.new_cache()
    before = small.causal(cache, [5, 6, 7], 0, [2]).logits.copy()
    measure(small, times=1)
    assert (small.causal(small.new_cache(), [5, 6, 7], 0, [2]).logits == before).all()


def test_the_sampler_drafts_as_the_measurement_says(folder, small, monkeypatch):
    found = dataclasses.replace(calibrate(small), masks=5, row_cost=0.07)
    monkeypatch.setattr(calibration, "calibrate", lambda denoiser: found)
    policy = calibration.draft_policy(small)
    assert (policy.masks, policy.row_cost, policy.branches, policy.rows()) == (5, 0.07, 1, 5)
