"""Samples and their noise: what the engine's windows look like, and what each noised row must predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.checkpoint import Reserved
from engine.model import shards
from engine.model.noise import Noiser
from engine.model.samples import Sample, Sampler
from engine.model.spelling import Spelling
from engine.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def reserved(checkpoint) -> Reserved:
    return checkpoint.config.reserved


@pytest.fixture(scope="module")
def drawn(corpus_folder: Path, vocabulary: Vocabulary, reserved: Reserved) -> list[Sample]:
    sampler = Sampler(shards.read(corpus_folder), vocabulary, reserved, 1)
    return [sampler.draw(i, (208, 320, 512)[i % 3]) for i in range(120)]


def test_a_sample_is_suffix_prefix_middle_end_and_fits(drawn, reserved):
    for i, s in enumerate(drawn):
        assert len(s.ids) <= (208, 320, 512)[i % 3]
        assert s.ids[0] == reserved.suffix
        assert s.ids[s.prefix[0] - 1] == reserved.prefix
        assert s.ids[s.middle] == reserved.middle
        assert s.ids[-1] == reserved.end
        assert (s.ids[s.prefix[1]] == reserved.broken) == s.repair


def test_prefix_middle_and_suffix_join_to_the_file_they_came_from(drawn, vocabulary):
    root = Path(__file__).parent.parent.parent.parent / "engine"
    texts = [p.read_text(encoding="utf-8") for p in root.glob("*.py")]
    for s in drawn:
        prefix, middle, suffix = (
            vocabulary.decode_bytes(s.ids[a:b].tolist()).decode("utf-8", "ignore")
            for a, b in ((s.prefix[0], s.prefix[1]), (s.middle + 1, len(s.ids) - 1), (1, s.prefix[0] - 1))
        )
        assert any(prefix + middle + suffix in text for text in texts), prefix + "|" + middle + "|" + suffix


def test_the_healed_tokens_are_those_that_spell_the_cut_end_of_the_prefix_again(drawn, vocabulary, reserved):
    healed = [s for s in drawn if s.healed]
    assert 0.6 * len(drawn) < len(healed) < len(drawn)
    for s in healed:
        spelled = vocabulary.decode_bytes(s.ids[s.middle + 1 : s.middle + 1 + s.healed].tolist())
        prefix = vocabulary.decode_bytes(s.ids[s.prefix[0] : s.prefix[1]].tolist())
        middle = vocabulary.decode_bytes(s.ids[s.middle + 1 : -1].tolist())
        assert spelled.strip() or spelled.isspace()
        assert (prefix + middle).count(spelled) >= 1
    assert not any(s.healed for s in drawn if s.repair)


def test_little_of_a_sample_is_left_empty(drawn):
    filled = [len(s.ids) / (208, 320, 512)[i % 3] for i, s in enumerate(drawn) if not s.repair]
    assert np.mean(filled) > 0.75


def test_no_noise_stands_where_healing_decides(noised):
    for s, rows in noised:
        inside = [p for p, w in zip(rows.positions, rows.weights, strict=True) if w and p >= s.middle]
        assert not inside or min(inside) >= s.middle + s.healed


def test_repairs_carry_the_damaged_text_and_ask_for_the_original(drawn, vocabulary):
    repairs = [s for s in drawn if s.repair]
    assert 0.08 < len(repairs) / len(drawn) < 0.4
    for s in repairs:
        broken = vocabulary.decode(s.ids[s.prefix[1] + 1 : s.middle].tolist())
        assert broken != vocabulary.decode(s.ids[s.middle + 1 : -1].tolist())


def test_a_file_is_spelled_as_its_tokens_are(vocabulary):
    spelling = Spelling(vocabulary.bytes)
    for text in ("", "x", "def f(é: str) -> None:\n    return '中文'\n\n\n"):
        ids = np.array(vocabulary.encode(text), np.uint16)
        assert spelling.bytes_of(ids) == vocabulary.decode_bytes(ids.tolist()) == text.encode()


def test_sample_number_i_is_the_same_in_any_order(corpus_folder, vocabulary, reserved):
    one = Sampler(shards.read(corpus_folder), vocabulary, reserved, 9)
    two = Sampler(shards.read(corpus_folder), vocabulary, reserved, 9)
    late = [two.draw(i, 208).ids for i in (7, 3)]
    assert np.array_equal(one.draw(3, 208).ids, late[1])
    assert np.array_equal(one.draw(7, 208).ids, late[0])


@pytest.fixture
def noised(drawn, reserved):
    return [(s, Noiser(s, 112, reserved, np.random.default_rng(i)).fill()) for i, s in enumerate(drawn[:60])]


def test_every_row_predicts_the_token_after_its_position(noised, reserved):
    for s, rows in noised:
        assert len(rows) <= 112
        for position, target in zip(rows.positions, rows.targets, strict=True):
            assert target == (s.ids[position + 1] if position + 1 < len(s.ids) else reserved.end)


def test_a_row_never_sees_the_token_that_it_must_predict(noised, reserved):
    for s, rows in noised:
        for i in range(len(rows)):
            if rows.weights[i] == 0:
                continue
            assert rows.limits[i] <= rows.positions[i] + 1  # clean rows up to its own position at most
            mates = [j for j in range(len(rows)) if rows.blocks[j] == rows.blocks[i]]
            shown = [rows.ids[j] for j in mates if rows.positions[j] == rows.positions[i] + 1]
            truth = rows.targets[i]
            assert all(token == reserved.mask or token != truth for token in shown), (s.ids, rows.positions[i])


def test_drafts_see_the_clean_row_before_them_and_hold_masks_only(noised, reserved):
    drafts = 0
    for _, rows in noised:
        for block in set(rows.blocks):
            mine = [i for i in range(len(rows)) if rows.blocks[i] == block]
            if rows.limits[mine[0]] == rows.positions[mine[0]]:
                if rows.ids[mine[0]] != reserved.mask:
                    continue
                drafts += 1
                assert all(rows.ids[i] == reserved.mask for i in mine)
                assert [rows.positions[i] for i in mine] == list(
                    range(rows.positions[mine[0]], rows.positions[mine[0]] + len(mine))
                )
    assert drafts > 60


def test_noised_rows_predict_the_end_of_most_middles(noised):
    short = [(s, rows) for s, rows in noised if len(s.ids) - s.middle < 40]
    hit = [
        any(p == len(s.ids) - 2 and w for p, w in zip(rows.positions, rows.weights, strict=True)) for s, rows in short
    ]
    assert len(short) > 20
    assert np.mean(hit) > 0.7


def test_the_end_of_the_middle_weighs_more_and_what_lies_behind_it_less(noised):
    ends, behind, plain = [], [], []
    for s, rows in noised:
        for p, w in zip(rows.positions, rows.weights, strict=True):
            if not w or p < s.middle:
                continue
            (ends if p == len(s.ids) - 2 else behind if p > len(s.ids) - 2 else plain).append(w)
    assert min(ends) > max(plain) > max(behind)
