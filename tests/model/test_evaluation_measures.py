from __future__ import annotations

import math

import pytest

from engine.model.evaluation.measures import Measure, edit_similarity, mcnemar, paired_interval


def test_a_figure_is_a_ratio_of_sums():
    measure = Measure("lines", "tokens a pass")
    measure.add("verified", 9, 3)
    measure.add("verified", 1, 1)
    assert measure.value("verified") == 2.5
    assert math.isnan(measure.value("K = 1"))


def test_the_interval_of_equal_columns_is_zero_and_that_of_a_clear_gain_is_above_it():
    a = [(float(i % 2), 1.0) for i in range(80)]
    assert paired_interval(a, a) == (0.0, 0.0)
    low, high = paired_interval(a, [(1.0, 1.0)] * 80)
    assert 0.3 < low < 0.5 < high < 0.7


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    import numpy as np

    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        old = rng.random(50) < 0.4
        new = np.where(rng.random(50) < 0.2, True, old)
        low, high = paired_interval([(float(x), 1.0) for x in old], [(float(x), 1.0) for x in new])
        covered += low <= 0.12 <= high  # 0.2 of the 0.6 that were not solved
    assert covered >= 51


def test_mcnemar_agrees_with_the_binomial():
    a = [True] * 10 + [False] * 10
    b = [True] * 10 + [True] * 8 + [False] * 2
    assert mcnemar(a, b) == pytest.approx(2 / 2**8)
    assert mcnemar(a, a) == 1.0


def test_edit_similarity_is_levenshtein():
    assert edit_similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert edit_similarity("", "abc") == 0.0
    assert edit_similarity("abc", "abc") == 1.0
