"""Standard input, output and error while a command runs: our messages reach the terminal, and
nothing else does.

Messages may be lost, when nobody reads them or their disk is full; that never ends the work.
"""

import contextlib
import faulthandler
import io
import logging
import os
import select
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from streamsr.cli.errors import line_of, shown, tellable
from streamsr.errors import one_line

NATIVE_STDERR = 2
PATIENCE_S = 1.0
"""For a terminal that does not block and is full."""


class _Messages(io.FileIO):
    """A file for messages that drops what cannot be written: the reader has gone, or the disk is
    full."""

    def write(
        self, content: Any
    ) -> int:  # Any: typeshed's ReadableBuffer exists for type checkers only
        with contextlib.suppress(OSError):
            written = super().write(content)
            if written is not None:
                return written
            select.select([], [self], [], PATIENCE_S)
            super().write(content)
        return memoryview(content).nbytes


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(tellable(super().format(record)))


@contextlib.contextmanager
def streams_kept() -> Iterator[None]:
    """Apply all rules of this module for the time of one command."""
    _reserve()
    with _messages(), _output_escaped(), _warnings_shown(), _uncaught_in_one_line():
        yield


class _Nowhere(io.TextIOBase):
    """Takes all text and keeps none. Not a file, because Ray goes on holding it until the program
    ends."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


def stdout_silenced() -> contextlib.redirect_stdout[io.TextIOBase]:
    """Within it nothing that is printed appears: Ray prints what goes wrong with nodes, dozens of
    lines each time, which we say in one."""
    return contextlib.redirect_stdout(_Nowhere())


def flushed(status: int) -> int:
    """Flush standard output and return the exit status: 1 when it cannot be written, which is said
    here and not at Python's exit."""
    if sys.stdout is None:
        return status
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            # That reader has seen enough.
            print(shown(f"standard output: {error.strerror}"), file=sys.stderr)
        with contextlib.suppress(OSError, ValueError):
            # The rest goes nowhere, or Python would complain at its end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return status or 1
    return status


def _reserve() -> None:
    """Open /dev/null for standard streams that were closed: otherwise the next file that is opened
    gets such a number, and what libraries print goes into a film."""
    for number in range(NATIVE_STDERR + 1):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                # It gets the lowest free number.
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Reserve standard error for Python and crash reports, away from native libraries.

    LiteRT prints its CPU kernels there and SVT-AV1 its version, and neither has a switch for it;
    errors come through their interfaces. STREAMSR_NATIVE_LOG=1 lets everything through, for
    developers of delegates.
    """
    given = sys.stderr
    terminal = os.dup(NATIVE_STDERR)
    own = io.TextIOWrapper(
        io.BufferedWriter(_Messages(terminal, "w")),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )
    with own:
        if not os.environ.get("STREAMSR_NATIVE_LOG"):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, NATIVE_STDERR)
            os.close(nowhere)
        ours = not faulthandler.is_enabled() or _asked_of_python()
        if ours:
            faulthandler.enable(terminal)
        sys.stderr = own
        try:
            yield
        finally:
            sys.stderr = given
            os.dup2(terminal, NATIVE_STDERR)
            if ours:  # a library may crash when the process ends, too
                faulthandler.enable(NATIVE_STDERR)


def _asked_of_python() -> bool:
    """Whether the user told Python to enable faulthandler: then it stays as it is."""
    return (
        bool(os.environ.get("PYTHONFAULTHANDLER"))
        or "faulthandler" in sys._xoptions
        or sys.flags.dev_mode
    )


@contextlib.contextmanager
def _output_escaped() -> Iterator[None]:
    """Escape characters that the encoding of standard output does not have."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):  # closed, or an embedding program's
        yield
        return
    errors = out.errors
    out.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            out.reconfigure(errors=errors)


@contextlib.contextmanager
def _warnings_shown() -> Iterator[None]:
    """Show this package's warnings on standard error in the form of our other lines, and no other
    library's."""
    handler, nowhere = logging.StreamHandler(sys.stderr), logging.NullHandler()
    handler.setFormatter(_OneLine("streamsr: %(message)s"))
    logger, root = logging.getLogger("streamsr"), logging.getLogger()
    logger.addHandler(handler)
    root.addHandler(nowhere)  # without one, logging prints warnings of everybody
    said = warnings.showwarning
    if not (sys.warnoptions or os.environ.get("STREAMSR_NATIVE_LOG")):
        warnings.showwarning = lambda *_, **__: None
    try:
        yield
    finally:
        warnings.showwarning = said
        root.removeHandler(nowhere)
        logger.removeHandler(handler)


@contextlib.contextmanager
def _uncaught_in_one_line() -> Iterator[None]:
    """Print an uncaught exception of a thread in one line, as the command's own; print nothing of
    those in destructors."""
    thread, destructor = threading.excepthook, sys.unraisablehook

    def told(args: threading.ExceptHookArgs) -> None:
        if isinstance(args.exc_value, Exception) and sys.stderr is not None:
            print(shown(line_of(args.exc_value)), file=sys.stderr)

    threading.excepthook = told
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = thread, destructor
