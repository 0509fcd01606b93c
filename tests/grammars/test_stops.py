"""Where the parser cannot read on, units, and what is valid although a grammar or an interpreter rejects it."""

from __future__ import annotations

import sys

import pytest

import grammars
from grammars.gaps import mask
from grammars.lexer import scan, tokens
from grammars.problems import explain
from grammars.stop import first_stop
from grammars.units import Unit, units
from grammars.validity import ast_error
from tests.grammars.broken import CASES

PYTHON, SCRIPT, TYPED, TSX = (grammars.get(name) for name in ("python", "javascript", "typescript", "tsx"))


@pytest.mark.parametrize(
    ("language", "marked", "wanted"),
    [
        (PYTHON, "def f(x)<|>\n    return 1\n", ":"),
        (PYTHON, "x = [1, 2<|>\ndef f():\n    pass\n", ","),
        (SCRIPT, "const x = {a: 1<|> b: 2};\n", ","),
        (SCRIPT, "foo(1, 2<|>;\nbar();\n", ")"),
        (TSX, "const A = () => <div><p>hi</div>;\n<|>", "</"),
    ],
)
def test_the_stop_is_behind_the_last_token_that_fits_and_names_what_would(
    language: grammars.Language, marked: str, wanted: str
) -> None:
    at, text = len(marked.split("<|>")[0].encode()), marked.replace("<|>", "")
    stop = first_stop(language, text.encode())
    assert stop is not None
    assert stop.byte == at
    assert wanted in stop.expected


def test_a_text_that_parses_has_no_stop() -> None:
    assert first_stop(PYTHON, b"def f():\n    return 1\n") is None


def test_units_are_whole_top_level_statements_even_behind_an_error() -> None:
    text = "import os\n\n@cached\ndef f(x\n    return x\n\nif x:\n    y = (\nelse:\n    z = 1\nclass A:\n    pass\n"
    cut = [text[u.start : u.end].split("\n")[0] for u in units(PYTHON, text, tokens(PYTHON, text))]
    assert cut == ["import os", "@cached", "if x:", "class A:"]


def test_units_leave_nothing_out() -> None:
    text = "'use strict';\nfunction f() {\n  g(`\nx\n`);\n\nconst a = 1;\nexport default a;\n"
    cut = units(SCRIPT, text, tokens(SCRIPT, text))
    assert "".join(text[u.start : u.end] for u in cut) == text
    assert text.index("x\n`") not in [u.start for u in cut], "a template's lines are no statements"


def test_an_opener_is_found_out_by_the_closer_that_does_not_fit_it() -> None:
    found = scan(SCRIPT, "f([1, 2);\n")
    assert [t.text for t in found.unclosed] == ["["]
    assert found.exposed[found.unclosed[0].start].text == ")"


@pytest.mark.parametrize(
    "text",
    [
        "type Point[T] = tuple[T, T]\n",
        "def first[T](items: list[T]) -> T:\n    return items[0]\n",
        "try:\n    run()\nexcept* ValueError:\n    pass\n",
        "match point:\n    case (0, y):\n        pass\n",
        'print(f"{names["first"]}")\n',
        'print(f"{len(\n    items\n)} items")\n',
        'x = f"{a!r:^{width}.{\nprec}}"\n',
        'x = f"{names["first"][\n0]}" f"{a  # why\n!r}"\n',
    ],
)
def test_syntax_newer_than_the_interpreter_is_no_error(text: str) -> None:
    source = PYTHON.parse(text)
    assert not source.broken
    assert source.problems == ()


@pytest.mark.parametrize(
    "text", ['x = f"{a\n', 'x = f"a\n{b}"\n', 'x = f"{a:>4\n}"\n', 'x = "{a\n}"\n', "x = f'{a\n}' + 'b\n"]
)
def test_a_line_break_outside_of_the_braces_of_a_format_string_is_an_error(text: str) -> None:
    assert PYTHON.parse(text).broken
    assert not grammars.accepts(PYTHON, text)


