"""How far the memory is trusted at one position, and what the denoiser is asked about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.core import Engine
from engine.ends import following_tokens
from engine.memory.match import Match
from engine.memory.mixture import Opinion, trust
from engine.sampler import Task, Writing, opinion

SEEN = Match(length=12, count=4, near=1, agrees=0.5, chances={7: 0.9, 8: 0.1}, ahead=[7])
UNSURE = Opinion(doubt=1.5, regret=0.5)


@pytest.mark.parametrize(
    "weaker",
    [{"length": 2}, {"count": 1}, {"chances": {7: 0.5, 8: 0.5}}, {"near": 2}, {"agrees": 0.0}, {"beside": 1.0}],
)
def test_a_match_that_says_less_or_what_the_denoiser_sees_is_trusted_less(weaker):
    assert trust(SEEN, UNSURE) > trust(replace(SEEN, **weaker), UNSURE)


def test_a_match_is_trusted_more_where_the_denoiser_doubts_and_less_where_it_holds_against_it():
    assert trust(SEEN, UNSURE) > trust(SEEN, UNSURE._replace(doubt=0.01))
    assert trust(SEEN, UNSURE) > trust(SEEN, UNSURE._replace(regret=6.0))


def test_the_denoiser_is_asked_about_the_memorys_likeliest_token(engine: Engine):
    prefix, suffix = "def area(width, height):\n    return width *", "\n"
    window = engine.completer.windows.build(prefix, suffix, heal=False)
    w = Writing(engine.denoiser, engine.vocabulary, engine.caches.get(window.ids), Task(window.ids))
    known = w.known[w.committed :]
    prediction = engine.denoiser.causal(w.cache, known, w.committed, [len(known) - 1])
    first, second = prediction.top_ids[0, :2].tolist()
    follow = following_tokens(engine.vocabulary, suffix, line=True)
    ending = float(np.logaddexp(prediction.end_logprobs[0], prediction.among(0, follow)[0] - prediction.base[0]))

    def asked(token: int, allowed: list[int] | None = None) -> Opinion:
        among = None if allowed is None else np.array(allowed)
        return opinion(prediction, 0, Match(2, 1, chances={token: 1.0}), follow, among)

    likeliest, next_best = prediction.top_logprobs[0, :2].tolist()
    assert asked(first) == pytest.approx((-likeliest, 0.0))
    assert asked(second) == pytest.approx((-likeliest, likeliest - next_best))
    line_break = engine.vocabulary.encode("\n")[0]
    assert asked(line_break) == asked(prediction.end) == pytest.approx((-likeliest, likeliest - ending))
    alone = asked(second, [second])
    assert alone == pytest.approx((0.0, 0.0)), "among what spells the name that healing cut off, there is no other"
