"""The ablation trains every variant from the same weights and tells what each did."""

from __future__ import annotations

import json

import pytest

from engine.cli.main import main

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def _torch():
    pytest.importorskip("torch")


def ablate(tmp_path, corpus_folder, tiny, *more: str) -> int:
    options = ["--corpus", str(corpus_folder), "--from", str(tiny), "--steps", "2", "--positions", "640"]
    return main(["model", "ablate", *options, "--json", str(tmp_path / "found.json"), *more])


def test_variants_differ_in_what_they_change(tmp_path, corpus_folder, tiny, capsys):
    names = ["as it is", "no next-token loss", "blocks only, no drafts"]
    assert ablate(tmp_path, corpus_folder, tiny, "--rate", "1e-3", *(x for n in names for x in ("--only", n))) == 0
    nats = json.loads((tmp_path / "found.json").read_text())["nats"]
    assert list(nats) == ["before", *names]
    assert len({tuple(found.items()) for found in nats.values()}) == 4
    # Without its loss the clean stream learns less of the next token.
    assert nats["as it is"]["middle"] < nats["no next-token loss"]["middle"]
    assert "no next-token loss" in capsys.readouterr().out


def test_an_unknown_variant_is_answered_with_those_there_are(tmp_path, corpus_folder, tiny, capsys):
    assert ablate(tmp_path, corpus_folder, tiny, "--only", "everything") == 2
    assert "'as it is'" in capsys.readouterr().err