def test_quotes_in_braces_are_newer_syntax_in_format_strings_alone() -> None:
    text = 'styles = {\n    "a": style(color="red", italic == False),\n}\n'
    assert not PYTHON.parse(text).tree.root_node.has_error  # only the interpreter rejects it
    assert PYTHON.parse(text).broken
    assert PYTHON.parse(text).problems
    assert not grammars.accepts(PYTHON, text)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (TYPED, "interface A<in out T> { x: T }\n"),
        (TYPED, "interface A<\n  /** why */\n  out T extends B = C,\n  out U = D,\n> { x: T }\n"),
        (TYPED, "export type * from 'a';\n"),
        (TYPED, "type A = import('x').B<C>;\n"),
        (TYPED, "type A = import('x').B<'日本語é'>;\n"),
        (SCRIPT, "import a from './a.json' assert { type: 'json' };\n"),
        (SCRIPT, "class A {\n  accessor x = 1;\n}\n"),
        (SCRIPT, "import defer * as ns from 'x';\n"),
    ],
)
def test_known_gaps_of_a_grammar_are_left_alone(language: grammars.Language, text: str) -> None:
    assert language.parser.parse(text.encode()).root_node.has_error, "the gap is closed: drop its mask"
    assert not language.parse(text).broken
    assert len(mask(language, text)) == len(text)
    assert len(mask(language, text).encode()) == len(text.encode())


def test_what_follows_a_masked_gap_is_told_where_it_is() -> None:
    text = "let a: import('x').A<'日本語é'> = 1;\nlet b = (;\n"
    (problem,) = TYPED.parse(text).problems
    assert text[problem.start : problem.end] == "("
    assert TYPED.parse("let a: import('x').A<'🦊'> = 1;\n").broken, "no white space is as long: it is left alone"
    lone = "let a: import('x').A<'\ud800'> = 1;\n"  # half of a surrogate pair, which an editor may send
    assert len(mask(TYPED, lone)) == len(lone)


def test_a_text_is_masked_once_a_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("grammars.source.mask", lambda language, text: asked.append(text) or mask(language, text))
    source = TYPED.parse("type A = import('x').B<C>;\n")
    assert source.masked
    after = source.replace(0, len(source.text), "let a = 1;\n")
    assert not after.masked
    assert asked == [source.text, after.text]


def test_a_gap_typed_into_a_parsed_text_is_masked_too() -> None:
    source = TYPED.parse("interface A<T> { x: T }\n")
    after = source.replace(12, 12, "out ")
    assert after.text == "interface A<out T> { x: T }\n"
    assert not after.broken
    assert not after.replace(12, 16, "").broken


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("python", "x = (1, 2\ny = 3\n", "'(' opened here is never closed"),
        ("python", "print('a)\n", "this string is never closed"),
        ("python", "x = 1)\n", "unexpected ')': nothing here opened it"),
        ("python", "x = [1, 2)\n", "expected ']'"),
        ("python", "def f(x)\n    pass\n", "expected ':'"),
        ("python", "def f():\n    x = 1\n      y = 2\n", "unexpected indent"),
        ("python", "<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> b\n", "merge conflict"),
        ("python", '"""Title\n=======\n\nText here\nimport os\n', "this string is never closed"),
        ("javascript", "const a = {b: 1 c: 2};\n", "a comma may be missing"),
        ("javascript", "function f() {\n  g();\n\nfunction h() {}\n", "'{' opened here is never closed"),
    ],
)
def test_a_problem_reads_as_a_person_would_say_it(language: str, text: str, message: str) -> None:
    problems = grammars.get(language).parse(text).problems
    assert len(problems) == 1
    assert message in problems[0].message


