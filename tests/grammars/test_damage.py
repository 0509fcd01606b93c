"""Damage is reproducible, real, and where it says it is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import grammars
from grammars.damage import KINDS, Subject, apply, damage

SOURCES = Path(__file__).parent.parent / "data" / "sources"
SUBJECTS = [
    Subject(grammars.for_path(path) or grammars.get("python"), path.read_text(encoding="utf-8"))
    for path in sorted(SOURCES.iterdir())
    if path.is_file()
]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.language.name)
def test_damage_breaks_the_text_and_its_changes_say_how(subject: Subject) -> None:
    assert grammars.accepts(subject.language, subject.text)
    for seed in range(25):
        done = damage(subject, random.Random(seed), 1 + seed % 3)
        if done is None:
            continue
        assert not grammars.accepts(subject.language, done.text)
        assert apply(subject.text, list(done.changes)) == done.text
        for change in done.changes:
            assert not grammars.accepts(subject.language, apply(subject.text, [change]))


def test_the_same_seed_gives_the_same_damage() -> None:
    subject = SUBJECTS[0]
    assert damage(subject, random.Random(3), 2) == damage(subject, random.Random(3), 2)


def test_every_kind_finds_a_place_in_some_fixture() -> None:
    missing = {
        kind
        for kind in KINDS
        if not any(
            damage(subject, random.Random(seed), 1, (kind,))
            for subject in SUBJECTS
            if KINDS[kind].fits(subject.language)
            for seed in range(4)
        )
    }
    assert not missing
