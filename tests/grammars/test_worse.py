"""Whether an insertion makes a Python file worse is told by the statements that it touches, as by all of the file."""

from __future__ import annotations

import random

import pytest

import grammars
from grammars import worse
from grammars.statements import Frames
from grammars.validity import ast_error
from grammars.worse import Insertions
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
def test_the_statements_around_an_insertion_tell_what_the_whole_file_tells(newline: str) -> None:
    text, draw = TEXT.replace("\n", newline), random.Random(7)
    assert ast_error(text) is None
    small = worse = 0
    for _ in range(800):
        at = draw.randrange(len(text))
        at = draw.choice((at, text.rfind("\n", 0, at) + 1, text.find("\n", at)))
        line = text[text.rfind("\n", 0, at) + 1 :]
        indent = line[: len(line) - len(line.lstrip(" "))]
        whole = text
        if draw.random() < 0.4 and (end := text.find(newline, at)) >= 0:  # in a new line below
            below = newline + draw.choice((indent, indent + "    ", indent[4:]))
            whole, at = text[:end] + below + text[end:], end + len(below)
        new = "".join(draw.choices(PIECES, k=draw.choice((1, 1, 2))))
        if draw.random() < 0.5:  # as statements of the block
            new = indent + new.replace("\n", "\n" + indent)
        before = PYTHON.parse(whole)
        told = Insertions(before, at).is_worse(new)
        after = before.replace(at, at, new)
        assert told is grammars.is_worse(before, after, at, at + len(new)), (at, new)
        if before.broken or before.tree.root_node.has_error:
            continue
        assert told is (bool(after.errors) or ast_error(after.text) is not None), (at, new)
        small += not told
        worse += told
    assert small > 100
    assert worse > 200


@pytest.mark.parametrize("around", ["", "class Large:\n", "async def large():\n    while True:\n"])
@pytest.mark.parametrize("below", [True, False])
def test_an_insertion_is_judged_without_reading_the_whole_file(
    around: str, below: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(worse, "python_error", lambda text: read.append(text))
    indent = "    " * around.count("\n")
    text = around + "".join(f"{indent}def f{n}():\n{indent}    return {n}\n\n" for n in range(100))
    before = PYTHON.parse(text)
    at = text.index(f"{indent}def f50") if below else len(text)
    new = f"{indent}SIZE = 3\n"
    assert Insertions(before, at).is_worse(new) is False
    assert [len(text) < 200 for text in read] == [True]
    assert new in read[0]


def test_what_may_depend_on_more_than_the_block_is_not_told_by_it() -> None:
    text = "def f():\n    x = 1\n    \n\n\ndef g():\n    pass\n"
    at = text.index("    \n") + 4
    before = PYTHON.parse(text)
    for new in ("y = \\", "@property", "y = 1\r"):
        assert Frames(before, at).around(new) is None
    frames = Frames(before, at)
    within, beyond = frames.around("y = 2"), frames.around("y = 2\nz = 3")
    assert within is not None
    assert beyond is not None
    assert (within.indent, beyond.indent) == ("    ", "")
    ended = Insertions(before, at)
    assert not ended.is_worse("y = 2\nz = 3")
    assert ended.is_worse("y = 2\n  z = 3")
    alone = PYTHON.parse("# one\rx = (\ny = 1\n# two\r)\nz = 2\n")  # a line break that only Python knows
    assert Frames(alone, len(alone.text)).around("w = 3\n") is None


def test_what_was_wrong_before_is_not_blamed_on_an_insertion() -> None:
    unfinished = PYTHON.parse("try:\n    x = 1\n\n\ny = 2\n")  # which tree-sitter accepts
    assert not Insertions(unfinished, 15).is_worse("z = 2\n")
    assert Insertions(unfinished, len(unfinished.text)).is_worse("f(a=1, b)\n")
    broken = PYTHON.parse("x = (\n")
    assert not Insertions(broken, 6).is_worse("1)\n")
    assert Insertions(broken, 0).is_worse("y = ]\n")


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
