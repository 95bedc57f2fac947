"""Progress of upscaling files: lines on standard error, and a bar on a terminal."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from streamsr.cli.errors import line_of, shown
from streamsr.errors import SinkError, StreamsrError, one_line
from streamsr.jobs.observer import Progress

if TYPE_CHECKING:
    from streamsr.audit.check import Check
    from streamsr.stats import Recorder
    from streamsr.upscaler import Upscaler


class Display:
    """Shows the progress of a job: see `streamsr.jobs.observer.Observer`. A context manager.

    Prints a line when a file begins and one when it ends; on a terminal there is a bar with rate
    and time left.

    files     their number; errors are printed as they come unless there is only one file
    together  all files are upscaled at once, on a cluster: one bar and one last line for all
    quiet     files are only checked: no bar, and no line at the end of a file
    tables    where audits go, by default standard output
    errors    those of the files that failed
    now       the last progress that was reported
    """

    def __init__(
        self,
        record: "Recorder",
        *,
        files: int = 1,
        together: bool = False,
        quiet: bool = False,
        tables: TextIO | None = None,
    ) -> None:
        self.errors: list[Exception] = []
        self.now = Progress(0, 0, 0, 0)
        self._record = record
        self._alone = files == 1
        self._together = together
        self._quiet = quiet
        self._tables = tables or sys.stdout  # as it was when this was made
        self._bar = contextlib.ExitStack()
        self._show: Callable[[Progress], None] | None = None
        self._start = self._before = record.snapshot()
        self._most = (0, 0)  # workers and nodes

    def __enter__(self) -> Self:
        if self._together:
            self._open_bar("starting", None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self._bar.close()
        if kind is None and self._together and self.now.frames:
            wall = self._record.snapshot().seconds["wall"] - self._start.seconds["wall"]
            frames = self.now.frames
            print(
                f"{frames} frames in {wall:.1f} s ({frames / wall:.1f} fps), up to "
                f"{_workers(*self._most)}",
                file=sys.stderr,
            )

    def began(
        self,
        source: Path,
        target: Path,
        upscaler: "Upscaler",
        *,
        frames: int | None,
        segments: int | None = None,
    ) -> None:
        how = described(upscaler, segments)
        print(one_line(f"{source} -> {target}: {how}"), file=sys.stderr)
        if not self._together:
            self._open_bar(target.name, frames)

    def progress(self, progress: Progress) -> None:
        self.now = progress
        workers, nodes = self._most
        self._most = max(progress.workers, workers), max(progress.nodes, nodes)
        if self._show is not None:
            self._show(progress)

    def done(self, target: Path, frames: int, checks: "list[Check]") -> None:
        line = f"{target}: {frames} frame{_s(frames)}"
        if not self._together:
            self._close_bar()
            now = self._record.snapshot()
            before = self._before
            self._before = now
            wall = now.seconds["wall"] - before.seconds["wall"]
            damaged = now.frames["damaged"] - before.frames["damaged"]
            note = f", {damaged} damaged and left out" if damaged else ""
            line += f" in {wall:.1f} s ({frames / wall:.1f} fps){note}"
        if not self._quiet:
            print(one_line(line), file=sys.stderr)
        try:
            print_audit(target, checks, self._tables)
        except StreamsrError as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        if not self._together:
            self._close_bar()
            self._before = self._record.snapshot()
        self.errors.append(error)
        if not self._alone:
            print(shown(line_of(error)), file=sys.stderr)

    def _close_bar(self) -> None:
        self._show = None
        self._bar.close()

    def _open_bar(self, description: str, total: int | None) -> None:
        if self._quiet or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bar.enter_context(bar)
        task = bar.add_task(description, total=total, rate="")

        def show(progress: Progress) -> None:
            speed = bar.tasks[0].speed
            bar.update(
                task,
                completed=progress.frames,
                total=progress.total,
                rate=f"{speed:.1f} fps" if speed else "",
                description=_workers(progress.workers, progress.nodes)
                if self._together
                else description,
            )

        self._show = show


def described(upscaler: "Upscaler", segments: int | None = None) -> str:
    """Name the network, the engine that runs it and the reasons for both; on a cluster the number
    of segments instead of the engine, which is its nodes'."""
    if segments is not None:
        return f"{upscaler.model.name}, {segments} segment{_s(segments)}{_chosen(upscaler)}"
    engine = upscaler.engine
    threads = f"{engine.threads} thread{_s(engine.threads)}"
    name = f"{upscaler.record.model} on {engine.name}"
    return f"{name}, {threads} ({upscaler.engine_reason}){_chosen(upscaler)}"


def _chosen(upscaler: "Upscaler") -> str:
    """What the first line says of a model and a quality that ``auto`` chose."""
    model = f"; model: {upscaler.model_reason}" if upscaler.model_reason else ""
    return model + (f"; quality: {upscaler.quality_reason}" if upscaler.quality_reason else "")


def print_audit(target: Path, checks: "list[Check]", file: TextIO) -> None:
    """Print what an audit found. Raises SinkError on a loss, and when it cannot be printed."""
    from streamsr.audit.check import lost, table

    try:
        for line in table(checks):
            print(line, file=file)
    except BrokenPipeError:  # its reader has seen enough; the exit status says the rest
        pass
    except OSError as error:
        raise SinkError(
            f"{target}: is complete, but its audit could not be printed: standard output: "
            f"{error.strerror}"
        ) from error
    if gone := lost(checks):
        raise SinkError(
            f"{target}: {len(gone)} of {len(checks)} checks failed: "
            f"{', '.join(c.what for c in gone)}"
        )


def _workers(workers: int, nodes: int) -> str:
    return f"{workers} worker{_s(workers)} on {nodes} node{_s(nodes)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
