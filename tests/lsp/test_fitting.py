"""What an editor shows of what the engine says. `<|>` is the cursor; the engine's text goes exactly there."""

from __future__ import annotations

import pytest

import grammars
from lsp_server.fitting import fit, normal


def shown(marked: str, middle: str, language: str = "python") -> tuple[str, int] | None:
    prefix, suffix = marked.split("<|>")
    source = grammars.get(language).parse(prefix + suffix)
    fitted = fit(source, len(prefix), normal(source, len(prefix), middle))
    return None if fitted is None else (fitted.text, fitted.over)


def result(marked: str, middle: str, language: str = "python") -> str | None:
    prefix, suffix = marked.split("<|>")
    found = shown(marked, middle, language)
    return None if found is None else prefix + found[0] + suffix[found[1] :]


def test_a_text_that_fits_is_left_alone() -> None:
    assert shown("x = foo(<|>)\n", "a, b") == ("a, b", 0)
    assert shown("x = <|>\n", "foo(bar(1))") == ("foo(bar(1))", 0)


@pytest.mark.parametrize(
    ("marked", "middle", "wanted"),
    [
        ("x = foo(<|>)\n", "a, b)", "x = foo(a, b)\n"),
        ("x = foo(bar(<|>))\n", "1), 2)", "x = foo(bar(1), 2)\n"),
        ("print('<|>')\n", "hello')", "print('hello')\n"),
        ("d = {'a': [<|>]}\n", "1, 2]}", "d = {'a': [1, 2]}\n"),
        ("def f(<|>)\n", "a):\n    return a", "def f(a):\n    return a\n"),
    ],
)
def test_complaint_2_closers_that_the_editor_added_are_not_doubled(marked: str, middle: str, wanted: str) -> None:
    assert result(marked, middle) == wanted


def test_complaint_2_also_where_the_file_is_broken_elsewhere() -> None:
    assert result("def broken(:\n    pass\n\nx = foo(<|>)\n", "a, b)") == "def broken(:\n    pass\n\nx = foo(a, b)\n"


def test_closers_that_belong_to_something_else_stay() -> None:
    assert shown("x = foo(bar(<|>)\n", "1)") == ("1)", 0)
    assert shown("f(g(<|>\n)\n", "1)") == ("1)", 0)


@pytest.mark.parametrize(
    ("marked", "middle", "wanted"),
    [
        ("def f(a):\n    <|>\n    return a\n", "a += 1\n    return a", "a += 1"),
        ("def f(a):\n    b = a\n    <|>\n    c = b\n    return c\n", "b += 1\n    c = b\n    return c", "b += 1"),
        ("x = [\n    1,\n    <|>\n    3,\n]\n", "2,\n    3,\n]", "2,"),
    ],
)
def test_complaint_3_following_lines_are_not_repeated(marked: str, middle: str, wanted: str) -> None:
    assert shown(marked, middle) == (wanted, 0)


def test_complaint_3_nothing_is_shown_when_everything_would_be_repeated() -> None:
    assert shown("def f(a):\n    <|>\n    return a\n", "return a") is None
    assert shown("import os\nimp<|>\nimport sys\n", "ort sys") is None


def test_complaint_3_the_rest_of_the_line_is_not_repeated() -> None:
    assert result("total = <|>price * count\n", "base + price * count") == "total = base + price * count\n"


def test_a_brace_that_the_syntax_wants_is_no_repetition() -> None:
    marked = "function f() {\n  if (a) {\n    b();<|>\n}\n"
    assert result(marked, "\n  }", "javascript") == "function f() {\n  if (a) {\n    b();\n  }\n}\n"


@pytest.mark.parametrize(
    ("marked", "middle", "wanted"),
    [
        ("def f(a):\n    <|>\n", "    return a", "def f(a):\n    return a\n"),
        ("def f(a):\n    b = a\n    <|>\n", "    return b", "def f(a):\n    b = a\n    return b\n"),
        ("def f(a):\n\t<|>\n", "\treturn a", "def f(a):\n\treturn a\n"),
        ("def f(a):\n<|>\n", "    return a", "def f(a):\n    return a\n"),
        ("class A:\n\tdef f(self):\n\t\t<|>\n", "\t\treturn 1", "class A:\n\tdef f(self):\n\t\treturn 1\n"),
        (
            "class A:\n\tdef f(self):<|>\n",
            "\n        if self:\n            return 1",
            "class A:\n\tdef f(self):\n\t\tif self:\n\t\t\treturn 1\n",
        ),
    ],
)
def test_complaint_5_the_first_line_is_indented_as_the_cursors_line_is(marked: str, middle: str, wanted: str) -> None:
    assert result(marked, middle) == wanted


@pytest.mark.parametrize(
    ("marked", "middle", "wanted"),
    [
        ("def f(a):<|>\n", "\n\tif a:\n\t\treturn a", "\n\tif a:\n\t\treturn a"),
        ("def f(a):<|>\n", "\n  if a:\n    return a", "\n  if a:\n    return a"),
        ("def f(a):<|>\n\n\ndef g(a):\n\treturn a\n", "\n    if a:\n        return a", "\n\tif a:\n\t\treturn a"),
        ("def f(a):<|>\n\n\ndef g(a):\n    return a\n", "\n\tif a:\n\t\treturn a", "\n    if a:\n        return a"),
        ("def f(a):\n\t<|>\n", "if a:\n        if b:\n            c()", "if a:\n\t\tif b:\n\t\t\tc()"),
    ],
)
def test_indentation_is_changed_only_where_the_file_shows_what_it_should_be(
    marked: str, middle: str, wanted: str
) -> None:
    assert shown(marked, middle) == (wanted, 0)


def test_several_lines_replace_the_rest_of_the_cursors_line() -> None:
    assert shown("f({<|>})\n", "\n  a: 1,\n", "javascript") == ("\n  a: 1,\n})", 2)


def test_nothing_but_blanks_is_nothing() -> None:
    assert shown("x = 1<|>\n", "\n") is None
    assert shown("x = 1<|>\n", "   ") is None


def test_line_breaks_are_line_feeds_whatever_the_document_has() -> None:
    assert shown("def f():<|>\r\n", "\r\n    return 1") == ("\n    return 1", 0)
