"""The queue by itself: any order of what users and the runner do leaves it sound."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsr.desk import queue
from streamsr.desk.queue import OPEN, Job, Jobs, Stamp, State, job_from


def job(number: int, state: State = State.WAITING) -> Job:
    return Job(number=number, source=f"/in/{number}.mp4", output=f"/out/{number}.mp4", state=state)


STATES = st.sampled_from(list(State))
QUEUES = st.lists(STATES, max_size=8).map(
    lambda states: tuple(job(number, state) for number, state in enumerate(states))
)


def numbers(jobs: Jobs) -> list[int]:
    return [each.number for each in jobs]


def test_jobs_run_in_their_order_one_at_a_time() -> None:
    jobs = (job(1, State.DONE), job(2, State.PAUSED), job(3), job(4))
    first = queue.next_to_run(jobs)
    assert first is not None
    assert first.number == 3
    running = queue.changed(jobs, 3, lambda each: replace(each, state=State.RUNNING))
    assert queue.next_to_run(running) is None


@given(QUEUES)
def test_a_restart_loses_nothing_and_what_ran_goes_first(jobs: Jobs) -> None:
    after = queue.after_restart(jobs)
    assert sorted(numbers(after)) == numbers(jobs)
    ran = [each.number for each in jobs if each.state is State.RUNNING]
    assert numbers(after)[: len(ran)] == ran
    assert not any(each.state is State.RUNNING for each in after)
    first = queue.next_to_run(after)
    assert not ran or (first is not None and first.number == ran[0])
    others = [number for number in numbers(jobs) if number not in ran]
    assert [number for number in numbers(after) if number not in ran] == others


@given(QUEUES, st.integers(0, 8), st.integers(-3, 12))
def test_moving_puts_a_job_where_it_was_asked_to_be_and_keeps_the_others(
    jobs: Jobs, number: int, place: int
) -> None:
    after = queue.moved(jobs, number, place)
    assert sorted(numbers(after)) == numbers(jobs)
    rest = [each for each in numbers(jobs) if each != number]
    assert [each for each in numbers(after) if each != number] == rest
    moved = queue.found(after, number)
    if moved is not None and moved.state in OPEN:
        open_ = [each.number for each in after if each.state in OPEN]
        assert open_.index(number) == min(max(place, 0), len(open_) - 1)


@given(QUEUES, st.integers(0, 8), st.sampled_from([queue.paused, queue.waiting, queue.anew]))
def test_who_asks_for_what_a_state_does_not_allow_is_refused(
    jobs: Jobs, number: int, change: Any
) -> None:
    before = queue.found(jobs, number)
    try:
        after = queue.found(queue.changed(jobs, number, change), number)
    except ValueError:
        assert before is not None
        assert before.state in {State.DONE, State.RUNNING, State.FAILED, State.CANCELLED}
        return
    if before is None:
        assert after is None
        return
    assert after is not None
    assert before.state is not State.DONE, "what is finished is not done again by accident"
    assert after.state in (State.PAUSED, State.WAITING, State.RUNNING)
    assert (after.state is State.RUNNING) <= (before.state is State.RUNNING)


TEXT = st.text(st.characters(codec=None), max_size=20)
JOBS = st.builds(
    Job,
    number=st.integers(0, 2**40),
    source=TEXT,
    output=TEXT,
    options=st.lists(TEXT, max_size=3).map(tuple),
    state=STATES,
    ours=st.booleans(),
    watched=st.none() | st.builds(Stamp, st.integers(0, 2**50), st.integers(-(2**62), 2**62)),
    content=TEXT,
    fresh=st.booleans(),
    total=st.none() | st.integers(0, 2**40),
    done=st.integers(0, 2**40),
    how=TEXT,
    error=TEXT,
    said=st.lists(TEXT, max_size=3).map(tuple),
)


@given(JOBS)
def test_a_job_is_read_as_it_was_written(one: Job) -> None:
    assert job_from(json.loads(json.dumps(one.json()))) == one


@given(JOBS, st.data())
def test_an_entry_of_another_kind_is_refused(one: Job, data: st.DataObject) -> None:
    entry = json.loads(json.dumps(one.json()))
    name = data.draw(st.sampled_from([field.name for field in fields(Job)]))
    wrong = data.draw(st.sampled_from([[1], {"a": 1}, 1.5, None, "nonsense", 7, True]))
    if type(wrong) is type(entry[name]) and name != "state":
        return
    if wrong is None and name in ("total", "watched"):
        return
    if name == "total" and type(wrong) is int:
        return
    with pytest.raises(ValueError, match=r"kind|words|State"):
        job_from({**entry, name: wrong})
    with pytest.raises(ValueError, match="expected the entries of a job"):
        job_from({key: value for key, value in entry.items() if key != name})
