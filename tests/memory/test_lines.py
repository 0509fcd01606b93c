"""Whole rests of a line: found from inside a word, whatever the indentation, and weighed against the denoiser's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.cancellation import CancelToken
from engine.core import Engine
from engine.memory import Line, Memory, chance_of_denoiser, chance_of_line, chances_read, rests_of_line
from engine.recollection import READ_ROWS, Recollection, likelier
from engine.scoring import Scorer
from engine.types import CompleteRequest, Completion
from engine.vocabulary import Vocabulary

LEDGER = """def restock(warehouse, region):
    warehouse.open()
    rows = warehouse.zyxwvut_ledger.quarterly_figures(region, limit=42)
    return rows
"""
CALL = "def audit(warehouse, region):\n    warehouse.open()\n    rows = warehouse.zyxwvut_led"
REST = "ger.quarterly_figures(region, limit=42)"


@pytest.fixture
def memory(vocabulary: Vocabulary) -> Iterator[Memory]:
    m = Memory(vocabulary)
    m.remember("shop/stock.py", LEDGER)
    yield m
    m.close()


def rests(
    memory: Memory, prefix: str, suffix: str = "\n", path: str | None = None, language: str = "python"
) -> list[str]:
    return [line.text for line in rests_of_line(memory.view(language, path, prefix, suffix, 0), prefix, suffix)]


@pytest.mark.parametrize("typed", ["", "w", "warehouse", "warehouse.", "warehouse.z", "warehouse.zyxwvut_led"])
def test_the_rest_of_the_line_is_found_wherever_in_a_word_the_cursor_stands(memory, typed):
    line = "warehouse.zyxwvut_ledger.quarterly_figures(region, limit=42)"
    prefix = CALL[: CALL.index("warehouse.zyx")] + typed
    assert rests(memory, prefix)[0] == line[len(typed) :]


def test_an_operator_that_is_half_written_hides_nothing(memory):
    memory.remember("a.py", "total = first_of(rows) if rows else unknown()\ncount = second_of()\n")
    assert rests(memory, "def f(rows):\n    count = second_of(")[0] == ")"
    assert rests(memory, "count = second_o")[0] == "f()"


@pytest.mark.parametrize("indent", ["", "  ", "            "])
def test_indentation_makes_no_context_another_one(memory, indent):
    prefix = f"{indent}warehouse.open()\n{indent}rows = warehouse.zyxwvut_led"
    view = memory.view("python", None, prefix, "\n", 0)
    best = rests_of_line(view, prefix, "\n")[0]
    assert best.text == REST
    assert best.length >= 8, "both lines agree"


def test_the_end_of_the_line_that_is_already_there_is_not_said_again(memory):
    assert rests(memory, CALL, ", limit=42)\n")[0] == "ger.quarterly_figures(region"
    assert REST not in rests(memory, CALL, ", limit=41)\n")


def test_a_line_is_never_taken_from_the_edited_files_own_copy_nor_from_another_language(memory):
    assert rests(memory, CALL, path="shop/stock.py") == []
    assert rests(memory, CALL, language="javascript") == []
    memory.forget("shop/stock.py")
    assert rests(memory, CALL) == []


def test_what_follows_the_line_decides_between_places(memory):
    memory.remember("a.py", "open_ledger(region)\nfirst_step()\nclose_ledger()\n")
    memory.remember("b.py", "open_ledger(warehouse)\nsecond_step()\n")
    assert rests(memory, "open_ledger(", "\nsecond_step()\n")[0] == "warehouse)"
    assert rests(memory, "open_ledger(", "\nfirst_step()\n")[0] == "region)"


def test_how_a_line_was_found_is_told(memory):
    memory.remember("shop/more.py", LEDGER)
    view = memory.view("python", "shop/new.py", CALL, "\n    return rows\n", 0)
    (line,) = rests_of_line(view, CALL, "\n    return rows\n")
    assert (line.text, line.count, line.near, line.longest, line.whole) == (REST, 2, 1, True, False)
    assert line.share == pytest.approx(1.0)
    assert line.follows >= 3


def test_an_empty_file_and_an_empty_memory_have_nothing_to_say(vocabulary):
    empty = Memory(vocabulary)
    assert rests(empty, "", "") == []
    assert rests(empty, "x = ", "\n") == []
    empty.close()


LONG = Line("quarterly_figures(region)", 20, 3, 1, 8, 1.0, True, False)


@pytest.mark.parametrize("weaker", [{"length": 3}, {"count": 1}, {"follows": 0}, {"share": 0.1}, {"near": 2}])
def test_longer_more_frequent_nearer_matches_are_trusted_more(weaker):
    assert chance_of_line(LONG) > chance_of_line(replace(LONG, **weaker))


def test_the_likelier_answer_is_suggested_first():
    sure, doubtful = Completion("a()", 0.97, 3, 2), Completion("b()", 0.3, 3, 4)
    remembered = Completion("c()", 0.5, 3, 0)
    assert chance_of_denoiser(sure.confidence) > 0.5 > chance_of_denoiser(doubtful.confidence)
    assert [i.text for i in likelier(sure, remembered)] == ["a()", "c()"]
    assert [i.text for i in likelier(doubtful, remembered)] == ["c()", "b()"]
    assert likelier(doubtful, remembered)[0].steps == 4, "what the denoiser took was spent"
    assert [i.text for i in likelier(Completion("", 0.0, 0, 5), remembered)] == ["c()"]
    assert likelier(Completion("", 0.0, 0, 5), None) == []


READ = [[-0.1, -0.1, -0.5], [-0.1, -4.0, -0.5]]
BEST = [[-0.1, -0.1, -0.5], [-0.1, -0.2, -0.5]]


def test_of_two_lines_that_the_memory_holds_for_alike_the_denoiser_prefers_the_one_that_it_would_write():
    likely, unlikely = chances_read([0.4, 0.4], READ, BEST)
    assert likely > 0.4 > unlikely


def test_a_line_likelier_to_the_memory_stays_likelier_where_the_denoiser_reads_both_alike():
    more, less = chances_read([0.6, 0.1], READ[:1] * 2, BEST[:1] * 2)
    assert more > less


@pytest.fixture
def with_memory(engine: Engine, memory: Memory) -> Iterator[Engine]:
    engine.completer.memory = memory
    yield engine
    engine.completer.memory = None


def test_a_sure_line_is_suggested_without_a_pass(with_memory, memory):
    for i in range(3):
        memory.remember(f"shop/more{i}.py", LEDGER)
    answer = with_memory.run_complete(CompleteRequest(CALL, "\n    return rows\n", "python", "shop/new.py"))
    assert [i.text for i in answer.items] == [REST]
    assert answer.steps == 0
    assert memory.stats()["memory_lines_taken"] == memory.stats()["memory_lines"] == 1


def test_lines_are_read_in_one_pass_and_stay_the_same_but_for_their_chance(with_memory, memory):
    memory.remember("shop/rows.py", LEDGER.replace("region, limit=42", "rows, limit=1234567890"))
    suffix = "\n    return rows\n"
    view = memory.view("python", "shop/new.py", CALL, suffix, 0)
    request = CompleteRequest(CALL, suffix, "python", "shop/new.py")
    window = with_memory.completer.windows.build(CALL, suffix)
    recollection = Recollection(with_memory.vocabulary, view, request, window, block=False)
    before = recollection.to_read()
    scorer = Scorer(with_memory.denoiser, with_memory.vocabulary)
    readings = recollection.read(scorer, with_memory.caches.get(window.ids), CancelToken())
    assert readings is not None
    assert readings.steps == 1
    assert len(before) == len(readings.found) == 2
    after = recollection.to_read()
    assert {line.text for line in after} == {line.text for line in before}
    chances = [line.confidence for line in after]
    assert chances == sorted(chances, reverse=True)
    assert sum(len(reading.logprobs) - 1 for reading in readings.found) <= READ_ROWS


def test_a_line_that_is_too_long_to_be_read_with_others_keeps_none_from_it(with_memory, memory, monkeypatch):
    texts = ["ger.all(" + ", ".join(word * 12) + ")" for word in ("a", "b")] + ["ger.close()"]
    lines = [Completion(text, 0.35 - i / 100, 12, 0) for i, text in enumerate(texts)]
    monkeypatch.setattr("engine.recollection._lines", lambda *_: lines)
    window = with_memory.completer.windows.build(CALL, "\n")
    request = CompleteRequest(CALL, "\n", "python")
    view = memory.view("python", None, CALL, "\n", 0)
    recollection = Recollection(with_memory.vocabulary, view, request, window, block=False)
    assert [line.text for line in recollection.to_read()] == [texts[0], texts[2]]
    scorer = Scorer(with_memory.denoiser, with_memory.vocabulary)
    recollection.read(scorer, with_memory.caches.get(window.ids), CancelToken())
    assert lines[1] in recollection.lines, "what was not read keeps its chance"


def test_a_deadline_that_has_passed_takes_no_pass_with_a_memory_either(with_memory, memory):
    memory.remember("shop/rows.py", LEDGER.replace("region, limit=42", "rows, limit=1234567890"))
    suffix = "\n    return rows\n"
    late = CompleteRequest(CALL, suffix, "python", "shop/new.py", deadline=time.monotonic() - 1.0)
    assert with_memory.run_complete(late).steps == 0
    asked = with_memory.run_complete(replace(late, deadline=None))
    assert asked.steps > 0
    assert asked.items[0].steps == asked.steps


def test_where_the_memory_has_no_line_nothing_is_read(with_memory, vocabulary):
    request = CompleteRequest("x = ", "\n", "python")
    window = with_memory.completer.windows.build("x = ", "\n")
    recollection = Recollection(vocabulary, None, request, window, block=False)
    scorer = Scorer(with_memory.denoiser, vocabulary)
    assert recollection.read(scorer, with_memory.caches.get(window.ids), CancelToken()) is None


def test_the_denoiser_is_asked_as_well_where_alternatives_are(with_memory):
    answer = with_memory.run_complete(
        CompleteRequest(CALL, "\n    return rows\n", "python", "shop/new.py", alternatives=2)
    )
    assert answer.items[0].text == REST
    assert answer.steps > 0


def test_a_line_that_would_break_the_file_is_not_suggested(with_memory, memory):
    """Here the line goes on over several; the cursor's file has nothing that closes the bracket."""
    for i in range(4):
        memory.remember(f"shop/more{i}.py", LEDGER + "zyxwvut_total = sum(\n    rows\n)\n")
    prefix = LEDGER + "zyxwvut_total = "
    assert rests(memory, prefix, "\n")[0] == "sum("
    answer = with_memory.run_complete(CompleteRequest(prefix, "\n", "python"))
    assert all(i.text != "sum(" for i in answer.items)


@pytest.mark.parametrize(
    ("language", "prefix"),
    [
        ("python", "class Zebra:\n    def stripes(self):\n        return len(self."),
        ("javascript", "class Zebra {\n  stripes() {\n    return this."),
        ("typescript", "class Zebra {\n  private stripes: number[] = [];\n  count(): number {\n    return this."),
    ],
)
def test_code_unlike_anything_remembered_is_completed_as_without_a_memory(with_memory, memory, language, prefix):
    memory.remember("shop/stock.js", "function restock(warehouse) {\n  warehouse.openLedger();\n}\n")
    request = CompleteRequest(prefix, "\n", language, "zebra")
    answers = []
    for which in (memory, None):
        with_memory.completer.memory = which
        answers.append([i.text for i in with_memory.run_complete(request).items])
    assert answers[0] == answers[1]
