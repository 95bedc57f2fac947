"""What several commands of the ``streamsr`` command share: their options, and where their numbers
go."""

import contextlib
import functools
import json
import math
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamsr.errors import SinkError, quoted
from xlsr_model.files import Output

if TYPE_CHECKING:
    from streamsr.cluster.driver import Progress
    from streamsr.stats import Recorder

ENGINES = (
    "auto",
    "fused",
    "openvino",
    "litert",
)  # as in streamsr.engines.choose, which would cost its imports here


LONGEST_S = 10**9
"""32 years. In nanoseconds, the finest ticks that containers have, such a time is still a number of
64 bits."""

MOST_THREADS = 1024
"""More than any machine has cores; every one costs memory and a thread of the system's, used or
not."""

MOST_FRAMES_A_CALL = 64
"""Of a batch, all of which wait in memory; NPUs gain nothing beyond four or eight."""

LONGEST_HOST, LONGEST_LABEL = 253, 63
"""Characters of a host's name and of what stands between its dots, RFC 1035; Python's IDNA codec
fails on others."""


class Number(click.FloatRange):
    """A number in a range, which click's own takes to include ``nan``."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:  # Any: click's
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{quoted(value)} is not a number to work with", param, ctx)
        return number


class Seconds(click.ParamType[float]):
    """``90``, ``1:30`` or ``0:01:30.5``; up to LONGEST_S."""

    name = "time"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", str(value), re.ASCII)
        if match is None:
            self.fail(f"{quoted(value)} is not a time; write 90, 1:30 or 0:01:30.5", param, ctx)
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        time_s = hours * 3600 + minutes * 60 + seconds
        if not self._least <= time_s <= LONGEST_S:
            self.fail(
                f"{quoted(value)} is not a time from {self._least:g} to {LONGEST_S} seconds",
                param,
                ctx,
            )
        return time_s


class Word(click.ParamType[str]):
    """A name in ASCII, as encoders' presets have them."""

    name = "word"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        if re.fullmatch(r"[!-~]{1,40}", str(value)) is None:
            self.fail(f"{quoted(value)} is not a name", param, ctx)
        return str(value)


class Host(click.ParamType[str]):
    """A name or an address of a machine, ``[::1]`` or ``::1`` too."""

    name = "host"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        host = str(value)
        if not is_host(host.removeprefix("[").removesuffix("]")):
            self.fail(f"{quoted(host)} is not the name or address of a machine", param, ctx)
        return host


class Address(click.ParamType[str]):
    """``9464``, ``0.0.0.0:9464`` or ``[::1]:9464``; a port alone is this machine's own."""

    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        match = re.fullmatch(r"(?:([\w.-]+|\[[\w:.%]+\]):)?(\d{1,5})", str(value), re.ASCII)
        if (
            match is None
            or int(match[2]) > 65535
            or not is_host((match[1] or "localhost").strip("[]"))
        ):
            self.fail(
                f"{quoted(value)} is not an address; write 9464, 0.0.0.0:9464 or [::1]:9464",
                param,
                ctx,
            )
        return f"{match[1] or '127.0.0.1'}:{match[2]}"


def is_host(text: str) -> bool:
    """Whether this could be a host's name, in its ASCII form, or its IPv4 or IPv6 address."""
    labels = text.removesuffix(".").split(".")
    return (
        len(text) <= LONGEST_HOST
        and re.fullmatch(r"[\w.:%-]+", text, re.ASCII) is not None
        and all(0 < len(label) <= LONGEST_LABEL for label in labels)
    )


def _batch(_ctx: click.Context, _param: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= MOST_FRAMES_A_CALL:
        raise click.BadParameter(
            f"{quoted(value)} is neither auto nor a number from 1 to {MOST_FRAMES_A_CALL}"
        )
    return int(value)


def _pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{quoted(value)} is not KEY=VALUE")
    return dict(value.split("=", 1) for value in values)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options every command that upscales has."""

    @functools.wraps(command)
    def printed_or_run(*, print_pipeline: bool, **asked: Any) -> Any:  # Any: click's values
        if not print_pipeline:
            return command(**asked)
        from streamsr.cli.pipeline_file import write_pipeline

        return click.echo(write_pipeline(click.get_current_context()))

    decorated: Callable[..., Any] = printed_or_run
    for option in reversed(
        (
            click.option(
                "--model",
                metavar="auto|clean|video|NAME|FILE",
                default="auto",
                show_default=True,
                help="A shipped model (see `info`) or a .tflite file; auto is video for lossy "
                "films, else clean.",
            ),
            click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True),
            click.option(
                "--threads",
                type=click.IntRange(1, MOST_THREADS),
                help="Cores to use.  [default: all]",
            ),
            click.option(
                "--delegate",
                metavar="LIB",
                help="A TFLite external delegate (NPU) that must be used.",
            ),
            click.option(
                "--delegate-option",
                "delegate_options",
                metavar="K=V",
                multiple=True,
                callback=_pairs,
                help="For it.",
            ),
            click.option(
                "--batch",
                metavar="N|auto",
                default="auto",
                show_default=True,
                callback=_batch,
                help="Frames in one call of the engine; auto measures what an NPU gains.",
            ),
            click.option(
                "--reuse/--no-reuse",
                default=True,
                help="Take what did not change from the last frame.  [default: yes]",
            ),
            click.option(
                "--verify-reuse", is_flag=True, help="Compute that too, and fail should it differ."
            ),
            click.option(
                "--stats-json",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Write the numbers.",
            ),
            click.option(
                "--print-pipeline",
                is_flag=True,
                help="Print this as a file for `run`, and do nothing.",
            ),
        )
    ):
        decorated = option(decorated)
    return decorated


@contextlib.contextmanager
def stats_written(path: Path | None, record: "Recorder") -> Iterator[None]:
    """Write the numbers at the end, also of a run that failed. Raises SinkError at once where that
    cannot be."""
    if path is None:
        yield
        return
    with text_written(path) as write:

        def numbers() -> None:
            write(json.dumps(record.snapshot().json(), indent=2))

        try:
            yield
        except BaseException:
            with contextlib.suppress(SinkError):  # what went wrong first is what is told
                numbers()
            raise
        numbers()


@contextlib.contextmanager
def metrics_shown(
    address: str | None, record: "Recorder", progress: "Callable[[], Progress] | None" = None
) -> Iterator[None]:
    """Serve the run's numbers, and a cluster's progress, to Prometheus for ``--metrics``. Raises
    SinkError."""
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
"""Bytes of a file of numbers; a long run's has some thousand."""

NUMBERS = ({"frames", "seconds", "versions"}, {"machine", "stages", "command"})
"""Entries that tell our files: of `streamsr.stats.Stats` and of `streamsr.bench.Report`."""


@contextlib.contextmanager
def text_written(path: Path) -> Iterator[Callable[[str], None]]:
    """A file of numbers, checked before the work; what it yields writes it. Raises SinkError.

    Replaces only files that this function made before, and empty ones. A pipe or terminal is
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
    """Whether bytes go through it to somebody. What stands in /dev may lead to a file, which the
    shell opened."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    through = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
    return through or (stat.S_ISREG(mode) and path.absolute().is_relative_to("/dev"))


def _send(path: Path, content: bytes) -> None:
    """Write to a device, behind what is there already. Raises OSError, also when nobody reads a
    pipe."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    with open(fd, "wb") as file:
        file.write(content)


def _has_numbers(path: Path) -> bool:
    """Whether a file holds what a command wrote with ``--stats-json`` or ``--json``, or nothing."""
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
