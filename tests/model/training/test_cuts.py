"""Cuts: where a middle may begin and end."""

from __future__ import annotations

import numpy as np
import pytest

from engine.model import cuts, spans

CODE = '''def total(items, tax):
    """Sum of the prices, with ümläuts."""
    amount = sum(item.price for item in items)
    if tax:
        amount *= 1 + tax
    return round(amount, 2)


class Basket:
    def add(self, item):
        self.items.append(item)
        return self
'''.encode()


@pytest.fixture(scope="module")
def found():
    return spans.find("python", CODE, np.random.default_rng(0))


def many(found, count=800):
    return [cuts.choose(CODE, found, np.random.default_rng(i)) for i in range(count)]


def test_every_kind_of_cut_occurs_about_as_often_as_asked(found):
    kinds = [c.kind for c in many(found)]
    for kind, share in cuts.MIX.items():
        assert kinds.count(kind) / len(kinds) == pytest.approx(share, abs=0.09), kind


def test_most_cuts_inside_a_line_begin_at_a_word():
    at = CODE.index(b"ound(amount")
    starts = [cuts._inside_line(CODE, at, np.random.default_rng(i))[0] for i in range(100)]
    assert 55 < starts.count(CODE.index(b"round(amount")) < 85
    assert set(starts) == {at, at - 1}


def test_cuts_never_split_a_character(found):
    for cut in many(found):
        CODE[: cut.start].decode()
        CODE[cut.start : cut.end].decode()
        CODE[cut.end :].decode()


def test_rest_of_line_ends_where_its_line_does(found):
    for cut in many(found):
        if cut.kind == "rest of line":
            assert CODE[cut.end : cut.end + 1] in (b"\n", b"")
            assert b"\n" not in CODE[cut.start : cut.end]


def test_a_block_is_the_whole_body_of_its_header(found):
    bodies = {CODE[c.start : c.end].decode().strip() for c in many(found, 3000) if c.kind == "block"}
    assert "amount *= 1 + tax" in bodies
    assert any(body.startswith("self.items.append(item)") and body.endswith("return self") for body in bodies)


def test_most_middles_stay_on_one_line(found):
    single = [b"\n" not in CODE[c.start : c.end].strip(b"\n") for c in many(found)]
    assert 0.6 < np.mean(single) < 0.95


def test_prose_is_cut_less_often_than_code(found):
    inside = [CODE.find(b"Sum of") < c.start < CODE.find(b"uts.") for c in many(found) if c.kind == "rest of line"]
    assert np.mean(inside) < 0.06


def test_a_file_that_does_not_parse_gives_no_spans():
    assert len(spans.find("python", b"def f(:\n", np.random.default_rng(0))) == 0