def test_a_statement_cut_off_at_the_end_of_its_body_is_told_at_its_own_end() -> None:
    text = "function f() {\n  let x = a ? b\n  let y = 2;\n  g();\n}\n"
    (problem,) = SCRIPT.parse(text).problems
    assert (problem.start, problem.end) == (text.index("b\n"), text.index("b\n") + 1)
    assert problem.message == "the text ends in the middle of a statement"


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [("a b", "a b"), ("f(a=1, b)", ")"), ("x:{y z}", "y z"), ("1 if x", "1 if x")],
)
def test_an_error_in_a_format_string_is_told_where_it_is(expression: str, wrong: str) -> None:
    text = f'def g():\r\n    total = compute(a, b); print(f"é {{{expression}}}")\r\n'
    (problem,) = PYTHON.parse(text).problems
    assert text.index('f"') <= problem.start < problem.end <= text.index('")') + 1
    if sys.version_info < (3, 12):  # later ones read format strings with the rest
        assert text[problem.start : problem.end] == wrong


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "marked",
    [
        'x = f"{{a b}} {<a b>}"\n',
        'x = f"{{{<a b>}}}"\n',
        'x = f"{<a b>}" if (a, b) else f"{a b}"\n',
        'f"""{\n\n\n   <aaa bbb>}"""\n',
        'f"""{\n\n\n   aaa +\n  (<b c>)}"""\n',
        'def g():\n    return f"""{\n\n\n   <aaa bbb>}"""\n',
        'def g():\n    return f"""é {x}\n\n{aaa +\n  f(<b c>)\n}"""\n',
        'y = (f"""{p}\n{q}"""\n  f"""{x:{\n <a b>}}""")\n',
        'total = f"""{f(a=1,\nb<)>}"""\n',
        "x = 1\ny = <\0>2\n",
    ],
)
def test_an_error_that_is_read_alone_or_has_no_line_is_placed(marked: str, newline: str) -> None:
    marked = marked.replace("\n", newline)
    start, end = marked.index("<"), marked.index(">") - 1
    text = marked.replace("<", "").replace(">", "")
    error = ast_error(text)
    assert error is not None
    assert error.start == start
    if sys.version_info < (3, 12):  # later ones read format strings with the rest, and underline other words of them
        assert error.end == end


@pytest.mark.parametrize(
    "marked",
    [
        "if x:\n    pass\n<else:>\n",
        "if x:\n    pass\n<else:>",
        "if x:\n    pass\n<else:  # why>\n# more\n\n",
        "if x:\n    pass\n<else:>\n\n\ny = 1\n",
        "def walk(a):\n    x = 1\n    y = 2\n    <for token in a:>\n",
        "def walk(\n    a,\n<):>\n",
        "class Shop:\n    def one(self):\n        return 1\n\n    def two(self):\n        return 2\n\n"
        "    <def total(self):>\n",
    ],
)
def test_a_header_without_a_body_is_told_at_its_own_line(marked: str) -> None:
    text = marked.replace("<", "").replace(">", "")
    (problem,) = PYTHON.parse(text).problems
    assert problem.message == "expected an indented body after this line"
    assert (problem.start, problem.end) == (marked.index("<"), marked.index(">") - 1)


def test_what_the_parsers_stop_at_in_the_lines_around_a_statement_is_told_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head, part = "class Shop:\n", "    def total(self:\n        pass\n"
    monkeypatch.setattr("grammars.problems._stop", lambda site: (0, 5, "unexpected indent"))
    monkeypatch.setattr("grammars.problems._brackets", lambda site: [])
    told = explain(grammars.site_of(PYTHON, head + part), len(head))
    at = (head + part).index("def")
    assert told == [(at, at + 3, "unexpected indent")]


def test_a_comparison_in_a_header_is_no_tag_that_the_lines_below_it_lack() -> None:
    text = "if (a <b && c> d) {\n  x = 1\n  y = = 2\n  z = 3\n}"
    (problem,) = TSX.parse(text).problems
    assert (problem.start, problem.message) == (text.index("= 2"), "unexpected '='")


def test_only_the_faults_that_are_told_are_read():
    source = PYTHON.parse("".join(f"word {n} another.\n" for n in range(200)))
    assert len(source.problems) == 50
    assert "faults" not in source.__dict__
    assert source.first_faults(3) == source.faults[:3]
    few = PYTHON.parse("x = (\n")
    assert few.first_faults(50) == few.__dict__["faults"] == few.faults


