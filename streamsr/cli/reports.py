"""Where the numbers of a run go: a JSON file, and Prometheus."""

import contextlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamsr.errors import SinkError
from xlsr_model import system
from xlsr_model.files import Output

if TYPE_CHECKING:
    from streamsr.jobs.observer import Progress
    from streamsr.stats import Recorder


@contextlib.contextmanager
def stats_written(path: Path | None, record: "Recorder") -> Iterator[None]:
    """Write a run's statistics as JSON at its end, also when it failed. Raises SinkError at once
    when the file cannot be written."""
    if path is None:
        yield
        return
    with text_written(path) as write:

        def numbers() -> None:
            write(json.dumps(record.snapshot().json(), indent=2))

        try:
            yield
        except BaseException:
            with contextlib.suppress(SinkError):  # the first error is the one to report
                numbers()
            raise
        numbers()


@contextlib.contextmanager
def metrics_shown(
    address: str | None, record: "Recorder", progress: "Callable[[], Progress] | None" = None
) -> Iterator[None]:
    """Serve a run's metrics, and a cluster's progress, to Prometheus. Raises SinkError."""
    if address is None:
        yield
        return
    try:
        from streamsr.cli.metrics import ProgressCollector, RecorderCollector, metrics_served
    except ModuleNotFoundError as error:
        raise SinkError(f"metrics need {error.name}: pip install 'streamsr[metrics]'") from None
    more = [] if progress is None else [ProgressCollector(progress)]
    with metrics_served(address, RecorderCollector(record), *more) as url:
        print(f"metrics at {url}", file=sys.stderr)
        yield


LARGEST_NUMBERS = 16 << 20
"""Bytes of a statistics file; a long run's has some thousand."""

NUMBERS = ({"frames", "seconds", "versions"}, {"machine", "stages", "command"})
"""Keys by which our own files are recognized: of `streamsr.stats.Stats` and
`streamsr.bench.Report`."""


@contextlib.contextmanager
def text_written(path: Path) -> Iterator[Callable[[str], None]]:
    """Check before the work that a file of numbers can be written; yield what writes it. Raises
    SinkError.

    Only files that this function made before, and empty ones, are replaced. A pipe or terminal is
    written to as it is.
    """
    with contextlib.ExitStack() as stack:

        def write(text: str) -> None:
            with _errors_of(path):
                content = (text + "\n").encode()
                if output is None:
                    _send(path, content)
                else:
                    output.write(content)
                    output.publish()

        output = None
        if not _is_device(path):
            replaces = _has_numbers(path)
            if not replaces and os.path.lexists(path):
                raise SinkError(f"{path}: exists already and holds something else")
            with _errors_of(path):
                output = stack.enter_context(Output(path, overwrite=replaces))
        yield write


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise SinkError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error


def _is_device(path: Path) -> bool:
    """Whether this is a pipe, a socket or a terminal, or a path in /dev to a file that the shell
    opened."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    through = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
    return through or (stat.S_ISREG(mode) and path.absolute().is_relative_to("/dev"))


def _send(path: Path, content: bytes) -> None:
    """Append to a device. Raises OSError, also when nobody reads a pipe."""
    with open(system.open_device(path), "wb") as file:
        file.write(content)


def _has_numbers(path: Path) -> bool:
    """Whether a file is empty, or was written by ``--stats-json`` or ``--json``."""
    try:
        if path.stat().st_size > LARGEST_NUMBERS:
            return False
        content = path.read_bytes()
        found = json.loads(content) if content else None
    except (OSError, ValueError, RecursionError):
        return False
    return not content or (
        isinstance(found, dict) and any(found.keys() >= keys for keys in NUMBERS)
    )
