from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.memory.suffixes import DEPTH, Suffixes

STREAMS = st.lists(st.integers(0, 5), min_size=1, max_size=120)


def shared(a: list[int], b: list[int]) -> int:
    """Tokens that two left contexts have in common, from their right ends."""
    n = 0
    while n < min(len(a), len(b), DEPTH) and a[-1 - n] == b[-1 - n]:
        n += 1
    return n


@given(STREAMS, st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_the_longest_match_and_its_places_are_those_that_reading_the_whole_stream_finds(stream, known):
    suffixes = Suffixes(np.array(stream, dtype=np.uint32), 2)
    query = suffixes.query(known)
    matches = {i: shared(stream[:i], known) for i in range(1, len(stream))}  # a place needs a token after it
    best = max(matches.values(), default=0)
    assert suffixes.longest(query) == best
    if best:
        places, count = suffixes.places(query, best, 1000)
        found = sorted(len(stream) - int(p) for p in places if p)
        assert found == sorted(i for i, n in matches.items() if n >= best)
        assert count == len(places)


@given(STREAMS)
def test_the_token_after_a_place_is_the_one_before_it_in_the_reversed_stream(stream):
    suffixes = Suffixes(np.array(stream, dtype=np.uint32), 4)
    for place in suffixes.places(suffixes.query(stream[:1]), 1, 1000)[0]:
        at = len(stream) - int(place)
        assert stream[at - 1] == stream[0]
        if at < len(stream):
            assert int(suffixes.stream[place - 1]) == stream[at]


def test_a_sample_of_many_places_stays_within_its_limit():
    suffixes = Suffixes(np.array([1, 2] * 1000, dtype=np.uint32), 2)
    places, count = suffixes.places(suffixes.query([1, 2]), 2, 64)
    assert count == 1000
    assert 32 <= len(places) <= 64