def test_finding_what_is_broken_compares_units_with_few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    same = Unit.__eq__
    monkeypatch.setattr(Unit, "__eq__", lambda unit, other: compared.append(1) or same(unit, other))
    text = "".join(f"word {n} another.\n" for n in range(200))
    assert len(PYTHON.parse(text).faults) == 200
    assert len(compared) < 1000


def test_counting_what_is_broken_reads_none_of_it_with_the_log_and_few_tokens_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    monkeypatch.setattr("grammars.sites.first_stop", lambda *_: pytest.fail("read with the log"))
    monkeypatch.setattr(
        "grammars.faults.tokens",
        lambda *span: read.append(len(found := tokens(*span))) or found,
    )
    text = "".join(f"def total_{n}(a, b):\n    return add(a, (b + {n})\n\n\n" for n in range(80))
    assert len(PYTHON.parse(text).faults) == 80
    assert sum(read) < 6 * len(tokens(PYTHON, text))


def test_a_parse_that_costs_too_much_is_given_up_and_the_text_can_still_be_edited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "const a = <A>{b}</A>;\n" * 400
    assert not TSX.parse(text).broken
    with monkeypatch.context() as poor:
        poor.setattr("grammars.parsing.REPORTS", 2)
        poor.setattr("grammars.parsing.BYTES_A_REPORT", 10**9)
        assert not grammars.accepts(TSX, text)
        source = TSX.parse(text)
        assert source.given_up
        assert source.broken
        assert source.problems
    after = source.replace(0, len(text), "const a = 1;\n")
    assert not after.given_up
    assert not after.broken


@pytest.mark.parametrize(
    ("language", "name", "broken", "right"), CASES[::5], ids=[f"{c[0]}: {c[1]}" for c in CASES[::5]]
)
def test_reading_on_without_the_log_stops_where_reading_all_of_it_does(
    language: str, name: str, broken: str, right: str
) -> None:
    grammar = grammars.get(language)
    lead = right * (600 // len(right) + 1)  # long enough for the parser to report its progress before the mistake
    text = lead + broken
    reading = grammars.Reading(grammar, text)
    left = reading.unread(text, 0)
    assert left == grammars.unread(grammar, text)
    stop = len(text) - left
    edits = grammars.propose(grammars.site_of(grammar, text))[:25]
    for edit in edits:
        after = text[: edit.start] + edit.new + text[edit.end :]
        assert reading.unread(after, min(edit.start, stop)) == grammars.unread(grammar, after)
        near = reading.unread(after, min(edit.start, stop), min(stop + 40, len(after)))
        assert near >= min(grammars.unread(grammar, after), 1)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            PYTHON,
            'class A:\n    a = Text(\n    help="""one\n    two""").tag(x=1)\n\n    def f(self)\n        pass\n',
        ),
        (TYPED, "interface A<\nB extends C,\nD>{\n  e: string;\n}\n\nfunction f(a {\n  return a;\n}\n"),
    ],
)
def test_a_statement_whose_second_line_stands_too_far_left_is_not_blamed(
    language: grammars.Language, text: str
) -> None:
    source = language.parse(text)
    assert len(source.faults) == 1
    assert source.faults[0].start >= text.index("f(") - len("    function ")


def test_a_string_that_swallowed_code_is_looked_for_only_where_a_quote_is_left_over() -> None:
    right = 'def f():\n    """Say."""\n    x = load()\n    return x\n\n\ndef g():\n    """More."""\n    return 2\n'
    assert grammars.swallowed(PYTHON.parse(right)) == []
    broken = right.replace('Say."""', "Say.")
    edits = grammars.swallowed(PYTHON.parse(broken))
    assert edits == sorted(edits, key=lambda e: e.cost)
    first = edits[0]
    assert broken[: first.start] + first.new + broken[first.end :] == right
