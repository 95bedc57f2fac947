"""A bounded sequence of items between two threads, followed by exactly one end: finished, or an
error.

This is the only module that knows locks. Ends travel downstream behind the queued items; "the
reader has gone" travels upstream and wakes a blocked writer.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from streamsr import interrupt

T = TypeVar("T")

LOOK_S = 0.1
"""How often who waits looks whether it is to stop: Ctrl-C may not strike a wait for a lock."""


class ReaderGone(Exception):  # noqa: N818 - a notice, not a failure
    """Raised to the writer: nobody will read what it puts. It should stop, and need not report."""


class Channel(Generic[T]):
    """One writer, one reader.

    capacity  how many items may wait; a full channel blocks the writer (back-pressure)
    newest    a full channel drops its oldest item instead of blocking: the live case. ``dropped``
              counts them.
    """

    def __init__(self, capacity: int, *, newest: bool = False) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least 1, got {capacity}")
        self.dropped = 0
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._newest = newest
        self._ended = False
        self._error: BaseException | None = None
        self._reader_gone = False
        # Entered itself, in C: a Ctrl-C inside Condition.__enter__ would leave it locked for ever.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def put(self, item: T) -> None:
        """Append an item. Raises ReaderGone once the reader has left, RuntimeError after the
        end."""
        with self._lock:
            if self._ended:
                raise RuntimeError("put() after the end of the channel")
            if self._newest and len(self._items) == self._capacity:
                self._items.popleft()
                self.dropped += 1
            while len(self._items) == self._capacity and not self._reader_gone:
                self._changed.wait()
            if self._reader_gone:
                raise ReaderGone
            self._items.append(item)
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Block until put() would not. Raises ReaderGone once the reader has left."""
        with self._lock:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._reader_gone)
            if self._reader_gone:
                raise ReaderGone

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing follows: the writer finished, or ``error`` stopped it. The first end
        counts."""
        with self._lock:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        """Say that the reader has gone. Waiting items are let go."""
        with self._lock:
            self._reader_gone = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items in order; then the iteration ends, or raises the very exception the writer ended
        with."""
        for items in self.groups(1):
            yield items[0]

    def groups(self, limit: int) -> Iterator[list[T]]:
        """Like iterating, but up to ``limit`` items at a time: those that wait already, never
        waiting for more."""
        while True:
            with self._lock:
                while not self._items and not self._ended and not self._reader_gone:
                    self._changed.wait()
                if not self._items:
                    if self._error is not None and not self._reader_gone:
                        raise self._error
                    return
                items = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
                self._changed.notify_all()
            yield items
            del items  # the reader's frames must not live on here while it waits for the next

    def get(self, timeout_s: float | None = None) -> T:
        """The next item. Raises TimeoutError when none comes in time, EOFError at the end, or the
        writer's error."""
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            while not (self._items or self._ended or self._reader_gone):
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                self._changed.wait(min(left_s, LOOK_S))
                interrupt.check()
            if not self._items:
                if self._error is not None and not self._reader_gone:
                    raise self._error
                raise EOFError
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    @property
    def waiting(self) -> int:
        """How many items wait to be read, at this moment."""
        return len(self._items)
