"""The ablation trains every variant from the same weights and tells what each did."""

from __future__ import annotations

import json

import pytest

from engine.cli.main import main

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def _torch():
    pytest.importorskip("torch")


def ablate(tmp_path, corpus_folder, tiny, *more: str, steps: int = 2) -> int:
    options = [
        "--corpus",
        str(corpus_folder),
        "--from",
        str(tiny),
        "--steps",
        str(steps),
        "--positions",
        "640",
        "--held-out",
        "2",
    ]
    return main(["model", "ablate", *options, "--json", str(tmp_path / "found.json"), *more])


def test_variants_differ_in_what_they_change(tmp_path, corpus_folder, tiny, capsys):
    names = ["as it is", "no next-token loss", "blocks only, no drafts"]
    only = (x for n in names for x in ("--only", n))
    assert ablate(tmp_path, corpus_folder, tiny, "--rate", "3e-3", *only, steps=16) == 0
    nats = json.loads((tmp_path / "found.json").read_text())["nats"]
    assert list(nats) == ["before", *names]
    assert len({tuple(found.items()) for found in nats.values()}) == 4
    # Without its loss the clean stream learns less of the next token: 0.2 nats so far, 0.0006 after two steps.
    assert nats["as it is"]["middle"] < nats["no next-token loss"]["middle"] - 0.1
    assert "no next-token loss" in capsys.readouterr().out


def test_a_change_is_weighted_by_rows_and_its_error_is_paired():
    from engine.model.ablation import Measured
    from engine.model.totals import Totals

    def batches(*found: tuple[float, int]) -> Measured:
        made = []
        for nats, rows in found:
            totals = Totals()
            totals.sums["middle"], totals.counts["middle"] = nats * rows, rows
            made.append(totals)
        return Measured(made)

    reference = batches((2.0, 10), (5.0, 30))
    change, error = batches((1.9, 10), (4.9, 30)).change(reference, "middle")
    assert change == pytest.approx(-0.1)
    assert error == pytest.approx(0.0, abs=1e-9), "batches differ from one another, the change does not"
    change, error = batches((2.4, 10), (5.0, 30)).change(reference, "middle")
    assert change == pytest.approx(0.1)
    assert error == pytest.approx(((10 * 0.3) ** 2 + (30 * -0.1) ** 2) ** 0.5 * 2**0.5 / 40)
    assert batches((1.0, 10), (1.0, 0)).change(reference, "middle") is None


def test_an_unknown_variant_is_answered_with_those_there_are(tmp_path, corpus_folder, tiny, capsys):
    assert ablate(tmp_path, corpus_folder, tiny, "--only", "everything") == 2
    assert "'as it is'" in capsys.readouterr().err
