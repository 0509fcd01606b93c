"""Repair through the engine: what is offered parses, is small, touches nothing else, and respects the deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import grammars
from engine.bench.repair_cases import bytes_outside, same_tokens, token_edits
from engine.cancellation import CancelledError, CancelToken
from engine.core import Engine
from engine.errors import BadRequestError
from engine.repair import ALTERNATIVES, Parts, Repairer, _moved, _Work
from engine.repair_drafts import blamed
from engine.stopwatch import Stopwatch
from engine.types import Repair, RepairRequest, RewriteRequest
from grammars import Fault
from grammars.damage import KINDS, Damaged, Subject, damage
from grammars.registry import Language
from tests.grammars.broken import CASES

SOURCES = Path(__file__).parent.parent / "data" / "sources"
FILES = {
    "python": SOURCES / "intervals.py",
    "javascript": SOURCES / "router.js",
    "typescript": SOURCES / "store.ts",
    "tsx": SOURCES / "TaskBoard.tsx",
}
SUBJECTS = {
    language: Subject(grammars.get(language), path.read_text(encoding="utf-8")) for language, path in FILES.items()
}
EDITS_ALONE = Parts(drafts=False, rank=False)
DRAFTS_ALONE = Parts(edits=False)


@pytest.fixture
def quick(engine: Engine) -> Iterator[Engine]:
    """The engine with small edits alone: no forward pass."""
    engine.repairer.parts = EDITS_ALONE
    yield engine
    engine.repairer.parts = Parts()


def applied(text: str, repair: Repair) -> str:
    for edit in sorted(repair.edits, key=lambda e: e.start, reverse=True):
        assert text[edit.start : edit.end] == edit.old
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


def check_promises(language: str, text: str, repair: Repair) -> None:
    """What holds for every answer, mended or not."""
    assert applied(text, repair) == repair.text
    assert bytes_outside(text, repair.edits, repair.text) == 0
    assert repair.errors_after <= repair.errors_before
    if repair.edits:
        assert repair.errors_after < repair.errors_before
    if repair.errors_after == 0:
        assert grammars.accepts(grammars.get(language), repair.text)
    spans = [(e.start, e.end) for e in repair.edits]
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@pytest.mark.parametrize("language", FILES)
def test_a_valid_file_is_not_touched(engine: Engine, language: str) -> None:
    text = SUBJECTS[language].text
    assert engine.repair(text, language) == Repair([], text, 0, 0)


@pytest.mark.parametrize("language", FILES)
@pytest.mark.parametrize(
    "kind", ["missing header end", "missing closer", "extra closer", "swapped closer", "stray token", "indentation"]
)
def test_a_file_of_real_lines_is_mended(engine: Engine, language: str, kind: str) -> None:
    subject = SUBJECTS[language]
    if not KINDS[kind].fits(subject.language):
        kind = "missing brace"
    done = damage(subject, random.Random(5), 1, (kind,))
    assert done is not None
    repair = engine.repair(done.text, language)
    check_promises(language, done.text, repair)
    assert repair.errors_after == 0
    assert token_edits(language, done.text, repair.text) <= 5


@pytest.mark.parametrize("language", FILES)
def test_several_damages_in_one_file_are_mended(engine: Engine, language: str) -> None:
    kinds = ("missing header end", "extra closer", "misspelt keyword", "smart quotes", "missing closer")
    done = damage(SUBJECTS[language], random.Random(11), 3, kinds)
    assert done is not None
    repair = engine.repair(done.text, language)
    check_promises(language, done.text, repair)
    assert repair.errors_before >= 1
    assert repair.errors_after == 0


def test_ranking_restores_most_of_the_common_mistakes(engine: Engine) -> None:
    """The denoiser has the last word where costs are close: it must not spoil what the costs alone get right."""
    chosen = CASES[::6]
    right = sum(same_tokens(lang, engine.repair(broken, lang).text, text) for lang, _, broken, text in chosen)
    assert right >= 0.8 * len(chosen)


def test_line_breaks_stay_what_they_are(engine: Engine) -> None:
    text = "def run(a)\r\n    return (a\r\n\r\n\r\ndef stop():\r\n    pass\r\n"
    repair = engine.repair(text)
    assert repair.text == "def run(a):\r\n    return (a)\r\n\r\n\r\ndef stop():\r\n    pass\r\n"


def test_a_request_with_a_negative_seed_is_refused(engine: Engine) -> None:
    with pytest.raises(BadRequestError, match="seed must be 0 or more, not -1"):
        engine.repair("x = (\n", seed=-1)
    with pytest.raises(BadRequestError, match="seed"):
        engine.complete("x = ", "", seed=-1)
    with pytest.raises(BadRequestError, match="seed"):
        engine.run_rewrite(RewriteRequest("x = 1\n", 0, 5, "python", seed=-1))


def test_characters_outside_of_the_basic_plane_do_not_move_edits(engine: Engine) -> None:
    text = "name = '🦊🦊'\nprint('🦊', (name)\n"
    repair = engine.repair(text)
    assert applied(text, repair) == repair.text
    assert repair.errors_after == 0
    assert repair.text.startswith("name = '🦊🦊'\n")


def test_nothing_is_offered_when_the_deadline_has_passed(engine: Engine) -> None:
    request = RepairRequest("def f(:\n    return (1\n", "python", deadline=time.monotonic() - 1)
    repair = engine.run_repair(request).repair
    assert repair.edits == []
    assert repair.errors_after == repair.errors_before > 0
    assert repair.text == request.text


def test_a_deadline_is_respected(engine: Engine) -> None:
    text = SUBJECTS["python"].text.replace("):\n", ")\n").replace("]\n", "\n")
    started = time.monotonic()
    answer = engine.run_repair(RepairRequest(text, "python", deadline=started + 0.5))
    assert time.monotonic() - started < 20  # one parse or one pass late at most, on a busy machine
    check_promises("python", text, answer.repair)


def broken_headers(count: int) -> str:
    return "".join(f"def run_{n}(a)\n    return a + {n}\n\n\n" for n in range(count))


def test_what_was_mended_by_the_deadline_is_offered_however_much_is_left(
    quick: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[Fault] = []
    mend = Repairer._mended
    monkeypatch.setattr(
        Repairer, "_mended", lambda self, source, fault, *rest: rounds.append(fault) or mend(self, source, fault, *rest)
    )
    monkeypatch.setattr("engine.repair.deadline_check", lambda deadline, check: lambda: len(rounds) > 3)
    text = broken_headers(120)
    answer = quick.run_repair(RepairRequest(text, "python"))
    check_promises("python", text, answer.repair)
    assert (answer.repair.errors_before, answer.repair.errors_after) == (120, 117)
    assert [e.new for e in answer.repair.edits] == [":"] * 3


def test_a_file_with_more_faults_than_are_told_is_mended(quick: Engine) -> None:
    text = broken_headers(70)
    answer = quick.run_repair(RepairRequest(text, "python"))
    check_promises("python", text, answer.repair)
    assert (answer.repair.errors_before, answer.repair.errors_after) == (70, 0)


def test_a_lone_surrogate_stays_what_it_is(engine: Engine) -> None:
    text = "# half a \ud83e\ndef area(a, b):\n    total = (a + b * 2 # \ud83e\n    return total\n"
    answer = engine.run_repair(RepairRequest(text, "python"))
    assert answer.alternatives
    for repair in (answer.repair, *answer.alternatives):
        assert applied(text, repair) == repair.text
        assert repair.text.startswith("# half a \ud83e\n")
        assert repair.text.count("\ud83e") == 2
        assert repair.errors_after == 0


def test_line_breaks_in_the_braces_of_a_format_string_are_left_alone(engine: Engine) -> None:
    for text in ('print(f"{len(\n    items\n)} items")\n', 'x = f"{a!r:^{width}.{\nprec}}"\n'):
        assert engine.repair(text) == Repair([], text, 0, 0)


def test_cancelling_stops_a_repair(engine: Engine) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        engine.run_repair(RepairRequest("def f(:\n    return 1\n", "python"), cancel)


def test_a_change_that_the_file_parses_without_is_not_offered(engine: Engine) -> None:
    text = "def f(a):\n    return (a\n\n\nx = 1\n\n\ndef g(b):\n    return [b\n"
    source = grammars.get("python").parse(text)
    mended = "def f(a):\n    return (a)\n\n\nx = 2\n\n\ndef g(b):\n    return [b]\n"
    request = RepairRequest(text, "python")
    work = _Work(engine.repairer, request, CancelToken(), None, Stopwatch(engine.denoiser))
    needed, _ = engine.repairer._needed(source, source.language.parse(mended), [], work)
    assert needed.text == mended.replace("x = 2", "x = 1")


def test_text_that_is_beyond_repair_stays_as_it_is(engine: Engine) -> None:
    text = "}{ ]( ~~ <<< )) '' def if 9x\n" * 3
    request = RepairRequest(text, "python", deadline=time.monotonic() + 3)
    repair = engine.run_repair(request).repair
    check_promises("python", text, repair)
    assert repair.errors_before > 0


def test_alternatives_differ_and_parse(engine: Engine) -> None:
    text = "def area(a, b):\n    total = (a + b * 2\n    return total\n"
    answer = engine.run_repair(RepairRequest(text, "python"))
    texts = [answer.repair.text, *(a.text for a in answer.alternatives)]
    assert 2 <= len(texts) <= 3
    assert len(set(texts)) == len(texts)
    for repair in (answer.repair, *answer.alternatives):
        check_promises("python", text, repair)
        assert repair.errors_after == 0


def test_no_more_alternatives_are_parsed_than_are_offered_and_none_after_the_deadline(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "x = (1\n"
    source = grammars.get("python").parse(text)
    mended = source.replace(6, 6, ")")
    others = [f"x = ({n})\n" for n in range(2, 9)]
    parsed: list[str] = []
    parse = Language.parse
    monkeypatch.setattr(Language, "parse", lambda language, other: parsed.append(other) or parse(language, other))
    for deadline, wanted in ((None, others[: ALTERNATIVES - 1]), (time.monotonic() - 1, [])):
        request = RepairRequest(text, "python", deadline=deadline)
        work = _Work(engine.repairer, request, CancelToken(), None, Stopwatch(engine.denoiser))
        parsed.clear()
        answer = engine.repairer._answer(request, source, mended, others, work)
        assert [a.text for a in answer.alternatives] == parsed == wanted
        assert answer.repair.errors_after == 0


def test_a_later_change_is_made_to_the_alternatives_too() -> None:
    old, new = "a = (1\nb = [2\nc\n", "a = (1\nb = [2]\nc\n"
    assert _moved(old, new, ["a = 1\nb = [2\nc\n", "d\n"]) == ["a = 1\nb = [2]\nc\n", "d\n"]


def test_the_same_seed_gives_the_same_repair(engine: Engine) -> None:
    text = SUBJECTS["javascript"].text.replace("return null;", "return null", 1).replace("params = {}", "params = {", 1)
    first = engine.repair(text, "javascript")
    engine.repair("x = (\n")
    assert engine.repair(text, "javascript") == first


def test_the_denoiser_alone_mends_damaged_lines_and_keeps_what_was_typed(engine: Engine) -> None:
    original = SUBJECTS["python"].text
    mended = False
    engine.repairer.parts = DRAFTS_ALONE
    try:
        for line in (
            "        return IntervalSet([*self._intervals, *other._intervals])\n",
            "        if not len(interval):\n",
            "class IntervalError(ValueError):\n",
            "class Interval:\n",
        ):
            if mended:
                break
            broken = original.replace(line, line[:-2] + "\n", 1)
            answer = engine.run_repair(RepairRequest(broken, "python"))
            check_promises("python", broken, answer.repair)
            assert answer.steps > 0
            if answer.denoised:
                mended = answer.repair.errors_after == 0
                words = line.strip("\n:)( ").split()
                assert sum(word in answer.repair.text for word in words) >= 0.6 * len(words)
    finally:
        engine.repairer.parts = Parts()
    assert mended


def test_only_tokens_under_the_remaining_errors_go_back_to_noise(engine: Engine) -> None:
    vocabulary = engine.repairer.vocabulary
    line = "    return sum(items))"
    after = f"def total(items):\n{line}\n"
    tokens = vocabulary.encode(line)
    stops = [s - after.index(line) for s in grammars.site_of(grammars.get("python"), after).stops]
    narrow, wide = blamed(vocabulary, tokens, stops, 0), blamed(vocabulary, tokens, stops, 1)
    assert narrow < wide
    assert narrow
    assert max(narrow) >= len(tokens) - 2, "the bracket too many is at the end"
    assert 0 not in narrow


def drawn(language: str, seed: int, count: int) -> Damaged | None:
    return damage(SUBJECTS[language], random.Random(seed), count)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(language=st.sampled_from(sorted(FILES)), seed=st.integers(0, 10**6), count=st.integers(1, 3))
def test_no_byte_outside_of_the_edits_changes(quick: Engine, language: str, seed: int, count: int) -> None:
    done = drawn(language, seed, count)
    if done is None:
        return
    answer = quick.run_repair(RepairRequest(done.text, language, deadline=time.monotonic() + 5))
    check_promises(language, done.text, answer.repair)
    for other in answer.alternatives:
        check_promises(language, done.text, replace(other, errors_before=max(other.errors_before, 1)))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="abf()[]{}:,='\"\n \t#\\/<>`", max_size=60), language=st.sampled_from(sorted(FILES)))
def test_any_text_gets_an_answer(quick: Engine, text: str, language: str) -> None:
    answer = quick.run_repair(RepairRequest(text, language, deadline=time.monotonic() + 5))
    check_promises(language, text, answer.repair)
