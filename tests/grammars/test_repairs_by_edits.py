"""Small edits alone: the table of common mistakes, several at once, and the time they may take."""

from __future__ import annotations

import pytest

import grammars
from engine.bench.repair_cases import same_tokens
from engine.repair_search import Search
from tests.grammars.broken import CASES


def mend(language: str, text: str) -> str:
    source = grammars.get(language).parse(text)
    for _ in range(12):
        if not source.faults:
            break
        fault = source.faults[0]
        fixes = Search(source.language, lambda: False).run(fault)
        if not fixes:
            break
        source = source.replace(fault.start, fault.end, fixes[0].text)
    return source.text


@pytest.mark.parametrize(("language", "name", "broken", "right"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_a_common_mistake_is_mended_as_a_person_would(language: str, name: str, broken: str, right: str) -> None:
    assert grammars.accepts(grammars.get(language), right), "the table itself is wrong"
    assert grammars.get(language).parse(broken).broken
    assert mend(language, broken) == right


@pytest.mark.parametrize(("language", "name", "broken", "right"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_one_mistake_is_told_as_one_problem(language: str, name: str, broken: str, right: str) -> None:
    problems = grammars.get(language).parse(broken).problems
    assert len(problems) == 1
    problem = problems[0]
    assert 0 <= problem.start < problem.end <= len(broken)
    assert problem.message
    # It is told on a line that the mistake touches, or on the one that opens what is never closed.
    row = broken.count("\n", 0, problem.start)
    first = next(i for i, (a, b) in enumerate(zip(broken + "\0", right + "\0", strict=False)) if a != b)
    assert row <= broken.count("\n", 0, first) + 1


def test_independent_errors_in_one_file_are_each_mended() -> None:
    broken = (
        "class Cart:\n"
        "    def __init__(self)\n"
        "        self.items = [\n"
        "\n"
        "    def add(self, item):\n"
        "        self.items.append(item\n"
        "\n"
        "    def total(self):\n"
        "        retrun sum(self.items)\n"
        "\n"
        "\n"
        "def load(path:\n"
        "    return open(path)\n"
    )
    right = (
        broken.replace("__init__(self)\n", "__init__(self):\n")
        .replace("= [\n", "= []\n")
        .replace("append(item\n", "append(item)\n")
        .replace("retrun", "return")
        .replace("(path:", "(path):")
    )
    assert len(grammars.get("python").parse(broken).problems) >= 4
    assert same_tokens("python", mend("python", broken), right)


def test_an_error_that_swallows_the_rest_of_the_file_hides_no_other() -> None:
    broken = 'def f():\n    """Say it.\n    return 1\n\n\ndef g(:\n    """More."""\n    return [1, 2\n'
    source = grammars.get("python").parse(broken)
    assert source.problems
    assert not grammars.get("python").parse(mend("python", broken)).broken


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tabs_among_spaces_are_mended_line_by_line_and_not_in_strings(newline: str) -> None:
    lines = (
        "def f(a):",
        "    b = a",
        "    c = a",
        "    if a:",
        "⇥x = 1",
        "        y = 2",
        "    elif b:",
        "⇥z = 3",
        "        w = 4",
        "    else:",
        "⇥q = '''",
        "\ttab'''",
        "        r = 2",
        "",
    )
    broken = newline.join(lines).replace("⇥", "\t")
    assert mend("python", broken) == newline.join(lines).replace("⇥", " " * 8)
    edits = [edit for edit in grammars.propose(grammars.site_of(grammars.get("python"), broken)) if "z = 3" in edit.new]
    whole = [broken[: edit.start] + edit.new + broken[edit.end :] for edit in edits]
    assert whole
    assert all(text.count(newline) == broken.count(newline) for text in whole)
    assert all("'''" + newline + "\ttab'''" in text for text in whole)


@pytest.mark.parametrize(
    ("language", "broken", "right"),
    [
        ("python", "print(\"abc')\n", 'print("abc")\n'),
        ("javascript", "g('abc\");\n", "g('abc');\n"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_other_quote_is_mended_whatever_ends_the_line(language: str, broken: str, right: str, newline: str) -> None:
    text = broken.replace("\n", newline)
    edits = grammars.propose(grammars.site_of(grammars.get(language), text))
    quote, other = right[right.index("abc") - 1], broken[broken.index("abc") + 3]
    closing = text.index("abc") + 3
    cost = next(e.cost for e in edits if (e.start, e.end, e.new) == (closing, closing + 1, quote))
    assert cost == min(e.cost for e in edits)
    assert any((e.start, e.end, e.new) == (closing - 4, closing - 3, other) for e in edits)
