from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

import engine
from engine.checkpoint import PACKAGED, Checkpoint, to_int8
from engine.cli.main import main
from engine.errors import BadRequestError, ModelError
from engine.model.export import INT4_BLOCK, Rounded, export, find_checkpoint, four_bits


@pytest.fixture(scope="module")
def exported(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "model"
    export(Checkpoint(Path(tiny_model)), out)
    return out


def test_an_exported_model_loads_and_answers(exported):
    with engine.load(device="cpu", memory=False, model=exported) as e:
        assert e.model.startswith("model@")
        e.complete("def f(x):\n    return ", "\n", max_tokens=4)


def test_matrices_are_int8_rows_whose_product_with_their_scale_is_near(exported, tiny_model):
    before, after = Checkpoint(Path(tiny_model)), Checkpoint(exported)
    assert after.names() == sorted(
        {*before.names(), *(n.replace("weight", "scale") for n in before.names() if "norm" not in n)}
    )
    for name in before.names():
        weight = before.raw(name)
        if weight.ndim == 2:
            assert after.raw(name).dtype == np.int8
            step = np.abs(weight).max(axis=1) / 127
            assert (np.abs(after.dense(name) - weight).max(axis=1) <= 0.51 * step + 1e-9).all()
        else:
            assert np.array_equal(after.raw(name), weight)


def test_what_training_moves_by_a_tenth_of_a_level_is_not_rounded_back():
    rng = np.random.default_rng(0)
    began = rng.integers(-120, 121, (64, 512)).astype(np.float32) * 0.01
    began[:, 0] = 1.27
    moved = began + 0.001 * np.sign(rng.normal(size=(64, 1))).astype(np.float32)
    moved[:, 0] = 1.27
    rows, scale = to_int8(moved, "model.layers.0.mlp.up_proj.weight")
    step = (rows * scale[:, None] - began)[:, 1:]
    assert np.abs(step).max() <= 0.0101, "to one of the two levels that it lies between"
    # Each row moved by a tenth of a level: 511 weights that go on by one with a chance of a tenth.
    np.testing.assert_allclose(step.mean(axis=1), (moved - began)[:, 1], atol=0.0007)
    assert (np.rint(moved / 0.01) == np.rint(began / 0.01)).all(), "which to the nearest level would all be lost"
    again, _ = to_int8(moved, "model.layers.0.mlp.up_proj.weight")
    assert (again == rows).all()


@pytest.mark.parametrize("weight", [np.full((4, 8), 0.5), np.random.default_rng(0).normal(size=(64, 128))])
def test_weights_that_are_near_no_level_or_on_one_are_rounded_to_the_nearest(weight):
    weight = weight.astype(np.float32)
    rows, scale = to_int8(weight, "w")
    assert (rows == np.rint(weight / scale[:, None])).all()


def test_the_layout_is_that_of_the_package(exported):
    names = sorted(path.name for path in exported.iterdir())
    assert names == sorted(p.name for p in PACKAGED.iterdir() if p.name != "README.md")
    index = json.loads((exported / "model.safetensors.index.json").read_text())
    for name, shard in index["weight_map"].items():
        assert name in load_file(exported / shard)


def test_whoever_may_read_one_file_of_an_exported_model_may_read_all(exported):
    assert len({path.stat().st_mode for path in exported.iterdir()}) == 1


@pytest.mark.slow
def test_exporting_the_packaged_model_changes_no_weight(tmp_path):
    sizes = export(Checkpoint(), tmp_path / "again")
    assert sum(sizes.values()) < 140_000_000
    assert max(sizes.values()) < 95_000_000
    old, new = Checkpoint(), Checkpoint(tmp_path / "again")
    assert old.names() == new.names()
    assert all(np.array_equal(old.raw(name), new.raw(name)) for name in old.names())


def test_a_folder_that_is_taken_is_left_alone(exported, tiny_model, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(BadRequestError, match="not an empty folder"):
        export(Checkpoint(Path(tiny_model)), tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_full_disk_leaves_nothing_and_says_so(tiny_model, tmp_path, monkeypatch, failure):
    def no_space(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr("engine.model.export.save_file", no_space)
    with pytest.raises(BadRequestError, match="No space left on device"):
        export(Checkpoint(Path(tiny_model)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_searched_for_its_checkpoint(tiny_model, tmp_path):
    with pytest.raises(ModelError, match="no folder at"):
        find_checkpoint(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="train first"):
        find_checkpoint(tmp_path)
    shutil.copytree(tiny_model, tmp_path / "run" / "checkpoint")
    assert find_checkpoint(tmp_path / "run").folder == tmp_path / "run" / "checkpoint"


def test_four_bits_have_sixteen_levels_a_block_and_err_more_than_eight():
    weight = np.random.default_rng(0).normal(size=(3, 80)).astype(np.float32)
    rounded = four_bits(weight)
    assert rounded.shape == weight.shape
    for row in rounded:
        for start in range(0, 80, INT4_BLOCK):
            assert len(np.unique(row[start : start + INT4_BLOCK])) <= 16
    error = np.abs(rounded - weight).max()
    assert 0.02 < error < np.abs(weight).max() / 7
    assert not four_bits(np.zeros((1, 64), np.float32)).any()


def test_mixes_cost_between_four_and_eight_bits(tiny_model):
    folder = Path(tiny_model)
    eight, mixed, four = (Rounded(folder, parts).bytes_stored() for parts in ((), ("mlp",), ("",)))
    assert four < mixed < eight < Rounded(folder, ()).bytes_stored(dense=True)


def test_the_command_writes_the_folder_its_card_and_what_rounding_costs(tiny_model, dev, tmp_path, capsys):
    out, run = tmp_path / "released", tmp_path / "run"
    shutil.copytree(tiny_model, run / "model")
    config = json.loads((run / "model" / "config.json").read_text())
    config["remask"]["training"] = {"steps": 123, "recipe": {"rate": 8e-5}}
    (run / "model" / "config.json").write_text(json.dumps(config))
    (run / "log.jsonl").write_text('{"step": 122}\n{"step": 123, "middle": 1.5}\n')
    assert main(["model", "export", str(run), str(out), "--dev", str(dev), "--cursors", "1"]) == 0
    shown = capsys.readouterr().out
    for word in ("fp32", "int8 rows, as it runs", "int4, weights alone", "MLP int4"):
        assert word in shown
    card = (out / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "SmolLM2-135M" in card
    assert "int8 rows, as it runs" in card
    assert '"steps": 123' in card, "the recipe"
    assert '"middle": 1.5' in card, "where it ended"
    assert main(["model", "export", tiny_model, str(out), "--dev", str(dev)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
