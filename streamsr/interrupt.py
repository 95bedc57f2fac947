"""A Ctrl-C, or SIGTERM, that asks the run to end."""

import signal
from typing import NoReturn

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

    For loops that wait: an exception that strikes a destructor, or a native module while it is loaded, is lost there.
    """
    if _asked:
        raise KeyboardInterrupt


def _stop(_signal: int, _frame: object) -> NoReturn:
    global _asked
    _asked = True
    raise KeyboardInterrupt
