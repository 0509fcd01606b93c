"""`remask model eval` from end to end, with a tiny untrained model: quick, and every figure is really measured."""

from __future__ import annotations

import json

import pytest

from engine import calibration
from engine.calibration import Calibration
from engine.cli.main import main
from engine.core import Engine
from engine.model.evaluation.cases import CUTTERS, build_cases
from engine.model.evaluation.documents import read_documents
from engine.model.evaluation.losses import measure_loss
from engine.model.evaluation.runner import OneByOne, Results, run_completions


@pytest.fixture(scope="module")
def tiny(tiny_model):
    with Engine(device="cpu", memory=False, model=tiny_model) as engine:
        yield engine


def test_the_command_prints_a_table_and_writes_every_answer(tiny_model, dev, tmp_path, capsys):
    out = tmp_path / "figures.json"
    arguments = ["model", "eval", "--model", tiny_model, "--dev", str(dev), "--cursors", "2", "--json", str(out)]
    assert main([*arguments, "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    for word in ("verified", "denoise", "K = 1", "python line", "python block", "hole, import", "restored exactly"):
        assert word in shown
    content = json.loads(out.read_text())
    figures = {(f["group"], f["measure"]): f["values"] for f in content["models"][0]["figures"]}
    loss = figures["python line", "loss, nats a token"]
    # An untrained model knows nothing: it does no better than an even guess, ln(49152) = 10.8 nats.
    assert loss["K = 1"]["value"] > 10.2
    assert loss["verified"]["value"] > 10.2
    # Greedy decoding with drafts is that of K = 1.
    for column in ("exact", "edit similarity", "parses"):
        values = figures["python span", column]
        assert values["verified"]["value"] == values["K = 1"]["value"]
    assert {a["column"] for a in content["models"][0]["answers"]} == {"verified", "denoise", "K = 1"}


def test_two_models_are_compared_case_by_case_and_a_model_equals_itself(tiny_model, dev, tmp_path, capsys, monkeypatch):
    # Both engines are to draft alike: how much is worth drafting is measured, and measured anew where nothing is kept.
    same = Calibration("cpu", "int8", {1: 1.0}, 0.1, 8)
    monkeypatch.setattr(calibration, "calibrate", lambda denoiser: same)
    out = tmp_path / "figures.json"
    arguments = ["model", "eval", "--ends", "--model", tiny_model, "--against", tiny_model, "--dev", str(dev)]
    assert main([*arguments, "--cursors", "2", "--json", str(out), "--device", "cpu"]) == 0
    first, second = json.loads(out.read_text())["models"]
    assert first["figures"] == second["figures"]
    assert first["answers"] == second["answers"]
    assert "difference" in capsys.readouterr().out


def test_two_windows_of_one_model_are_compared(tiny_model, dev, tmp_path):
    out = tmp_path / "figures.json"
    arguments = ["model", "eval", "--only", "line", "--cursors", "1", "--dev", str(dev), "--json", str(out)]
    assert main([*arguments, "--model", tiny_model, "--against", tiny_model, "--window", "256", "400"]) == 0
    first, second = json.loads(out.read_text())["models"]
    assert [first["model"][-11:], second["model"][-11:]] == ["-window-256", "-window-400"]
    losses = [next(f["values"] for f in m["figures"] if f["measure"].startswith("loss")) for m in (first, second)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dev", "nowhere.jsonl"], "nowhere.jsonl does not exist"),
        (["--cursors", "0"], "--cursors must be at least 1"),
        (["--model", "nowhere"], "no model folder at nowhere"),
        (["--window", "100"], "--window takes a number from 256 on"),
        (["--window", "300", "400"], "or one for each model, not [300, 400]"),
    ],
)
def test_bad_input_is_named(dev, capsys, arguments, complaint):
    assert main(["model", "eval", "--dev", str(dev), *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_losses_do_not_depend_on_what_the_cache_holds(tiny, dev):
    cases = build_cases(read_documents(dev), CUTTERS, 2)
    windows = tiny.completer.windows
    cold = [measure_loss(tiny.vocabulary, windows, tiny.caches, case) for case in cases]
    warm = [measure_loss(tiny.vocabulary, windows, tiny.caches, case) for case in reversed(cases)]
    assert cold == warm[::-1]
    assert all(loss.tokens and loss.masks for loss in cold)


def test_the_baseline_takes_one_pass_a_token_and_no_drafts(tiny, dev):
    from engine.memory import as_sure
    from engine.sampler import Task

    case = build_cases(read_documents(dev), CUTTERS, 1)[0]
    window = tiny.completer.windows.build(case.prefix, case.suffix)
    task = Task(window.ids, 9, propose=lambda known: as_sure([1, 2, 3], 0.9))
    draft = OneByOne(tiny).run(tiny.caches.get(window.ids), task)
    assert draft.steps == len(draft.tokens) + draft.ended


def test_every_column_is_measured_on_every_case(tiny, dev):
    results = Results()
    run_completions(tiny, build_cases(read_documents(dev), CUTTERS, 2), 0, results, lambda what: None)
    for (_, name), measure in results.measures.items():
        columns = {"verified", "K = 1"} if name in ("loss, nats a token", "right tokens") else None
        counts = {measure.count(column) for column in columns or ("verified", "denoise", "K = 1")}
        assert counts == {2}
