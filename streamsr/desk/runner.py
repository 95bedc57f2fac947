"""Works through the queue, one job after the other, and keeps it on the disk.

All of it belongs to one event loop. What users ask for changes a job's state at once; the runner
sees to what follows from it.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamsr.desk import queue
from streamsr.desk.child import STREAMSR, Ended, command, followed, stopped
from streamsr.desk.queue import Job, Jobs, Stamp, State
from streamsr.desk.store import Store
from streamsr.errors import SinkError, SourceError, StreamsrError, one_line
from streamsr.segments.ledger import Ledger
from streamsr.segments.settings import input_identity
from xlsr_model.inputs import Input

log = logging.getLogger("streamsr")

LOOKS_AGAIN_S = 0.2
"""Wait for the process of an earlier program, which ends at its next frame."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the job that runs: frames upscaled since it was begun or went on, and the time that this
    took."""

    number: int
    frames: int = 0
    seconds: float = 0.0

    @property
    def fps(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


class Runner:
    """The queue and who works through it.

    store    is entered, and has the queue
    allowed  raises a StreamsrError for a job that may not be begun; asked each time
    said     takes each line that the command says
    program  is run with the words of ``upscale``

    What changes the queue raises KeyError for a job that there is not, ValueError for one whose
    state does not allow it, and SinkError when the disk does not take the queue, which then is as
    it was.
    """

    def __init__(
        self,
        store: Store,
        *,
        allowed: Callable[[Job], None] = lambda _job: None,
        said: Callable[[str], None] = lambda _line: None,
        program: Sequence[str] = STREAMSR,
    ) -> None:
        self._store = store
        self._allowed = allowed
        self._said = said
        self._program = program
        jobs, self._next = store.read()
        self.jobs: Jobs = queue.after_restart(jobs)
        self.progress: Progress | None = None
        self.trouble = ""
        self._wake = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._halting: asyncio.Task[None] | None = None
        self._leaving: Job | None = None  # taken out while it is worked on
        store.sweep(self.jobs)

    async def run(self) -> None:
        """Work until this is cancelled; what runs then goes on at the next start."""
        while True:
            job = queue.next_to_run(self.jobs)
            if job is None:
                self._wake.clear()
                await self._wake.wait()
            else:
                await self._work(job.number)

    def job(self, number: int) -> Job:
        """The job of this number."""
        job = queue.found(self.jobs, number)
        if job is None:
            raise KeyError(number)
        return job

    def add(
        self,
        source: Path,
        output: Path,
        options: tuple[str, ...] = (),
        *,
        ours: bool = False,
        watched: Stamp | None = None,
    ) -> Job:
        """Put a file at the end of the queue."""
        job = Job(
            number=self._next,
            source=str(source),
            output=str(output),
            options=options,
            ours=ours,
            watched=watched,
        )
        self._keep((*self.jobs, job), self._next + 1)
        return job

    def pause(self, number: int) -> None:
        """Stop a job, or do not begin it; what is finished is kept."""
        self._change(number, queue.paused)
        self._halt(number)

    def go_on(self, number: int, *, anew: bool = False) -> None:
        """Let a job that was paused, or failed, wait for its turn; ``anew`` drops what an earlier
        run has finished."""
        change = queue.anew if anew else queue.waiting
        change(self.job(number))
        if anew:
            Ledger.discard(Path(self.job(number).output))
        self._change(number, change)

    def move(self, number: int, place: int) -> None:
        """Give a job another place among those to do, from 0."""
        self.job(number)
        self._keep(queue.moved(self.jobs, number, place))

    def remove(self, number: int) -> None:
        """Take a job out of the queue, with its unfinished work. A finished output stays."""
        job = self.job(number)
        if job.watched is None:
            self._keep(queue.without(self.jobs, number))
        else:  # it would come back
            self._change(number, lambda job: replace(job, state=State.CANCELLED))
        if self._works_on(number):
            self._leaving = job
            self._halt(number)
        else:
            self._drop(job)

    def found_again(
        self, number: int, stamp: Stamp, *, options: tuple[str, ...], same: bool
    ) -> None:
        """The file of a job in a watched folder has changed, or the options: it is upscaled anew,
        unless its content is the ``same``."""
        if not same:
            Ledger.discard(Path(self.job(number).output))

        def change(job: Job) -> Job:
            if same:
                return replace(job, watched=stamp)
            return replace(queue.from_start(job), watched=stamp, options=options)

        self._change(number, change)

    def _change(self, number: int, change: Callable[[Job], Job]) -> None:
        self.job(number)
        self._keep(queue.changed(self.jobs, number, change))

    def _keep(self, jobs: Jobs, next_number: int | None = None) -> None:
        next_number = next_number or self._next
        self._store.write(jobs, next_number)
        self.jobs, self._next, self.trouble = jobs, next_number, ""
        self._wake.set()

    def _note(self, number: int, **what: Any) -> None:  # Any: fields of a job
        """Change a job by what happened to it. A disk that does not take it holds nothing up: it is
        said, and kept at the next change."""
        jobs = queue.changed(self.jobs, number, lambda job: replace(job, **what))
        try:
            self._keep(jobs)
        except SinkError as error:
            self.jobs = jobs
            if not self.trouble:
                log.warning("%s", error)
            self.trouble = str(error)

    def _works_on(self, number: int) -> bool:
        return self.progress is not None and self.progress.number == number

    def _halt(self, number: int) -> None:
        if self._process is not None and self._works_on(number):
            self._halting = asyncio.create_task(stopped(self._process))

    def _drop(self, job: Job) -> None:
        """Remove what a job leaves that is no longer wanted."""
        try:
            Ledger.discard(Path(job.output))
        except SinkError as error:
            log.warning("%s", error)
        if job.ours:
            self._store.forget(Path(job.source))

    def _is_running(self, number: int) -> bool:
        job = queue.found(self.jobs, number)
        return job is not None and job.state is State.RUNNING

    async def _work(self, number: int) -> None:
        job = self.job(number)
        output = Path(job.output)
        begun = Ledger.begun(output)
        there = os.path.lexists(output)
        if job.fresh and there and not begun:
            # An earlier program was killed between the end of the work and knowing of it.
            await self._ended(job, Ended())
            return
        self._note(number, state=State.RUNNING, fresh=job.fresh or not (begun or there), error="")
        self.progress = Progress(number)
        try:
            ended = await self._run(job)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one job, the others go on
            known = isinstance(error, StreamsrError | OSError)
            said = str(error) if known else f"internal error: {type(error).__name__}: {error}"
            ended = Ended(error=one_line(f"streamsr: {said}"))
            self._said(ended.error)
        finally:
            self._process = None
        await self._ended(job, ended)
        self.progress = None

    async def _run(self, job: Job) -> Ended:
        """Run the command for a job, unless it is no longer wanted."""
        self._allowed(job)
        async with AsyncExitStack() as stack:
            while (lock := self._store.work_lock()) is None:
                await asyncio.sleep(LOOKS_AGAIN_S)
                if not self._is_running(job.number):
                    return Ended(error="streamsr: stopped")
            try:
                words = ("upscale", job.source, "-o", job.output, "--resume", "--progress-json")
                process = await stack.enter_async_context(
                    command((*words, *job.options), program=self._program, inherited=[lock])
                )
            finally:
                os.close(lock)
            self._process = process
            if not self._is_running(job.number):  # asked for while it was started
                return Ended(error="streamsr: stopped")
            ended = await followed(
                process, told=lambda line: self._told(job.number, line), said=self._said
            )
        if ended.error and ended.error not in ended.said and self._is_running(job.number):
            self._said(ended.error)
        return ended

    def _told(self, number: int, line: dict[str, Any]) -> None:  # Any: JSON
        """Take a line of ``--progress-json``."""
        job = queue.found(self.jobs, number)
        if job is None:
            return
        with suppress(KeyError, TypeError, ValueError):
            if "began" in line:
                about = line["began"]
                left = about["frames"]
                total = None if left is None else max(job.total or 0, int(left))
                done = 0 if total is None else total - int(left)
                output = os.path.abspath(about["output"])
                self._note(number, how=str(about["how"]), output=output, total=total, done=done)
            elif "progress" in line:
                about = line["progress"]
                self.progress = Progress(number, int(about["frames"]), float(about["seconds"]))

    async def _ended(self, before: Job, ended: Ended) -> None:
        """See to what follows from the end of a job's process."""
        number = before.number
        job = queue.found(self.jobs, number)
        frames = self.progress.frames if self.progress else 0
        if job is None or job.state is State.CANCELLED:  # taken out meanwhile
            self._drop(self._leaving or before)
            self._leaving = None
        elif not ended.error:
            content = ""
            if job.watched is not None:
                content = await asyncio.to_thread(content_of, Path(job.source), job.watched)
            done = job.total if job.total is not None else frames
            self._note(
                number,
                state=State.DONE,
                fresh=False,
                done=done,
                total=done,
                content=content,
                said=tuple(ended.said),
            )
        elif job.state is State.RUNNING:
            self._note(
                number,
                state=State.FAILED,
                fresh=False,
                done=job.done + frames,
                error=ended.error,
                said=tuple(ended.said),
            )
        else:  # paused, perhaps asked to go on again
            self._note(number, fresh=False, done=job.done + frames)


def content_of(path: Path, stamp: Stamp | None = None) -> str:
    """What is in a file, as a ledger says it; empty when it cannot be read, or does not look like
    ``stamp`` any more."""
    try:
        with Input(path) as file:
            if stamp is not None and stamp_of(os.fstat(file.fd)) != stamp:
                return ""
            return str(input_identity(file)["blake2b"])
    except (OSError, SourceError):
        return ""


def stamp_of(status: os.stat_result) -> Stamp:
    """How a file looks."""
    return Stamp(status.st_size, status.st_mtime_ns)
