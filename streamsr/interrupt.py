"""Ends waits and runs early: for another thread, on Ctrl-C, on SIGTERM."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol, TypeVar

from xlsr_model import system

Result = TypeVar("Result")

AGAIN_S = 0.05
"""Seconds until a Ctrl-C is tried again after it came where it must not strike."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
"""Waits before connecting again: short after a first failure, long for a server that stays away."""

SHIELDED_NAMES = frozenset({"__enter__", "__exit__", "__del__"})
SHIELDED_FILES = frozenset(
    function.__code__.co_filename
    for function in (contextlib.contextmanager, logging.getLogger, threading.Thread.start)
)
"""Where Ctrl-C must not strike. What is entered but not yet registered would never be left; a
thread that is started but not yet known would never be joined; a lock that is taken outside a
``with`` would never be released."""

_heard = False
_asked = False
_due = False


def heard() -> None:
    """Have `stoppable` obey SIGTERM and SIGINT. Raises ValueError in another thread than the
    process's main one.

    A SIGINT that is ignored, as for a shell's background jobs, stays so.
    """
    global _heard, _asked, _due
    _heard, _asked, _due = True, False, False
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _stop):
        signal.signal(signal.SIGINT, _stop)


def stoppable(command: Callable[[], Result]) -> Result:
    """Run a command. After `heard`, signals raise KeyboardInterrupt in it, and nowhere else.

    While something is entered or left, a thread is started or joined, or a module is imported, they
    wait for the end of that. Code that takes long there calls `check`.
    """
    check()
    return command()


def check() -> None:
    """Raise KeyboardInterrupt in the main thread if a signal asked for it, also a second time.

    To be called where code waits or takes long: an exception raised in a destructor is lost. Not
    where it cleans up.
    """
    if _asked and threading.current_thread() is threading.main_thread():
        _try_no_more()
        raise KeyboardInterrupt


def due() -> bool:
    """Whether a signal has asked the command to stop, and no KeyboardInterrupt was raised yet."""
    return _due


def caused(error: BaseException) -> bool:
    """Whether this error is a signal's: the KeyboardInterrupt itself, also in a group, or a system
    call that was cut short, or what clearing up met meanwhile."""
    if isinstance(error, BaseExceptionGroup):
        return _due or error.subgroup(KeyboardInterrupt) is not None
    return _due or isinstance(error, KeyboardInterrupt)


@contextlib.contextmanager
def stops_here() -> Iterator[None]:
    """Have signals end the block as what usually ends it: nothing is raised, and behind it signals
    change nothing, however often they come.

    They wait while the block is left (see `stoppable`), so that none strikes between its end and
    what follows.
    """
    try:
        yield
    except BaseException as error:
        if not caused(error):
            raise
    finally:
        over()


def over() -> None:
    """The command has ended: from here to the end of the process signals change nothing."""
    global _heard, _asked, _due
    _try_no_more()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is _stop:
                signal.signal(number, signal.SIG_IGN)
    _heard = _asked = _due = False


def _try_no_more() -> None:
    global _due
    _due = False
    system.silence(_stop)


def _stop(_signal: int, frame: FrameType | None) -> None:
    global _asked, _due
    if not _heard:
        return
    _asked = _due = True
    shielded = False
    while frame is not None and frame.f_code is not stoppable.__code__:
        shielded = shielded or _is_shielded(frame)
        frame = frame.f_back
    if frame is None:  # before the command, which calls check(), or after it
        return
    if shielded:
        system.ring(AGAIN_S, _stop)
        return
    _try_no_more()
    raise KeyboardInterrupt


def _is_shielded(frame: FrameType) -> bool:
    code = frame.f_code
    # Native modules that are interrupted while they are loaded say ImportError, or crash.
    imports = code.co_filename.startswith("<frozen importlib")
    return imports or code.co_name in SHIELDED_NAMES or code.co_filename in SHIELDED_FILES


class Waits(Protocol):
    """The interface of `Pause`; a test may pass another one, with a clock of its own."""

    def wait(self, seconds: float) -> bool: ...

    def end(self) -> None: ...


class Pause:
    """A sleep that another thread can end, for good."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Sleep for these seconds, not at all when negative. Returns True when `end` was called."""
        return self._over.wait(max(seconds, 0.0))

    def end(self) -> None:
        """End this sleep and all later ones. Any thread may call it."""
        self._over.set()


def wait_before(attempt: int) -> float:
    """Seconds to wait before the ``attempt``-th try to connect again, counted from 0."""
    return float(min(FIRST_WAIT_S * 2.0 ** min(attempt, 30), LONGEST_WAIT_S))


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C only make the yielded function return True; the second one raises
    KeyboardInterrupt."""
    pressed = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        # Nothing is printed and no lock taken here: the interrupted code may be doing that.
        nonlocal pressed
        if not pressed:
            pressed = True
        elif _heard:
            _stop(number, frame)
        else:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: pressed
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
