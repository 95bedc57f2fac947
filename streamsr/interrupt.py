"""What cuts a wait or a run short: another thread, Ctrl-C, SIGTERM."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

AGAIN_S = 0.05
"""How soon a Ctrl-C is tried again where an import must not be interrupted."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
"""Before connecting again: short for a hiccup, and no burden on a server that stays away."""

_asked = False


def heard() -> None:
    """Have SIGTERM and SIGINT raise KeyboardInterrupt in this process's main thread. Raises
    ValueError in another one.

    A SIGINT that is ignored, as for a shell's background jobs, stays so.
    """
    global _asked
    _asked = False
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _stop):
        signal.signal(signal.SIGINT, _stop)


def check() -> None:
    """Raise KeyboardInterrupt once more if it was raised, and yet the caller goes on.

    For loops that wait: an exception that strikes a destructor is lost there.
    """
    if _asked:
        over()
        raise KeyboardInterrupt


def over() -> None:
    """Try it no more: the run ends."""
    if signal.getsignal(signal.SIGALRM) is _stop:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(_signal: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    while frame is not None:
        # Native modules that are interrupted while they are loaded say ImportError, or crash: after
        # the import.
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            if signal.getsignal(signal.SIGALRM) in (
                signal.SIG_DFL,
                _stop,
            ):  # else it is an embedding program's
                signal.signal(signal.SIGALRM, _stop)
                signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        frame = frame.f_back
    over()
    raise KeyboardInterrupt


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
