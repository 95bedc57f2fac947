"""A Ctrl-C, or SIGTERM, that asks the run to end."""

import signal
from types import FrameType

AGAIN_S = 0.05
"""How soon it is tried again where an import must not be interrupted."""

_asked = False


def heard() -> None:
    """Have SIGTERM and SIGINT raise KeyboardInterrupt in this process's main thread. Raises ValueError in another one.

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
        # Native modules that are interrupted while they are loaded say ImportError, or crash: after the import.
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            if signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, _stop):  # else it is an embedding program's
                signal.signal(signal.SIGALRM, _stop)
                signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        frame = frame.f_back
    over()
    raise KeyboardInterrupt
