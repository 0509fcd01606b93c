"""Requests, answers and errors survive the way there and back, and nonsense is named."""

from __future__ import annotations

import math

import pytest

from engine import errors
from engine.errors import BadRequestError, RemaskError
from engine.service import messages
from engine.service.frames import HEADER, pack, unpack
from engine.types import (
    CompleteAnswer,
    CompleteRequest,
    Completion,
    Edit,
    Repair,
    RepairAnswer,
    RepairRequest,
    RewriteAnswer,
    RewriteRequest,
)


def over_the_wire(message):
    return unpack(pack(message)[HEADER.size :])


def test_requests_come_out_equal_but_for_the_deadline_which_is_another_clock():
    complete = CompleteRequest("a = ", "\n😀", "python", "x.py", 9, 2, 3, True)
    repair = RepairRequest("a = (", "typescript", None, 7)
    assert messages.request_from_wire(CompleteRequest, over_the_wire(messages.request_to_wire(complete))) == complete
    assert messages.request_from_wire(RepairRequest, over_the_wire(messages.request_to_wire(repair))) == repair


def test_answers_come_out_equal():
    complete = CompleteAnswer([Completion("x", 0.5, 3, 4), Completion("", 0.1, 1, 1)], 5, 4, 100, 90, {"total": 1.5})
    repair = RepairAnswer(
        Repair([Edit(1, 2, "a", "b")], "b", 2, 0),
        3,
        alternatives=(Repair([Edit(1, 2, "a", "c")], "c", 2, 1),),
        timings_ms={"rank": 2.0},
    )
    assert messages.complete_answer(over_the_wire(messages.answer_to_wire(complete))) == complete
    assert messages.repair_answer(over_the_wire(messages.answer_to_wire(repair))) == repair


def test_fields_that_a_newer_engine_added_are_left_out():
    raw = messages.answer_to_wire(CompleteAnswer([Completion("x", 0.5, 3, 4)], 5, 4))
    raw["mood"] = "good"
    raw["items"][0]["colour"] = "green"
    assert messages.complete_answer(raw).items == [Completion("x", 0.5, 3, 4)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prefix", None),
        ("suffix", b"bytes"),
        ("language", 3),
        ("path", ["x"]),
        ("max_tokens", "9"),
        ("max_tokens", True),
        ("seed", 1.5),
        ("multiline", "yes"),
        ("brief", None),
    ],
)
def test_a_field_of_the_wrong_type_is_named(field, value):
    message = messages.request_to_wire(CompleteRequest("", "", "python")) | {field: value}
    with pytest.raises(BadRequestError, match=field):
        messages.request_from_wire(CompleteRequest, message)


def test_a_missing_field_is_named():
    with pytest.raises(BadRequestError, match="language"):
        messages.request_from_wire(RepairRequest, {"text": "x"})


@pytest.mark.parametrize("deadline", [None, "1", True, math.nan, math.inf, [1]])
def test_a_deadline_is_a_number_of_seconds(deadline):
    with pytest.raises(BadRequestError, match="deadline"):
        messages.seconds({"deadline": deadline})


def test_deadlines_are_kept_within_reason():
    assert messages.seconds({"deadline": -5}) == 0.0
    assert messages.seconds({"deadline": 1e30}) == messages.MAX_SECONDS


@pytest.mark.parametrize("name", ["BadRequestError", "ModelError", "CancelledError", "EngineUnavailableError"])
def test_errors_keep_their_class_and_text(name):
    error = getattr(errors, name)("what is wrong and what to do")
    again = messages.error_from_wire(over_the_wire(messages.error_to_wire(error)))
    assert (type(again), str(again)) == (type(error), str(error))


@pytest.mark.parametrize("name", ["SystemExit", "annotations", "", 3, "__builtins__"])
def test_an_error_of_an_unknown_class_is_a_plain_one(name):
    assert type(messages.error_from_wire({"error": name, "message": "m"})) is RemaskError


@pytest.mark.parametrize("edit", [None, Edit(1, 2, "a", "b")])
def test_a_rewrite_comes_out_equal_with_and_without_an_edit(edit):
    request = RewriteRequest("abc", 1, 2, "python", "light", "x.py", 3)
    assert messages.request_from_wire(RewriteRequest, over_the_wire(messages.request_to_wire(request))) == request
    answer = RewriteAnswer(edit, 4, {"rank": 1.0})
    assert messages.rewrite_answer(over_the_wire(messages.answer_to_wire(answer))) == answer
