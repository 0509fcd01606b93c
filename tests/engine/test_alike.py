"""How far texts are alike, against a loop over their characters."""

from __future__ import annotations

from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from engine.alike import changed_span, common_prefix, common_suffix

TEXTS = st.text("ab", max_size=12)


def agreeing(a: str, b: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


@given(TEXTS, TEXTS, st.integers(0, 12))
def test_texts_and_tokens_agree_as_far_as_they_do_one_by_one(a: str, b: str, most: int) -> None:
    assert common_prefix(a, b) == common_prefix([*map(ord, a)], [*map(ord, b)]) == agreeing(a, b)
    most = min(most, len(a), len(b))
    assert common_suffix(a, b, most) == min(agreeing(a[::-1], b[::-1]), most)


@given(TEXTS, TEXTS)
def test_the_changed_span_makes_one_text_of_the_other_and_could_not_be_smaller(old: str, new: str) -> None:
    start, end, new_end = changed_span(old, new)
    assert old[:start] + new[start:new_end] + old[end:] == new
    if start < min(end, new_end):
        assert old[start] != new[start]
        assert old[end - 1] != new[new_end - 1]
