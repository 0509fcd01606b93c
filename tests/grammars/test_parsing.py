from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

import grammars
from grammars.parsing import parse_within_budget
from grammars.stop import first_stop
from tests.conftest import ROOT

TEXT = (ROOT / "engine" / "completion.py").read_text(encoding="utf-8")
PIECES = ["", "x", "(", ")", "\n", '"', '"""', "#", "def f():\n    ", "é𝄞", "    return 1\n"]
FILES = {"python": "grammars/source.py", "typescript": "vscode-client/src/middleware.ts"}
TRICKY = {
    "python": "s = '#'  # one\nt = 1\n#",
    "typescript": "/* a /* b */ let s = '/*' /* c\n d */\nlet r = /\\/*/ // e\n/*/ f",
}


def growth(work) -> int:
    """Bytes that forty more rounds of `work` leave behind."""
    for i in range(10):
        work(i)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for i in range(40):
        work(i)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown


def test_parsing_again_and_again_leaves_nothing_behind():
    python = grammars.get("python")
    source = python.parse(TEXT)

    def work(i: int) -> None:
        assert source.replace(100 + i, 100 + i, "x").tree
        assert python.parse(TEXT[: 8000 + i]).tree
        first_stop(python, (TEXT[: 8000 + i] + ")").encode())

    # One text is 18 kB: kept by every parse, that would be two megabytes.
    assert growth(work) < 100_000


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 9), st.sampled_from(PIECES)), max_size=6), st.data())
def test_edits_are_parsed_together_as_one_after_another(edits, data):
    python = grammars.get("python")
    source = python.parse(TEXT[:4000])
    for start, length, new in edits:
        start = min(start, len(source.text))
        source = source.replace(start, min(start + length, len(source.text)), new)
        if data.draw(st.booleans()):
            assert source.tree
    fresh = python.parse(source.text)
    assert (str(source.tree.root_node), source.errors) == (str(fresh.tree.root_node), fresh.errors)


def test_what_is_typed_is_parsed_when_it_is_asked_for_and_never_afresh(monkeypatch):
    began_from = []

    def parse(language, data, old=None):
        began_from.append(old)
        return parse_within_budget(language, data, old)

    monkeypatch.setattr(grammars.source, "parse_within_budget", parse)
    first = grammars.get("python").parse(TEXT)
    second = first.replace(0, 0, "x = 1\n")
    third = second.replace(4, 5, "(")
    assert began_from == [None], "the first one, for the others to begin from"
    assert third.tree.root_node.has_error
    assert not second.tree.root_node.has_error
    assert len(began_from) == 3
    assert None not in began_from[1:]


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_where_a_comment_cannot_be_is_told_without_the_tree(language: str):
    text = (ROOT / FILES[language]).read_text(encoding="utf-8")
    source = grammars.get(language).parse(text[:3000] + "\n" + TRICKY[language])
    comments = [at for at in range(len(source.text) + 1) if source.inside_comment_or_string(at) == "comment"]
    assert comments
    assert [at for at in comments if not source.may_be_comment(at)] == []
    assert sum(map(source.may_be_comment, range(len(source.text)))) < len(source.text) / 2


def test_two_threads_parse_at_once():
    """In a process of its own: a parser that two threads are in ends it."""
    code = """
import sys, threading
import grammars
from tests.grammars.test_parsing import TEXT
sys.setswitchinterval(1e-5)
python = grammars.get("python")
errors = python.parse(TEXT + "def f(:").error_bytes
wrong = []
def work():
    for i in range(60):
        if python.parse(TEXT + "def f(:").error_bytes != errors:
            wrong.append(i)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(bool(wrong))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] or done.returncode
