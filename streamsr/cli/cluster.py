"""``streamsr upscale --cluster``: one display for the whole job."""

import contextlib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from streamsr.cli.errors import line_of, shown
from streamsr.cli.options import metrics_shown, stats_written
from streamsr.cluster.driver import Progress, upscale_on_cluster
from streamsr.errors import StreamsrError, one_line
from streamsr.jobs.files import Job, Options
from streamsr.segments.film import SegmentedFilm
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

if TYPE_CHECKING:
    from streamsr.audit.check import Check

Report = Callable[[Path, "list[Check]"], None]
"""Prints what an audit found. Raises StreamsrError on a loss."""


def upscale_all(
    pairs: list[tuple[Path, Path]],
    options: Options,
    address: str,
    stats_json: Path | None,
    metrics: str | None,
    report: Report,
) -> int:
    """Upscale all pairs on the cluster; returns the exit status. Raises the error of a single one,
    and Cancelled."""
    record = Recorder()
    stdout = sys.stdout
    # Ray prints what goes wrong with nodes to standard output, dozens of lines each time; we say it
    # in one.
    with (
        stats_written(stats_json, record),
        contextlib.redirect_stdout(_Nowhere()),
        Job(options, record=record) as job,
        _Display(report, stdout) as display,
        metrics_shown(metrics, record, lambda: display.now),
    ):
        upscale_on_cluster(pairs, job, address, show=display)
    if len(pairs) == 1 and display.errors:
        raise display.errors[0]
    for error in display.errors:
        print(shown(line_of(error)), file=sys.stderr)
    if len(pairs) > 1:
        print(f"{len(pairs) - len(display.errors)} of {len(pairs)} files upscaled", file=sys.stderr)
    return 1 if display.errors else 0


class _Nowhere(io.TextIOBase):
    """Takes all text and keeps none; not a file, because Ray goes on holding it until the program
    ends."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


class _Display:
    """A bar for the whole job on a terminal, with rate, time left and workers; a line for each file
    elsewhere too."""

    def __init__(self, report: Report, stdout: TextIO) -> None:
        self._report, self._stdout = report, stdout
        self._stack = contextlib.ExitStack()
        self._show: Callable[[Progress], None] | None = None
        self._start = time.monotonic()
        self.now = self._most = Progress(0, 0, 0, 0)
        self.errors: list[Exception] = []

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._show = self._bar()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self._stack.close()
        if kind is None and self._most.frames:
            wall = time.monotonic() - self._start
            print(
                f"{self._most.frames} frames in {wall:.1f} s ({self._most.frames / wall:.1f} fps),"
                f" up to {_workers(self._most)}",
                file=sys.stderr,
            )

    def began(self, film: SegmentedFilm, upscaler: Upscaler) -> None:
        count = len(film.spans)
        line = (
            f"{film.source} -> {film.target}: {upscaler.model.name}, {count} "
            f"segment{'s' if count != 1 else ''}"
        )
        print(one_line(line), file=sys.stderr)

    def progress(self, progress: Progress) -> None:
        self.now, most = progress, self._most
        self._most = Progress(
            progress.frames,
            progress.total,
            max(progress.workers, most.workers),
            max(progress.nodes, most.nodes),
        )
        if self._show is not None:
            self._show(progress)

    def done(self, target: Path, frames: int, checks: "list[Check]") -> None:
        print(one_line(f"{target}: {frames} frame{'s' if frames != 1 else ''}"), file=sys.stderr)
        try:
            with contextlib.redirect_stdout(self._stdout):
                self._report(target, checks)
        except StreamsrError as error:
            self.errors.append(error)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)

    def _bar(self) -> Callable[[Progress], None]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        bar = Bar(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
        )
        self._stack.enter_context(bar)
        task = bar.add_task("starting", total=None, rate="")

        def show(progress: Progress) -> None:
            speed = bar.tasks[0].speed
            bar.update(
                task,
                completed=progress.frames,
                total=progress.total,
                rate=f"{speed:.1f} fps" if speed else "",
                description=_workers(progress),
            )

        return show


def _workers(progress: Progress) -> str:
    workers, nodes = progress.workers, progress.nodes
    return (
        f"{workers} worker{'s' if workers != 1 else ''} on {nodes} node{'s' if nodes != 1 else ''}"
    )
