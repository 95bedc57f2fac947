"""Channels: items in order, one end, and both sides learn when the other has gone."""

import threading
from collections.abc import Callable

import pytest

from streamsr.channel import Channel, ReaderGone


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)  # a test that fails must not hang the run
    thread.start()
    return thread


def finished(thread: threading.Thread) -> bool:
    thread.join(20)
    return not thread.is_alive()


def test_items_come_in_order_and_then_the_end() -> None:
    channel: Channel[int] = Channel(3)
    for i in range(3):
        channel.put(i)
    channel.end()
    assert list(channel) == [0, 1, 2]
    assert list(channel) == []


def test_an_error_comes_behind_the_items_that_were_put_before_it() -> None:
    channel: Channel[int] = Channel(3)
    channel.put(1)
    error = OSError("gone")
    channel.end(error)
    read = iter(channel)
    assert next(read) == 1
    with pytest.raises(OSError, match="gone") as raised:
        next(read)
    assert raised.value is error


def test_the_first_end_counts() -> None:
    channel: Channel[int] = Channel(1)
    channel.end()
    channel.end(OSError("late"))
    assert list(channel) == []


def test_nothing_follows_the_end() -> None:
    channel: Channel[int] = Channel(1)
    channel.end()
    with pytest.raises(RuntimeError, match="after the end"):
        channel.put(1)


def test_a_full_channel_blocks_the_writer_until_the_reader_takes() -> None:
    channel: Channel[int] = Channel(2)
    written: list[int] = []

    def write() -> None:
        for i in range(50):
            channel.put(i)
            written.append(i)
        channel.end()

    writer = in_thread(write)
    seen = []
    for item in channel:
        assert len(written) <= len(seen) + 4  # two that wait, one in hand, one just put
        seen.append(item)
    assert seen == list(range(50))
    assert finished(writer)


def test_a_reader_that_leaves_wakes_the_blocked_writer() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(0)
    gone: list[bool] = []

    def write() -> None:
        with pytest.raises(ReaderGone):
            channel.put(1)
        gone.append(True)

    writer = in_thread(write)
    channel.leave()
    assert finished(writer)
    assert gone == [True]


def test_a_writer_that_ends_wakes_the_waiting_reader() -> None:
    channel: Channel[int] = Channel(1)
    seen: list[list[int]] = []
    reader = in_thread(lambda: seen.append(list(channel)))
    channel.end()
    assert finished(reader)
    assert seen == [[]]


def test_leaving_wakes_a_reader_that_waits_and_hides_the_error() -> None:
    channel: Channel[int] = Channel(1)
    seen: list[list[int]] = []
    reader = in_thread(lambda: seen.append(list(channel)))
    channel.leave()
    assert finished(reader)
    assert seen == [[]]
    channel.end(OSError("nobody asks"))
    assert list(channel) == []


def test_the_newest_items_replace_the_oldest_and_are_counted() -> None:
    channel: Channel[int] = Channel(2, newest=True)
    for i in range(10):
        channel.put(i)
    channel.end()
    assert list(channel) == [8, 9]
    assert channel.dropped == 8


def test_a_live_writer_learns_that_the_reader_has_gone() -> None:
    channel: Channel[int] = Channel(1, newest=True)
    channel.leave()
    with pytest.raises(ReaderGone):
        channel.put(1)


def test_groups_take_what_waits_and_never_wait_for_more() -> None:
    channel: Channel[int] = Channel(10)
    for i in range(5):
        channel.put(i)
    groups = channel.groups(3)
    assert next(groups) == [0, 1, 2]
    assert next(groups) == [3, 4]
    channel.put(5)
    channel.end()
    assert list(groups) == [[5]]


def test_how_many_wait() -> None:
    channel: Channel[int] = Channel(4)
    channel.put(1)
    channel.put(2)
    assert channel.waiting == 2


def test_a_channel_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Channel(0)
