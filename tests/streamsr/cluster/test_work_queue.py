"""The queue of a cluster's segments, without a cluster."""

import random
from collections import Counter

import pytest

from streamsr.cluster.schedule import PendingSegment, urgency
from streamsr.cluster.work_queue import ATTEMPTS, WorkQueue
from streamsr.segments.ledger import is_ours


def filled(*segments: PendingSegment) -> WorkQueue:
    queue = WorkQueue()
    queue.add(segments)
    return queue


def three() -> WorkQueue:
    """Two segments of film 0 and one of film 1, alike in length."""
    return filled(
        PendingSegment(0, 1, 300.0), PendingSegment(1, 0, 300.0), PendingSegment(0, 0, 300.0)
    )


def test_segments_start_in_the_order_of_their_urgency() -> None:
    chance = random.Random(3)
    segments = [PendingSegment(f, n, chance.uniform(1, 5000)) for f in range(4) for n in range(9)]
    queue = filled(*segments)
    started = []
    while (following := queue.next) is not None:
        assert queue.running[queue.start()] == following
        started.append(following)
    assert started == sorted(segments, key=urgency)
    with pytest.raises(IndexError):
        queue.start()


def test_every_attempt_has_a_name_that_the_ledger_knows_for_its_own() -> None:
    queue = three()
    name = queue.start()
    assert queue.retry(queue.end(name))
    assert queue.next == PendingSegment(0, 0, 300.0)
    again = queue.start()
    assert again != name
    assert again.startswith("000000.")
    assert is_ours(again)


def test_a_film_is_done_when_none_of_its_segments_waits_or_runs() -> None:
    queue = three()
    assert (queue.left(0), queue.left(1), queue.left(2)) == (2, 1, 0)
    first, second = queue.start(), queue.start()
    assert queue.left(0) == 2, "those that are being made are not done"
    assert queue.end(first).film == queue.end(second).film == 0
    assert (queue.left(0), queue.left(1)) == (0, 1)
    assert not queue.running


def test_a_segment_that_lost_its_worker_waits_again_but_not_for_ever() -> None:
    queue = filled(PendingSegment(0, 0, 1.0), PendingSegment(0, 1, 1.0))
    for attempt in range(1, ATTEMPTS + 1):
        segment = queue.end(queue.start())
        assert segment.number == 0
        assert queue.retry(segment) == (attempt < ATTEMPTS)
    assert queue.left(0) == 1
    other = queue.end(queue.start())
    assert other.number == 1
    assert queue.retry(other), "its own losses count, not its neighbour's"


def test_what_is_dropped_does_not_start_and_what_runs_is_named() -> None:
    queue = three()
    running = queue.start()
    assert queue.drop(0) == [running]
    assert (queue.left(0), queue.left(1)) == (1, 1)
    assert queue.next == PendingSegment(1, 0, 300.0)
    other = queue.start()
    assert set(queue.drop()) == {running, other}
    assert queue.next is None
    queue.end(running)
    queue.end(other)
    assert (queue.left(0), queue.left(1)) == (0, 0)


def test_the_order_holds_after_some_were_dropped() -> None:
    chance = random.Random(7)
    segments = [PendingSegment(f, n, chance.uniform(1, 5000)) for f in range(5) for n in range(8)]
    queue = filled(*segments)
    queue.drop(2)
    names = [queue.start() for _ in range(32)]
    started = [queue.running[name] for name in names]
    assert started == sorted((s for s in segments if s.film != 2), key=urgency)
    assert Counter(segment.film for segment in started) == dict.fromkeys((0, 1, 3, 4), 8)
