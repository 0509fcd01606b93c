"""A request that a key has overtaken: what it had drafted is verified by the next one, and changes no answer."""

from __future__ import annotations

import pytest

from engine.cancellation import CancelledError, CancelToken
from engine.core import Engine
from engine.overtaken import KEPT, Overtaken
from engine.types import CompleteRequest

PREFIX = "def fibonacci(n):\n    if n < 2:\n        return n\n    return "
SUFFIX = "\n\n\nprint(fibonacci(10))\n"


@pytest.mark.parametrize(
    ("prefix", "suffix", "rest"),
    [
        ("x = foo", "\ny\n", "(bar, 1)"),
        ("x = foo(ba", "\ny\n", "r, 1)"),
        ("x = foo(", ")\ny\n", "bar, 1)"),  # the editor has closed the bracket
        ("x = foo(bar, 1)", "\ny\n", ""),  # all of it is there
        ("x = foo[", "\ny\n", ""),
        ("x = fo", "\ny\n", ""),
        ("z = foo(ba", "\ny\n", ""),
        ("x = foo(ba", "\nz\n", ""),
        ("x = foo(ba", "y\n", ""),
        ("x = foo(ba", "pqrstu\ny\n", ""),
    ],
)
def test_what_a_draft_still_says(prefix: str, suffix: str, rest: str):
    drafts = Overtaken()
    drafts.keep("x = foo", "\ny\n", "(bar, 1)")
    assert drafts.rest(prefix, suffix) == rest


def test_the_newest_draft_that_agrees_counts_and_few_are_kept():
    drafts = Overtaken()
    drafts.keep("a", "\n", "bcd")
    drafts.keep("ab", "\n", "xyz")
    drafts.keep("ab", "\n", "")
    assert (drafts.rest("ab", "\n"), drafts.rest("abc", "\n")) == ("xyz", "d")
    for n in range(KEPT):
        drafts.keep(f"{n} = ", "\n", "1")
    assert drafts.rest("ab", "\n") == ""


def test_a_key_that_agrees_goes_on_where_the_overtaken_request_was(engine: Engine):
    whole = engine.run_complete(CompleteRequest(PREFIX, SUFFIX, "python"))
    text = whole.items[0].text
    key = CompleteRequest(PREFIX + text[0], SUFFIX, "python")
    anew = engine.run_complete(key)
    assert anew.steps > 8, "too short a completion to see anything"
    cancel, traces = CancelToken(), []

    def overtake(trace: object) -> None:
        traces.append(trace)
        if len(traces) == whole.steps - 1:
            cancel.cancel()

    with pytest.raises(CancelledError):
        engine.run_complete(CompleteRequest(PREFIX, SUFFIX, "python"), cancel, overtake)
    again = engine.run_complete(key)
    assert [item.text for item in again.items] == [item.text for item in anew.items]
    assert again.steps <= anew.steps // 2
