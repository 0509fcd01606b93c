"""The command line as a person or a script meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.cli.repair_command import patch
from engine.cli.source_file import read_source
from tests.conftest import ROOT

CART = (ROOT / "examples" / "cart.py").read_text(encoding="utf-8")
BROKEN = "def total(items)\n    return sum(items)\n"
FIXED = "def total(items):\n    return sum(items)\n"


@pytest.fixture
def cart(tmp_path: Path) -> Path:
    file = tmp_path / "cart.py"
    file.write_text(CART, encoding="utf-8")
    return file


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN, encoding="utf-8")
    return file


def remask(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        code = main(list(args))
    except SystemExit as left:
        code = int(left.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_complete_prints_the_contracts_object(capsys, cart):
    code, out, _ = remask(capsys, "complete", str(cart), "--line", "15", "--column", "21", "--json")
    answer = json.loads(out)
    assert code == 0
    assert {"items", "model", "device", "steps", "tokens", "timings_ms"} <= answer.keys()
    offset = CART.index("return self.") + len("return self.")
    for item in answer["items"]:
        assert item["start"] == item["end"] == offset
        assert 0 < item["confidence"] <= 1
        compile(CART[:offset] + item["text"] + CART[offset:], "cart.py", "exec")
    assert cart.read_text(encoding="utf-8") == CART


def test_complete_shows_a_person_the_place_and_the_cost(capsys, cart):
    code, out, _ = remask(capsys, "complete", str(cart), "--line", "15", "--column", "21", "--alternatives", "2")
    assert code == 0
    assert "def total(self)" in out
    assert "ms" in out
    assert "remask-135m" in out


def test_repair_prints_exact_edits_as_json_and_writes_nothing(capsys, broken):
    code, out, _ = remask(capsys, "repair", str(broken), "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["edits"] == [{"start": 16, "end": 16, "old": "", "new": ":"}]
    assert (answer["errors_before"], answer["errors_after"]) == (1, 0)
    assert "total" in answer["timings_ms"]
    assert broken.read_text() == BROKEN


def test_repair_diff_is_a_patch_and_nothing_else(capsys, broken):
    code, out, _ = remask(capsys, "repair", str(broken), "--diff")
    assert code == 0
    assert out.splitlines()[0].startswith("--- ")
    assert "-def total(items)" in out.splitlines()
    assert "+def total(items):" in out.splitlines()
    assert broken.read_text() == BROKEN


@pytest.mark.parametrize("name", ["broken.py", "two words.py", 'a "quoted" näme.py'])
@pytest.mark.parametrize(
    "data",
    [
        BROKEN.encode(),
        BROKEN.replace("\n", "\r\n").encode(),
        BROKEN.rstrip("\n").encode(),
        b"def f():\r\n    print((1)",
        b"\xef\xbb\xbf" + BROKEN.replace("\n", "\r\n").encode(),
        b"# -*- coding: latin-1 -*-\n# \xe4\x0c\n" + BROKEN.encode(),
    ],
    ids=["LF", "CRLF", "no final newline", "a last line that changes", "byte order mark", "latin-1"],
)
def test_repair_diff_applies_with_git(tmp_path, data, name):
    file = tmp_path / name
    file.write_bytes(data)
    source = read_source(str(file), None)
    new = source.text.replace("(items)\n", "(items):\n").replace("(items)\r", "(items):\r").replace("((1)", "((1))")
    (tmp_path / "patch").write_bytes(patch(source, name, new))
    source.write(new)
    mended = file.read_bytes()
    assert mended != data
    file.write_bytes(data)
    subprocess.run(["git", "apply", "--whitespace=nowarn", "patch"], check=True, cwd=tmp_path)
    assert (tmp_path / name).read_bytes() == mended


def test_repair_write_mends_the_file_and_a_second_time_leaves_it_alone(capsys, broken):
    assert remask(capsys, "repair", str(broken), "--write")[0] == 0
    assert broken.read_text() == FIXED
    before = broken.stat().st_mtime_ns
    assert remask(capsys, "repair", str(broken), "--write")[0] == 0
    assert broken.stat().st_mtime_ns == before


def test_repair_keeps_line_ends_and_the_byte_order_mark(capsys, tmp_path):
    file = tmp_path / "dos.py"
    file.write_bytes(b"\xef\xbb\xbf" + BROKEN.replace("\n", "\r\n").encode())
    assert remask(capsys, "repair", str(file), "--write")[0] == 0
    assert file.read_bytes() == b"\xef\xbb\xbf" + FIXED.replace("\n", "\r\n").encode()


def test_an_empty_file_is_completed_and_needs_no_repair(capsys, tmp_path):
    file = tmp_path / "empty.py"
    file.write_text("")
    assert remask(capsys, "complete", str(file), "--line", "1", "--column", "1", "--json")[0] == 0
    assert remask(capsys, "repair", str(file), "--json")[0] == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["complete", "nowhere.py", "--line", "1", "--column", "1"], "does not exist"),
        (["complete", "{cart}", "--line", "9999", "--column", "1"], "outside"),
        (["complete", "{cart}", "--line", "0", "--column", "1"], "outside"),
        (["complete", "{cart}", "--line", "1", "--column", "999"], "column"),
        (["complete", "{cart}", "--line", "x", "--column", "1"], "invalid int"),
        (["complete", "{cart}", "--line", "1", "--column", "1", "--language", "klingon"], "klingon"),
        (["complete", "{cart}", "--line", "1", "--column", "1", "--alternatives", "99"], "alternatives"),
        (["complete", "{cart}", "--line", "1", "--column", "1", "--device", "abacus"], "abacus"),
        (["complete", "{cart}", "--line", "1", "--column", "1", "--sampler", "dice"], "dice"),
        (["complete", "{cart}", "--line", "1", "--column", "1", "--model", "{folder}"], "config.json"),
        (["repair", "{folder}"], "is a folder"),
        (["repair", "{cart}", "--model", "/no/such/model"], "no model folder"),
        (["frobnicate"], "invalid choice"),
        ([], "required"),
    ],
)
def test_bad_input_exits_2_with_a_sentence(capsys, cart, args, says):
    args = [a.format(cart=cart, folder=cart.parent) for a in args]
    code, out, err = remask(capsys, *args)
    assert code == 2
    assert says in err
    assert "Traceback" not in err + out
    assert cart.read_text(encoding="utf-8") == CART


def test_doctor_says_what_runs_and_why(capsys):
    code, out, _ = remask(capsys, "doctor", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["problems"] == []
    assert report["device"].startswith(("cpu", "cuda"))
    assert "onnxruntime" in report["onnx runtime"]
    assert "K = 1" in report["forward pass"]


def test_doctor_exits_1_and_names_a_damaged_model(capsys, tmp_path):
    (tmp_path / "config.json").write_text("{")
    code, out, _ = remask(capsys, "doctor", "--json", "--model", str(tmp_path))
    assert code == 1
    assert "config.json" in json.loads(out)["problems"][0]


def test_doctor_takes_the_tilde_for_the_home_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    code, out, _ = remask(capsys, "doctor", "--json", "--model", "~/no-model")
    assert code == 1
    assert str(tmp_path / "no-model") in json.loads(out)["problems"][0]


def test_the_demo_shows_masks_becoming_code(capsys, cart):
    code, out, _ = remask(capsys, "demo", str(cart), "--line", "15", "--column", "21")
    assert code == 0
    assert "░░" in out
    assert "unmask 1" in out


def test_a_reader_that_leaves_early_gets_no_traceback(cart):
    remask_process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli.main", "repair", str(cart)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert remask_process.stdout is not None
    remask_process.stdout.close()
    assert b"Traceback" not in remask_process.communicate(timeout=120)[1]


def test_the_version_is_printed_without_loading_the_engine():
    code = "import sys; from engine.cli.main import main\ntry: main(['--version'])\nexcept SystemExit: pass\n"
    code += "assert 'onnxruntime' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
