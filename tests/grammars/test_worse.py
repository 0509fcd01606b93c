"""Whether an insertion makes a Python file worse is told by the statements that it touches, as by all of the file."""

from __future__ import annotations

import random

import pytest

import grammars
from grammars import worse
from grammars.statements import touched
from grammars.validity import ast_error
from tests.conftest import ROOT

PYTHON = grammars.get("python")
TEXT = (ROOT / "engine" / "ends.py").read_text(encoding="utf-8")
PIECES = (
    *(
        "x = 1\n",
        " ",
        "\n",
        "\t",
        "return\n",
        "f(a=1, b)",
        "f() = 1\n",
        "if x:\n",
        "else:\n",
        "@d\n",
        "async ",
        "await x",
    ),
    *(
        "print x\n",
        ")",
        "(",
        "#",
        " \\\n",
        '"""',
        "; y = 2",
        "\\\n; y = 2\n",
        "nonlocal z\n",
        "07",
        "1 if x",
        "*a",
        "'''",
    ),
    *(
        "from __future__ import annotations\n",
        "try:\n    pass\nfinally:\n    pass\n",
        "\r\n",
        "\x0c",
        "None = 1\n",
        ":",
    ),
    *(
        "match x:\n    case 1:\n        pass\n",
        "f'{a b}'",
        "exec 'x'\n",
        "a <> b\n",
        "  # c\n",
        "class A:\n    x = 1\n",
    ),
)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_statements_that_an_insertion_touches_are_accepted_as_the_whole_file_is(newline: str) -> None:
    text = TEXT.replace("\n", newline)
    before, draw = PYTHON.parse(text), random.Random(7)
    assert ast_error(text) is None
    small = rejected = 0
    for _ in range(500):
        at = draw.randrange(len(text))
        at = draw.choice((at, text.rfind("\n", 0, at) + 1, text.find("\n", at)))
        new = "".join(draw.choices(PIECES, k=draw.choice((1, 1, 2))))
        after = before.replace(at, at, new)
        if after.tree.root_node.has_error:
            continue
        read = touched(before, after, at, at + len(new))
        broken = ast_error(after.text) is not None
        assert (ast_error(read) is not None) is broken, (at, new)
        assert grammars.is_worse(before, after, at, at + len(new)) is broken
        small += len(read) < len(text) // 2
        rejected += broken
    assert small > 40
    assert rejected > 10


def test_a_right_insertion_is_judged_without_reading_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(worse, "python_error", lambda text: read.append(text))
    before = PYTHON.parse(TEXT)
    at = TEXT.index("\n\n\ndef ")
    after = before.replace(at, at, "\nSIZE = 3")
    assert not grammars.is_worse(before, after, at, at + 9)
    assert [len(text) < len(TEXT) // 4 for text in read] == [True]
    assert "\nSIZE = 3" in read[0]


def test_a_line_break_that_only_python_knows_makes_the_whole_file_be_read() -> None:
    text = "# one\rx = (\ny = 1\n# two\r)\nz = 2\n"
    before = PYTHON.parse(text)
    after = before.replace(len(text), len(text), "w = 3\n")
    assert touched(before, after, len(text), len(text) + 6) == after.text


def test_above_a_size_the_tree_decides_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "x = 1\nf(a=1, b)\n"  # only the interpreter rejects it
    assert PYTHON.parse(text).broken
    assert not grammars.accepts(PYTHON, text)
    monkeypatch.setattr("grammars.validity.MAX_AST", 10)
    monkeypatch.setattr("grammars.worse.MAX_AST", 10)
    assert not PYTHON.parse(text).broken
    assert grammars.accepts(PYTHON, text)
    assert not grammars.accepts(PYTHON, "x = 1\nf(\n")
    assert not grammars.is_worse(PYTHON.parse(text[:6]), PYTHON.parse(text), 6, len(text))


@pytest.mark.parametrize("many", [1, 60])  # more than are told
def test_edits_gain_and_mend_problems_however_many_there_are(many: int) -> None:
    unclosed = "def f(a:\n    return a\n\n\n"
    before = PYTHON.parse(unclosed * many)
    mended = before.replace(0, len("def f(a:"), "def f(a):")
    assert grammars.gained(before, before) == 0
    assert grammars.gained(before, mended) < 0
    assert grammars.gained(mended, before) > 0
