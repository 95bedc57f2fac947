"""Errors as the one line and the exit status that end a command."""

import io
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import click

from streamsr import interrupt
from streamsr.errors import Cancelled, StreamsrError, first_line, one_line, shortened
from streamsr.media.url import text_without_secrets

CANCELLED = 130
"""128 + SIGINT, as shells have it."""

OURS = Path(__file__).parents[1]

OPENCVS_LIBRARIES = r"lib(GL|glib-2\.0|gthread-2\.0|xcb|X11|Xext|SM|ICE)\.so"
"""Those of the system that its wheel is linked with, which servers do not have."""

LONGEST_USAGE = 400
"""Characters of a message about usage, which repeats what was typed."""

LONGEST_LINE = 1000
"""Characters of a message, which may name two files."""


def status_of(command: Callable[[], int | None]) -> int:
    """Run a command. Exit status: 0 done, 1 an error, 2 wrong usage, 130 stopped; the reason on
    standard error."""
    try:
        return interrupt.stoppable(command) or 0
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(usage)
        for line in usage.getvalue().splitlines():
            print(shortened(one_line(tellable(line)), LONGEST_USAGE), file=sys.stderr)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt, Cancelled) as stopped:
        return _stopped(stopped)
    except BrokenPipeError as error:  # whoever read our output left
        return _stopped(error) if interrupt.caused(error) else 1
    except BaseExceptionGroup as group:
        if interrupt.caused(group) or group.subgroup(Cancelled) is not None:
            return _stopped(group)
        print(shown(line_of(group)), file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - the last net: no traceback ever reaches a user unasked
        if interrupt.caused(error):
            return _stopped(error)
        print(shown(line_of(error)), file=sys.stderr)
        return 1


def _stopped(stopped: BaseException) -> int:
    said = str(stopped) if isinstance(stopped, Cancelled) else ""
    print(shown(said or "stopped; the unfinished output was removed"), file=sys.stderr)
    return CANCELLED


def tellable(text: str) -> str:
    """The text without passwords and stream keys of addresses that are in it, or among the
    command's arguments."""
    options = [word.partition("=")[2] for word in sys.argv if word.startswith("--")]
    return text_without_secrets(text, known=[*sys.argv, *options])


def shown(line: str) -> str:
    """Format one of our messages for printing."""
    return shortened(one_line(f"streamsr: {tellable(line)}"), LONGEST_LINE)


def line_of(error: BaseException) -> str:
    """One line about an error. With STREAMSR_TRACEBACK=1 the traceback is printed first."""
    if os.environ.get("STREAMSR_TRACEBACK"):
        print(tellable("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    if isinstance(error, BaseExceptionGroup):
        first = error.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        return _line(first)
    return _line(error)


def _line(error: BaseException) -> str:
    if isinstance(error, StreamsrError):
        return str(error)
    if isinstance(error, ImportError):
        return f"this installation is not complete: {mended(first_line(error))}"
    if isinstance(error, MemoryError):
        return "not enough memory" + (f" ({error})" if str(error) else "")
    if isinstance(error, OSError) and error.strerror:
        # Neither the input's nor the output's: for example a cache on a full disk.
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    first = next(iter(str(error).splitlines()), "")
    said = (
        f"{type(error).__name__}{': ' if first else ''}{shortened(first, LONGEST_USAGE)} "
        f"({_place(error)})"
    )
    return f"internal error: {said}; STREAMSR_TRACEBACK=1 shows all; please report it"


def mended(missing: str) -> str:
    """What an import says is missing, and what to do about it where we know."""
    if re.match(OPENCVS_LIBRARIES, missing):
        return f"{missing}; OpenCV wants it: apt-get install libgl1 libglib2.0-0"
    if "'cv2'" in missing:
        return f"{missing}; pip install opencv-python-headless brings it, without windows"
    return missing


def _place(error: BaseException) -> str:
    """File and line where it happened, the last inside this package."""
    calls = traceback.extract_tb(error.__traceback__)
    ours = [call for call in calls if Path(call.filename).is_relative_to(OURS)]
    last = next(reversed(ours or calls), None)
    return "nowhere" if last is None else f"{Path(last.filename).name}:{last.lineno}"
