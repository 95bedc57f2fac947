"""A watched folder: what has appeared in it and stopped growing becomes a job, once."""

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamsr.desk.places import is_film
from streamsr.desk.queue import Job, Stamp, State
from streamsr.desk.runner import Runner, content_of, stamp_of
from streamsr.errors import SinkError, SourceError, StreamsrError, one_line, reason_of
from streamsr.jobs.outputs import output_name
from xlsr_model.files import is_unfinished
from xlsr_model.system import is_written

log = logging.getLogger("streamsr")

STILL_S = 4.0
"""How long a file must not have changed: a copy over a slow network pauses for a second or two."""

LOOKS_S = 1.0
"""Time between two looks while a file may still grow."""

RESTS_S = 5.0
"""Time between two looks where nothing is reported: network file systems report nothing, and what
comes while the program starts may be missed. A thousand names take a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A file as it was seen, and since when it has looked so."""

    stamp: Stamp
    since_s: float


def looked(
    before: Mapping[str, Sight], now: Mapping[str, Stamp], now_s: float
) -> tuple[dict[str, Sight], list[str]]:
    """What is known after another look, and the names that have not changed for STILL_S."""
    sights = {}
    for name, stamp in now.items():
        old = before.get(name)
        sights[name] = old if old is not None and old.stamp == stamp else Sight(stamp, now_s)
    still = [name for name, sight in sights.items() if now_s - sight.since_s >= STILL_S]
    return sights, sorted(still)


def stamps(folder: Path) -> dict[str, Stamp]:
    """Films and pictures directly in a folder: no links, nothing hidden or empty. Raises
    OSError."""
    found = {}
    with os.scandir(folder) as scan:
        for item in scan:
            if item.name.startswith(".") or is_unfinished(item.name) or not is_film(Path(item)):
                continue
            with contextlib.suppress(OSError):  # it has vanished
                status = item.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_size:
                    found[item.name] = stamp_of(status)
    return found


class Watcher:
    """Looks into a folder and offers its files to a queue.

    output   gives the output for a source
    options  of each job
    said     takes a line for what cannot be done

    Making one raises SourceError for what is no folder.
    """

    def __init__(
        self,
        folder: Path,
        runner: Runner,
        *,
        output: Callable[[Path], Path],
        options: tuple[str, ...] = (),
        said: Callable[[str], None] = lambda _line: None,
    ) -> None:
        try:
            self.folder = folder.resolve(strict=True)
            os.listdir(self.folder)
        except (OSError, RuntimeError, ValueError) as error:
            raise SourceError(f"{folder}: {reason_of(error)}") from error
        self._runner = runner
        self._output = output
        self._options = options
        self._said = said
        self._sights: dict[str, Sight] = {}
        self._refused: dict[str, Stamp] = {}
        self._gone = False

    async def run(self) -> None:
        """Look whenever something happens in the folder, and while a file may still grow."""
        clock = asyncio.get_running_loop().time
        reports = _reports(self.folder)
        async with contextlib.aclosing(reports):
            report = asyncio.ensure_future(anext(reports))
            try:
                while True:
                    waits = await self.look(clock())
                    wait_s = LOOKS_S if waits else RESTS_S
                    done, _ = await asyncio.wait([report], timeout=wait_s)
                    if done:
                        report = asyncio.ensure_future(anext(reports))
            finally:
                report.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await report

    async def look(self, now_s: float) -> bool:
        """Look once; whether another look is needed although nothing is reported."""
        try:
            now = await asyncio.to_thread(stamps, self.folder)
        except OSError as error:
            if not self._gone:
                self._said(one_line(f"streamsr: {self.folder}: {reason_of(error)}"))
            self._gone = True
            return True
        self._gone = False
        self._sights, still = looked(self._sights, now, now_s)
        waits = len(still) < len(now)
        jobs = {job.source: job for job in self._runner.jobs}
        for name in still:
            path = self.folder / name
            if not await self._offered(path, now[name], jobs.get(str(path))):
                waits = True
        return waits

    async def _offered(self, path: Path, stamp: Stamp, job: Job | None) -> bool:
        """See that a file that does not change has its job; False when it must be looked at
        again."""
        if self._refused.get(path.name) == stamp:
            return True
        if job is not None and job.watched == stamp and not self._is_due(job):
            return True
        if job is not None and job.state is State.RUNNING:
            return False
        if await asyncio.to_thread(is_written, path):
            return False
        try:
            if job is None:
                output = await asyncio.to_thread(self._output, path)
                self._check_free(output)
                self._runner.add(path, output, self._options, watched=stamp)
            else:
                done = job.state is State.DONE and not _is_missing(job)
                content = await asyncio.to_thread(content_of, path, stamp) if done else ""
                same = bool(content) and content == job.content
                self._runner.found_again(job.number, stamp, options=self._options, same=same)
        except (StreamsrError, KeyError) as error:
            if isinstance(error, SourceError):
                self._refused[path.name] = stamp
            self._said(one_line(f"streamsr: {error}"))
            return isinstance(error, SourceError)
        return True

    def _is_due(self, job: Job) -> bool:
        """Whether a file that has not changed is to be done all the same: its output is there no
        more, or what was not done was begun with other options."""
        done = job.state in (State.DONE, State.CANCELLED)
        return _is_missing(job) or (not done and job.options != self._options)

    def _check_free(self, output: Path) -> None:
        if any(job.output == str(output) for job in self._runner.jobs):
            raise SourceError(f"{output}: is already the output of another input")


def _is_missing(job: Job) -> bool:
    """Whether a finished job's output is there no more."""
    return job.state is State.DONE and not os.path.lexists(job.output)


def into(folder: Path) -> Callable[[Path], Path]:
    """Outputs in a folder, with their inputs' names where possible."""
    return lambda source: folder / output_name(source)


async def _reports(folder: Path) -> AsyncGenerator[None]:
    """Say when something has happened in the folder. It may say nothing for ever: a folder that was
    taken away is looked at by the clock."""
    from watchfiles import awatch

    while True:
        try:
            async for _ in awatch(folder, watch_filter=None, recursive=False, step=100):
                yield
        except (OSError, RuntimeError):
            await asyncio.sleep(RESTS_S)


def check_apart(source: Path, output: Path) -> None:
    """Raise SinkError when a watched folder would get its own outputs."""
    if os.path.realpath(source) == os.path.realpath(output):
        raise SinkError(f"{output}: is the watched folder itself; outputs would be done again")
