"""Standard input, output and error while a command runs: what is said reaches the terminal, nothing
else does.

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

from streamsr.cli.errors import line_of, shown
from streamsr.errors import one_line

NATIVE_STDERR = 2
PATIENCE_S = 1.0
"""For a terminal that does not block and is full."""


class _Messages(io.FileIO):
    """Where messages go. What cannot be written is lost: its reader has gone, or its disk is
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
        return one_line(super().format(record))


@contextlib.contextmanager
def streams_kept() -> Iterator[None]:
    """Everything below, for the time of one command."""
    _reserve()
    with _messages(), _strange_names_shown(), _log_shown(), _surprises_in_one_line():
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
    """The exit status once standard output is written out: what cannot be is an error, told here
    and not at exit."""
    if sys.stdout is None:
        return status
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and not isinstance(
            error, BrokenPipeError
        ):  # that reader has seen enough
            print(shown(f"standard output: {error.strerror}"), file=sys.stderr)
        with contextlib.suppress(
            OSError, ValueError
        ):  # the rest goes nowhere, or Python would complain at its end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return status or 1
    return status


def _reserve() -> None:
    """Take the places of standard streams that were closed: the next file that is opened would get
    such a number, and what libraries print would go into a film."""
    for number in range(NATIVE_STDERR + 1):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(
                    os.open(os.devnull, os.O_RDWR), True
                )  # it gets the lowest free number


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Keep for Python the standard error that native libraries share with it, and for what a crash
    has to say.

    LiteRT announces its CPU kernels there and SVT-AV1 its version, without a switch for it; what
    goes wrong they tell through their interfaces. STREAMSR_NATIVE_LOG=1 lets everything through,
    for who develops a delegate.
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
    """Whether Python itself was told to enable faulthandler: nobody else's, then."""
    return (
        bool(os.environ.get("PYTHONFAULTHANDLER"))
        or "faulthandler" in sys._xoptions
        or sys.flags.dev_mode
    )


@contextlib.contextmanager
def _strange_names_shown() -> Iterator[None]:
    """Standard output takes every name, also where its encoding does not have the characters."""
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
def _log_shown() -> Iterator[None]:
    """Warnings of the library appear on standard error in the form of our other lines; other
    libraries' do not."""
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
def _surprises_in_one_line() -> Iterator[None]:
    """What nobody catches in a thread is told in one line, as it is in the command; of a
    destructor's nothing."""
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
