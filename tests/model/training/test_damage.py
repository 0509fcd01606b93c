"""Damage: realistic, named, reproducible, and mostly something that a parser notices."""

from __future__ import annotations

import numpy as np
import pytest

import grammars
from engine.model.damage import KINDS, damage

PYTHON = """    def total(self, items: list[Item], tax=None) -> float:
        if tax is None and not self.free:
            return sum(item.price for item in items) * 2
        names = {"total": f"{tax}", 'all': [1, 2, 3]}"""
SCRIPT = """  const total = items.map((item) => item.price * 2);
  if (total === null && !this.free) { return `none`; }
  function add(a, b = [1, 2]) {"""


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_damage_changes_code_it_fits(name: str):
    hurt = [KINDS[name][0](PYTHON, "python", np.random.default_rng(i)) for i in range(20)]
    assert any(text is not None and text != PYTHON for text in hurt)


def test_the_same_seed_does_the_same_damage():
    assert damage(PYTHON, "python", np.random.default_rng(4)) == damage(PYTHON, "python", np.random.default_rng(4))


def test_the_names_of_what_was_done_come_with_the_text():
    text, done = damage(PYTHON, "python", np.random.default_rng(1), edits=2)
    assert len(done) == 2
    assert text != PYTHON


def test_indentation_is_hurt_in_python_only():
    kinds = {k for i in range(400) for k in damage(SCRIPT, "javascript", np.random.default_rng(i))[1]}
    assert "indentation" not in kinds
    assert len(kinds) > 12


def test_most_damage_is_seen_by_the_parser():
    whole = "class Cart:\n" + PYTHON + "\n"
    broken = 0
    for i in range(200):
        text, _ = damage(PYTHON, "python", np.random.default_rng(i), edits=1)
        broken += grammars.get("python").parse("class Cart:\n" + text + "\n").broken
    assert not grammars.get("python").parse(whole).broken
    assert broken > 120
