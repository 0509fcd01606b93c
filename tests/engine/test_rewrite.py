"""Rewriting a selection: what fits, and the file's own line breaks."""

from __future__ import annotations

import time

import pytest

from engine.cancellation import CancelToken
from engine.core import Engine
from engine.denoiser import BEYOND
from engine.errors import BadRequestError
from engine.rewrite import LONGEST, Rewriter
from engine.sampler import Task
from engine.scoring import Reading, Readings, Scorer
from engine.types import RewriteRequest


def test_a_selection_that_leaves_no_room_for_its_context_is_named(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the slots that are there because a cache grows in steps.
    monkeypatch.setattr(engine.denoiser, "capacity", engine.denoiser.config.context + BEYOND)
    around = "".join(f"def name_{n}(a, b):\n    return a * {n} + b\n\n\n" for n in range(200))
    selected = "x = 1"
    while len(engine.vocabulary.encode(f"{selected} + 1")) <= LONGEST:
        selected += " + 1"
    full = engine.denoiser.capacity - LONGEST + 4  # the selection may be a few tokens shorter
    build = engine.rewriter.windows.build
    before = next(
        before
        for before in (f"{around}#{' a' * n}\n" for n in range(100))
        if len(build(before, f"\n{around}", heal=False).ids) > full
    )
    text = f"{before}{selected}\n{around}"
    request = RewriteRequest(text, len(before), len(before) + len(selected), "python", "light")
    with pytest.raises(BadRequestError, match="can be rewritten here at once"):
        engine.run_rewrite(request)
    near = RewriteRequest(f"{selected}\n", 0, len(selected), "python", "light")
    assert engine.run_rewrite(near).steps > 0


@pytest.mark.parametrize("lead", ["import os\r\n\r\n", ""])
def test_a_rewrite_has_the_line_breaks_of_the_file(engine: Engine, monkeypatch: pytest.MonkeyPatch, lead: str) -> None:
    selected = "def area(width, height):\r\n    return width + height"
    new = "def area(width, height):\n    return width * height"
    monkeypatch.setattr(Rewriter, "_in_place", lambda *_: ([new], 0))
    text = lead + selected
    edit = engine.run_rewrite(RewriteRequest(text, len(lead), len(text), "python", "half")).edit
    assert edit is not None
    assert edit.new == new.replace("\n", "\r\n")


def test_a_deadline_that_leaves_no_time_to_compare_leaves_what_was_there(engine: Engine) -> None:
    ids = engine.rewriter.windows.build("x = ", "\n", heal=False).ids
    task = Task(ids=ids, deadline=time.monotonic() - 1, cancel=CancelToken())
    assert engine.rewriter._likeliest(task, "a + b", ["b + a"]) == (None, 0)


@pytest.mark.parametrize(
    ("read", "likeliest"),
    [
        ([], None),
        ([[-1.0] * 4], None),
        ([[-1.0] * 4, [-1.2] * 4], "a * b"),
        ([[-1.0] * 4, [-1.2] * 4, [-2.5] * 4], "a * b"),  # of the last, much longer, no more than that fitted
        ([[-1.0] * 4, [-1.9] * 4], None),
    ],
)
def test_the_likeliest_of_the_drafts_that_were_read_is_offered(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, read: list[list[float]], likeliest: str | None
) -> None:
    readings = Readings([Reading(logprobs, logprobs) for logprobs in read], 1, 0, 0.0)
    monkeypatch.setattr(Scorer, "read", lambda *_, **__: readings)
    task = Task(ids=engine.rewriter.windows.build("x = ", "\n", heal=False).ids)
    assert engine.rewriter._likeliest(task, "a + b", ["a * b", "a" + " + b" * 90]) == (likeliest, 1)
