from __future__ import annotations

import subprocess
import sys
import tracemalloc

import grammars
from grammars.stop import first_stop
from tests.conftest import ROOT

TEXT = (ROOT / "engine" / "completion.py").read_text(encoding="utf-8")


def growth(work) -> int:
    """Bytes that a hundred more rounds of `work` leave behind."""
    for i in range(20):
        work(i)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for i in range(100):
        work(i)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown


def test_parsing_again_and_again_leaves_nothing_behind():
    python = grammars.get("python")
    source = python.parse(TEXT)

    def work(i: int) -> None:
        source.replace(100 + i, 100 + i, "x")
        python.parse(TEXT[: 8000 + i])
        first_stop(python, (TEXT[: 8000 + i] + ")").encode())

    # One text is 18 kB: kept by every parse, that would be some megabytes.
    assert growth(work) < 200_000


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
