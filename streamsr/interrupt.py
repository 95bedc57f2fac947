"""Waits that can be cut short: by another thread, or by Ctrl-C."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
"""Before connecting again: short for a hiccup, and no burden on a server that stays away."""


class Waits(Protocol):
    """What `Pause` does, for a test with its own clock."""

    def wait(self, seconds: float) -> bool: ...

    def end(self) -> None: ...


class Pause:
    """A sleep that another thread can cut short, once and for all."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Sleep so long, not at all when negative. True when it was cut short."""
        return self._over.wait(max(seconds, 0.0))

    def end(self) -> None:
        """Wake who waits, and let nobody wait again."""
        self._over.set()


def wait_before(attempt: int) -> float:
    """Seconds to wait before the ``attempt``-th try to connect again, counted from 0."""
    return float(min(FIRST_WAIT_S * 2.0 ** min(attempt, 30), LONGEST_WAIT_S))


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Within it the first Ctrl-C only sets the yielded event; the second is a KeyboardInterrupt."""
    asked = threading.Event()

    def interrupted(_signal: int, _frame: object) -> None:
        # Nothing may be printed here: the interrupted code may be printing.
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
