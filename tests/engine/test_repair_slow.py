"""The larger runs: thousands of valid files, thousands of damaged ones, long files."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import grammars
from engine.bench.repair_cases import same_tokens, token_edits
from engine.bench.repair_corpus import paths, texts
from engine.core import Engine
from engine.repair import Parts
from engine.types import RepairRequest
from grammars.damage import KINDS, Subject, damage
from tests.engine.test_repair import EDITS_ALONE, SUBJECTS, check_promises

FOLDER = Path("corpus/repair")
pytestmark = pytest.mark.slow


def test_two_thousand_valid_files_are_neither_blamed_nor_touched(engine: Engine) -> None:
    order = paths("python", FOLDER)
    random.Random(0).shuffle(order)
    seen, wrong = 0, []
    for path in order:
        if seen == 2000:
            break
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if not grammars.accepts(grammars.get("python"), text):
            continue
        seen += 1
        repair = engine.repair(text)
        if repair.edits or repair.errors_before or repair.text != text:
            wrong.append(str(path))
    assert seen >= min(2000, len(order) // 2)
    assert not wrong


def test_no_byte_outside_of_the_edits_changes_in_five_thousand_damaged_files(engine: Engine) -> None:
    subjects = [
        ("python", Subject(grammars.get("python"), text)) for _, text in texts("python", FOLDER, 40, 3, (20, 200))
    ]
    subjects += list(SUBJECTS.items())
    draw, done = random.Random(0), 0
    engine.repairer.parts = EDITS_ALONE
    try:
        while done < 5000:
            language, subject = draw.choice(subjects)
            broken = damage(subject, draw, draw.choice((1, 1, 1, 2, 3)))
            if broken is None:
                continue
            done += 1
            answer = engine.run_repair(RepairRequest(broken.text, language, deadline=time.monotonic() + 2))
            check_promises(language, broken.text, answer.repair)
    finally:
        engine.repairer.parts = Parts()


@pytest.mark.parametrize("language", SUBJECTS)
def test_determined_damage_is_restored(engine: Engine, language: str) -> None:
    """Nearly all parse within five token edits and most are exactly restored (docs/repair.md has the figures).

    With room for a processor that rounds otherwise.
    """
    kinds = tuple(k for k, kind in KINDS.items() if kind.determined)
    draw, n, within, exact = random.Random(1), 0, 0, 0
    while n < 80:
        broken = damage(SUBJECTS[language], draw, 1, kinds)
        if broken is None:
            continue
        n += 1
        repair = engine.repair(broken.text, language)
        parses = repair.errors_after == 0
        within += parses and token_edits(language, broken.text, repair.text) <= 5
        exact += parses and same_tokens(language, repair.text, SUBJECTS[language].text)
    assert within >= 0.8 * n
    assert exact >= 0.70 * n


def test_a_string_that_swallows_ten_thousand_lines_is_ended(engine: Engine) -> None:
    text = SUBJECTS["python"].text * 50
    at = text.index('"""', text.index('"""') + 3)
    broken = text[:at] + text[at + 3 :]
    started = time.monotonic()
    answer = engine.run_repair(RepairRequest(broken, "python", deadline=started + 30))
    check_promises("python", broken, answer.repair)
    assert answer.repair.errors_after == 0
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_a_file_of_ten_thousand_lines_is_answered(engine: Engine, language: str) -> None:
    text = SUBJECTS[language].text * 50
    assert text.count("\n") >= 10_000
    middle = text.index("\n", len(text) // 2)
    broken = text[:middle] + text[middle:].replace("):" if language == "python" else ") {", ")", 1)
    started = time.monotonic()
    answer = engine.run_repair(RepairRequest(broken, language, deadline=started + 30))
    assert answer.repair.errors_before >= 1
    assert answer.repair.errors_after == 0
    assert time.monotonic() - started < 60
