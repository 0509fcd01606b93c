"""Who comes next, who gives way, who is dropped: no sockets, no clock."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineUnavailableError
from engine.service.scheduler import MAX_PREEMPTIONS, MAX_QUEUED_BYTES, PASSED_OVER, Job, Rank, Scheduler

ids = count(1)


def job(
    rank: Rank = Rank.AUTOMATIC, document: str | None = None, owner: str = "editor", size: int = 0, kind: str = ""
) -> Job:
    kinds = {Rank.MEMORY: "remember", Rank.REPAIR: "repair", Rank.WARM: "warm"}
    return Job(
        owner, next(ids), kind or kinds.get(rank, "complete"), rank, None, lambda message: None, document, size=size
    )


def finish(scheduler: Scheduler) -> None:
    for running in list(scheduler.running):
        scheduler.finish(running)


def drain(scheduler: Scheduler) -> list[Job]:
    done = []
    while (next_one := scheduler.next()) is not None:
        finish(scheduler)
        done.append(next_one)
    return done


def test_urgency_decides_then_arrival():
    s = Scheduler()
    jobs = [job(rank, f"d{i}") for i, rank in enumerate([Rank.WARM, Rank.REPAIR, Rank.MEMORY, *[Rank.AUTOMATIC] * 2])]
    jobs += [job(Rank.INVOKED, "d9")]
    for j in jobs:
        s.add(j)
    assert drain(s) == [jobs[5], jobs[3], jobs[4], jobs[2], jobs[1], jobs[0]]


@pytest.mark.parametrize("rank", [Rank.INVOKED, Rank.MEMORY])
def test_what_one_client_waits_for_is_done_in_the_order_it_was_asked(rank):
    s = Scheduler()
    jobs = [job(rank) for _ in range(5)]
    for arrived, j in enumerate(jobs):
        j.arrived = float(arrived)
        s.add(j)
    assert drain(s) == jobs


def test_the_newest_request_of_a_document_supersedes_older_ones_waiting_or_running():
    s = Scheduler()
    first, second, third = (job(document="a.py") for _ in range(3))
    s.add(first)
    assert s.next() is first
    s.add(second)
    assert (first.fate, first.cancel.cancelled) == ("superseded", True)
    assert s.add(third) == [second]
    assert second.fate == "superseded"
    finish(s)
    assert drain(s) == [third]


def test_other_documents_other_kinds_other_editors_and_no_document_are_left_alone():
    s = Scheduler()
    jobs = [
        job(document="a.py"),
        job(document="b.py"),
        job(Rank.REPAIR, "a.py"),
        job(document="a.py", owner="another"),
        job(),
        job(),
    ]
    assert all(s.add(j) == [] for j in jobs)
    assert len(s) == 6


def test_documents_take_turns_however_much_one_of_them_asks_for():
    s = Scheduler()
    for _ in range(6):
        s.add(job(document=None, owner="busy"))
    s.add(job(document="a.py", owner="calm"))
    s.add(job(document="b.py", owner="calm"))
    order = [j.document or "busy" for j in drain(s)]
    assert order[:3] == ["busy", "a.py", "b.py"]
    s.add(job(document=None, owner="busy"))
    s.add(job(document="a.py", owner="calm"))
    assert [j.document or "busy" for j in drain(s)] == ["a.py", "busy"]


def test_of_those_asked_in_passing_whoever_has_paused_comes_first_then_the_newest():
    s = Scheduler()
    for document, arrived in (("paused.py", 9.4), ("just paused.py", 9.7), ("typing.py", 9.95)):
        new = job(document=document)
        new.arrived, new.deadline = arrived, arrived + 1.0
        s.add(new)
    person = job(Rank.INVOKED, "person.py")
    person.arrived = 10.0
    s.add(person)
    order = []
    while (ran := s.next(now=10.0, takes=0.1)) is not None:
        order.append(ran.document)
        finish(s)
    assert order == ["person.py", "just paused.py", "paused.py", "typing.py"]


def test_what_cannot_be_done_by_its_deadline_is_tried_last_and_only_what_nobody_waits_for():
    s = Scheduler()
    for document, deadline in (("too late.py", 10.2), ("in time.py", 10.4)):
        new = job(document=document)
        new.arrived, new.deadline = deadline - 1.0, deadline
        s.add(new)
    late_person = job(Rank.INVOKED, "person.py")
    late_person.deadline = 10.1
    s.add(late_person)
    order = []
    while (ran := s.next(now=10.0, takes=0.3)) is not None:
        order.append(ran.document)
        finish(s)
    assert order == ["person.py", "in time.py", "too late.py"]


def test_a_repair_and_a_prefill_give_way_but_a_repair_not_for_ever():
    s = Scheduler()
    repair = job(Rank.REPAIR, "a.py")
    s.add(repair)
    for _ in range(MAX_PREEMPTIONS):
        assert s.next() is repair
        s.add(job(document="b.py"))
        assert repair.fate == "preempted"
        finish(s)
        s.take_up_again(repair)
        assert not repair.cancel.cancelled
        assert s.next() is not repair
        finish(s)
    assert s.next() is repair
    s.add(job(Rank.INVOKED, "b.py"))
    assert repair.fate == ""
    assert len(s) == 1


def test_what_runs_is_not_stopped_by_its_equal_or_by_less():
    s = Scheduler()
    running = job(Rank.REPAIR, "a.py")
    s.add(running)
    s.next()
    s.add(job(Rank.REPAIR, "b.py"))
    s.add(job(Rank.WARM, "c.py"))
    assert running.fate == ""
    completion = job(Rank.AUTOMATIC, "d.py")
    finish(s)
    s.add(completion)
    assert s.next() is completion
    s.add(job(Rank.INVOKED, "e.py"))
    assert completion.fate == ""


def test_repairs_are_not_starved_by_people_who_type_without_pause():
    s = Scheduler()
    patient, prefill = job(Rank.REPAIR, "p.py"), job(Rank.WARM, "w.py")
    s.add(patient)
    s.add(prefill)
    ran = []
    for n in range(40):
        s.add(job(document=f"{n % 3}.py"))
        ran.append(s.next())
        finish(s)
    assert PASSED_OVER <= ran.index(patient) < PASSED_OVER + 3
    assert prefill not in ran


def test_a_full_queue_gives_up_what_matters_least_and_never_what_a_person_or_the_memory_waits_for():
    s = Scheduler(most=4)
    warm, automatic = job(Rank.WARM, "w"), job(Rank.AUTOMATIC, "a")
    for j in (warm, automatic, job(Rank.MEMORY), job(Rank.INVOKED)):
        s.add(j)
    assert s.add(job(Rank.INVOKED)) == [warm]
    assert s.add(job(Rank.AUTOMATIC, "b")) == [automatic]
    s.add(job(Rank.INVOKED))
    with pytest.raises(EngineUnavailableError, match="busy: 4 requests"):
        s.add(job(Rank.INVOKED))
    assert len(s) == 4


def test_one_editor_cannot_take_all_the_room():
    s = Scheduler(most=10, most_of_one=3)
    mine = [job(document=f"{i}", owner="greedy") for i in range(5)]
    out = [gone for j in mine for gone in s.add(j)]
    assert out == mine[:2]
    s.add(job(document="x", owner="modest"))
    assert len(s) == 4


def test_waiting_requests_hold_a_bounded_number_of_bytes():
    s = Scheduler()
    s.add(job(Rank.INVOKED, size=MAX_QUEUED_BYTES))
    with pytest.raises(EngineUnavailableError):
        s.add(job(Rank.INVOKED, size=1))


def test_dropping_an_editor_drops_its_work_only():
    s = Scheduler()
    running, waiting, other = job(owner="dead"), job(owner="dead"), job(owner="alive")
    s.add(running)
    s.next()
    s.add(waiting)
    s.add(other)
    assert set(s.drop_all("dead")) == {running, waiting}
    assert (running.fate, waiting.fate) == ("gone", "gone")
    finish(s)
    assert drain(s) == [other]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Rank)),
            st.none() | st.sampled_from("abc"),
            st.sampled_from("xyz"),
            st.sampled_from(["add", "add", "add", "next", "drop"]),
        ),
        max_size=60,
    )
)
def test_whatever_happens_every_job_is_run_dropped_or_refused_exactly_once(steps):
    s = Scheduler(most=8, most_of_one=4)
    accepted: set[Job] = set()
    out: list[Job] = []
    for rank, document, owner, what in steps:
        if what == "add":
            new = job(rank, document, owner)
            try:
                out += s.add(new)
                accepted.add(new)
            except EngineUnavailableError:
                continue
        elif what == "next":
            finish(s)
            if (ran := s.next()) is not None:
                out.append(ran)
        else:
            out += [j for j in s.drop_all(owner) if j not in s.running]
        assert len(s) <= 8
    finish(s)
    out += drain(s)
    assert len(out) == len(set(out))
    assert set(out) == accepted


def test_several_run_at_once_where_there_are_lanes_and_none_more():
    s = Scheduler(lanes=2)
    jobs = [job(Rank.INVOKED, f"d{i}") for i in range(3)]
    for j in jobs:
        s.add(j)
    assert [s.next(), s.next(), s.next()] == [jobs[0], jobs[1], None]
    s.finish(jobs[1])
    assert s.next() is jobs[2]
    assert s.running == [jobs[0], jobs[2]]


def test_repairs_give_way_to_a_completion_also_where_lanes_are_free_and_come_back_when_it_is_done():
    s = Scheduler(lanes=4)
    repairs, completion = [job(Rank.REPAIR, "a"), job(Rank.REPAIR, "b")], job(document="c")
    for repair in repairs:
        s.add(repair)
        assert s.next() is repair
    s.add(job(Rank.MEMORY))
    assert [repair.fate for repair in repairs] == ["", ""]
    s.add(completion)
    assert [repair.fate for repair in repairs] == ["preempted", "preempted"]
    assert s.next() is completion
    for repair in repairs:
        s.finish(repair)
        s.take_up_again(repair)
    memory = s.next()
    assert memory is not None
    assert memory.rank is Rank.MEMORY
    assert s.next() is None
    s.finish(completion)
    assert {s.next(), s.next()} == set(repairs)


def test_who_asks_for_the_counters_costs_a_repair_nothing_where_lanes_are_free():
    s = Scheduler(lanes=2)
    repair, stats = job(Rank.REPAIR, "a"), job(Rank.INVOKED, kind="stats")
    s.add(repair)
    assert s.next() is repair
    s.add(stats)
    assert repair.fate == ""
    assert s.next() is stats


def test_a_prefill_gives_way_only_when_no_lane_is_free():
    s = Scheduler(lanes=2)
    prefill, first, second = job(Rank.WARM, "a"), job(document="b"), job(document="c")
    s.add(prefill)
    assert s.next() is prefill
    s.add(first)
    assert prefill.fate == ""
    assert s.next() is first
    s.add(second)
    assert (prefill.fate, first.fate) == ("preempted", "")


def test_files_are_remembered_and_forgotten_one_at_a_time_however_many_lanes_there_are():
    s = Scheduler(lanes=4)
    first, second, completion = job(Rank.MEMORY), job(Rank.MEMORY, owner="another"), job(document="c")
    for j in (first, second):
        s.add(j)
    assert [s.next(), s.next()] == [first, None]
    s.add(completion)
    assert [s.next(), s.next()] == [completion, None]
    s.finish(first)
    assert s.next() is second


def test_a_file_is_remembered_beside_what_holds_the_only_lane_and_takes_none():
    s = Scheduler()
    completion, file, other, person = job(document="a"), job(Rank.MEMORY), job(Rank.MEMORY), job(Rank.INVOKED, "b")
    for j in (completion, file, other):
        s.add(j)
    assert [s.next(), s.next(), s.next()] == [completion, file, None]
    s.finish(completion)
    s.add(person)
    assert [s.next(), s.next()] == [person, None]
    assert (file.fate, person.fate) == ("", "")
    s.finish(file)
    assert s.next() is other


def test_a_newcomer_that_is_refused_changes_nothing():
    s = Scheduler(most=4, most_of_one=2)
    running, waiting = job(Rank.INVOKED, "a"), job(Rank.INVOKED, "a")
    s.add(running)
    s.next()
    s.add(waiting)
    prefill = job(Rank.WARM, "w", owner="another")
    for j in (job(Rank.INVOKED, owner="another"), prefill, job(Rank.INVOKED, owner="a third")):
        s.add(j)
    with pytest.raises(EngineUnavailableError, match="busy: 4 requests"):
        s.add(Job("editor", 1, "complete", Rank.INVOKED, None, print, "a", size=MAX_QUEUED_BYTES + 1))
    assert (waiting.fate, prefill.fate, len(s)) == ("", "", 4)
    assert running.fate == "superseded"  # by the one that waits
    assert waiting in s


def test_a_newer_request_supersedes_the_one_that_runs_on_any_lane():
    s = Scheduler(lanes=2)
    old, other = job(document="a"), job(document="b")
    for j in (old, other):
        s.add(j)
        s.next()
    s.add(job(document="a"))
    assert (old.fate, other.fate) == ("superseded", "")
    assert s.find("editor", old.id) is old
