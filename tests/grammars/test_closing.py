"""What closes the brackets that a text leaves open, and where that goes."""

from __future__ import annotations

import pytest

import grammars

JAVASCRIPT, PYTHON = grammars.get("javascript"), grammars.get("python")


@pytest.mark.parametrize(
    ("line", "opens"),
    [
        ("function f(a, b) {", True),
        ("call(", True),
        ("const ports = [  // of the host", True),
        ("const brace = '{'", False),
        ("// see f(", False),
        ("f(a, b)", False),
        ("f(a,", False),
        ("", False),
    ],
)
def test_a_line_opens_where_a_bracket_is_the_last_it_says(line, opens):
    assert grammars.opens_at_end(JAVASCRIPT, line) is opens


@pytest.mark.parametrize(
    ("typed", "text", "closings"),
    [
        # A block's brace stands in the column of its line.
        ("  function f() ", "{\n    return 1;", ["\n  }"]),
        # Two brackets of one line close on one, and a call is a statement; what was typed may be closed already.
        ("  app.get('/', ", "(req, res) => {\n    res.end();", ["\n  });", "\n  })", "\n  }"]),
        ("", "const ports = [\n  80,\n  443", ["\n];", "\n]"]),
        # A bracket in the midst of a line is closed there.
        ("", "f(a,\n  g(b", ["));", "))"]),
        ("", "f({\n  a: [\n    1", ["\n  ]\n});", "\n  ]\n})"]),
        # What is closed, or only spelled in a string or a comment, is not open.
        ("", "f(a)", []),
        ("", "f('(') // {", []),
        ("x = g(", "", [");", ")"]),
    ],
)
def test_brackets_are_closed_inside_out(typed, text, closings):
    assert [*grammars.closings(JAVASCRIPT, typed, text)] == closings


def test_python_has_nothing_behind_a_closer():
    assert [*grammars.closings(PYTHON, "    names = ", "[\n        'a',")] == ["\n    ]"]
    assert [*grammars.closings(PYTHON, "    raise ", "ValueError(\n        'a'")] == ["\n    )"]


def test_a_file_that_ends_no_statement_gets_no_end_of_one():
    assert [*grammars.closings(JAVASCRIPT, "run(", "() => {\n  go()", ends=False)] == ["\n})", "\n}"]
