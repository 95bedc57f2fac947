"""A bounded queue between two threads that ends exactly once: finished, or with an error.

The only module with locks. The end reaches the reader after the queued items; that the reader has
gone wakes a blocked writer.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from streamsr import interrupt

T = TypeVar("T")

LOOK_S = 0.1
"""Seconds between two looks of a waiting reader for a Ctrl-C, which cannot interrupt a wait for a
lock."""


class ReaderGone(Exception):  # noqa: N818 - a notice, not a failure
    """Raised to the writer: nobody reads any more. It should stop, without an error."""


class Channel(Generic[T]):
    """A queue with one writer and one reader.

    capacity  how many items may wait; a full channel blocks the writer (back-pressure)
    newest    a full channel drops its oldest item instead, for live sources; ``dropped`` counts
              them
    size      what an item takes of the capacity, such as bytes, where that is not 1. The last one
              may exceed it
    """

    def __init__(
        self, capacity: int, *, newest: bool = False, size: Callable[[T], int] | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least 1, got {capacity}")
        self.dropped = 0
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._newest = newest
        self._size = size
        self._held = 0
        self._ended = False
        self._error: BaseException | None = None
        self._reader_gone = False
        # Entered directly, in C: a Ctrl-C in Condition.__enter__ would leave it locked for ever.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def put(self, item: T) -> None:
        """Append an item. Raises ReaderGone once the reader has left, RuntimeError after the
        end."""
        with self._lock:
            if self._ended:
                raise RuntimeError("put() after the end of the channel")
            if self._newest and self._is_full():
                self._pop()
                self.dropped += 1
            while self._is_full() and not self._reader_gone:
                self._changed.wait()
            if self._reader_gone:
                raise ReaderGone
            self._held += 1 if self._size is None else self._size(item)
            self._items.append(item)
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Block until put() would not. Raises ReaderGone once the reader has left."""
        with self._lock:
            self._changed.wait_for(lambda: not self._is_full() or self._reader_gone)
            if self._reader_gone:
                raise ReaderGone

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing follows: the writer finished, or ``error`` stopped it. Only the first
        call counts."""
        with self._lock:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        """Say that the reader has gone, and drop the waiting items."""
        with self._lock:
            self._reader_gone = True
            self._items.clear()
            self._held = 0
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items in order. Then the iteration ends, or raises the exception that the writer ended
        with."""
        for items in self.groups(1):
            yield items[0]

    def groups(self, limit: int) -> Iterator[list[T]]:
        """Like iterating, but up to ``limit`` items at a time: those that wait already."""
        while True:
            with self._lock:
                while not self._items and not self._ended and not self._reader_gone:
                    self._changed.wait()
                if not self._items:
                    if self._error is not None and not self._reader_gone:
                        raise self._error
                    return
                items = [self._pop() for _ in range(min(limit, len(self._items)))]
                self._changed.notify_all()
            yield items
            del items  # the reader's frames must not be held here while it waits for the next

    def get(self, timeout_s: float | None = None) -> T:
        """The next item. Raises TimeoutError when none comes in time, at the end EOFError or the
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
            item = self._pop()
            self._changed.notify_all()
            return item

    def _is_full(self) -> bool:
        """Under the lock: whether an item must wait."""
        return self._held >= self._capacity

    def _pop(self) -> T:
        """Under the lock: take the oldest item out."""
        item = self._items.popleft()
        self._held -= 1 if self._size is None else self._size(item)
        return item

    @property
    def waiting(self) -> int:
        """How many items wait to be read, at this moment."""
        return len(self._items)
