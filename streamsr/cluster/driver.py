"""``--cluster``: upscale films on a Ray cluster. The segments of ``--resume`` are Ray tasks, joined
here."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamsr import interrupt
from streamsr.cluster.films import ClusterFilm, Opener
from streamsr.cluster.ray_client import RayCluster, Ref, WorkerLost
from streamsr.cluster.schedule import AHEAD, PendingSegment, pending_segments, places
from streamsr.cluster.tasks import SegmentResult, SegmentTask
from streamsr.cluster.work_queue import ATTEMPTS, WorkQueue
from streamsr.errors import Cancelled, StreamsrError
from streamsr.jobs.files import FileJob
from streamsr.jobs.observer import Observer, Progress
from streamsr.segments.film import KEPT, SegmentedJob
from streamsr.stats import Event

if TYPE_CHECKING:
    from streamsr.audit.check import Check

log = logging.getLogger("streamsr")

FILMS_OPEN = 64
"""Films in work at once: each holds a file open, and its segments wait on the disk for the last of
them."""

POLL_S = 0.25
NOBODY_S = 60.0
"""After so long without a single worker a line says so."""


def upscale_on_cluster(
    pairs: Iterable[tuple[Path, Path]], job: FileJob, address: str, *, observer: Observer
) -> None:
    """Upscale each input into its output on the Ray cluster at ``address``; ``auto`` starts one on
    this machine.

    Ctrl-C once finishes the segments that are being worked on and raises Cancelled; twice raises it
    at once. Finished segments are kept, and the same run, here or with ``--resume`` on one machine,
    goes on with them. Raises StreamsrError when the cluster cannot be used; what is wrong with one
    file is told to the observer.
    """
    with interrupt.interruptible() as stop:
        try:
            with _Driver(job, RayCluster(address), observer) as driver:
                driver.run(pairs, stop=stop)
        except KeyboardInterrupt:
            raise Cancelled(f"stopped at once; {KEPT}") from None


class _Driver:
    """The state of one run, owned by the thread that calls `run`."""

    def __init__(self, job: FileJob, cluster: RayCluster, observer: Observer) -> None:
        self._job = job
        self._cluster = cluster
        self._observer = observer
        self._cores = job.options.choice.threads or 1
        self._queue = WorkQueue()
        self._films: dict[int, ClusterFilm] = {}
        self._tasks: dict[Ref, str] = {}  # names of the running attempts
        self._opener = Opener(job, cores=self._cores)
        self._over: list[str] = []
        self._frames = 0
        self._total = 0
        self._left_over = False
        self._made = 0
        self._segments = 0
        self._busy_s = time.monotonic()
        self._said_waiting = False

    def __enter__(self) -> "_Driver":
        with ExitStack() as stack:
            stack.enter_context(self._opener)
            # Joining takes seconds too.
            self._joiner = stack.enter_context(ThreadPoolExecutor(1, "streamsr-join"))
            stack.enter_context(self._cluster)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        for film in self._films.values():
            film.closing.close()

    def run(self, pairs: Iterable[tuple[Path, Path]], *, stop: Callable[[], bool]) -> None:
        """Upscale all pairs. Raises Cancelled once ``stop`` and all running segments are done,
        unless they were the last ones."""
        coming: Iterator[tuple[int, tuple[Path, Path]]] = iter(enumerate(pairs))
        stopping = False
        while True:
            interrupt.check()
            if stop() and not stopping:
                stopping = True
                self._left_over = next(coming, None) is not None
                coming = iter(())
                log.warning(
                    "finishing the segments that are being made; Ctrl-C again stops at once"
                )
                self._cancel(self._queue.drop())
            self._open(coming)
            self._send()
            self._collect(stopping)
            self._settle(stopping)
            if not (self._films or self._opener.opening):
                break
            self._tell()
        if self._left_over:
            raise Cancelled(f"stopped; {self._made} of {self._segments} segments done, {KEPT}")

    def _open(self, coming: Iterator[tuple[int, tuple[Path, Path]]]) -> None:
        """Have the next input opened, and queue the segments of the one that is."""
        if len(self._films) < FILMS_OPEN:
            self._opener.start(coming)
        try:
            taken = self._opener.take()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, the others go on
            self._observer.failed(error)
            return
        if taken is None:
            return
        index, opened = taken
        if opened.film is None:
            self._observer.done(opened.target, 1, [])
        else:
            self._begin(index, opened.film)

    def _begin(self, index: int, film: ClusterFilm) -> None:
        """Queue the segments of a film that are not finished."""
        segmented = film.segmented
        count = len(segmented.spans)
        left = segmented.left
        if finished := segmented.ledger.finished:
            log.warning(
                "%s: going on: %d of %d segments are finished",
                segmented.target,
                len(finished),
                count,
            )
        self._observer.began(
            segmented.work.source,
            segmented.target,
            film.upscaler,
            frames=segmented.frames_left,
            segments=count,
        )
        self._films[index] = film
        if left and film.remote is not None:
            if not self._cluster.connected:
                self._cluster.connect()
            film.ref = self._cluster.put(film.remote)
        self._queue.add(pending_segments(index, left, segmented.spans, segmented.work.info))
        self._segments += count
        self._made += count - len(left)
        self._total += segmented.frames_left or 0

    def _send(self) -> None:
        """Keep so many segments under way that no worker waits for one."""
        if self._queue.next is None:
            return
        nodes = self._cluster.nodes()
        largest = {
            name: max((node.get(name, 0) for node in nodes), default=0)
            for name in ("CPU", "memory")
        }
        while (segment := self._queue.next) is not None:
            film = self._films[segment.film]
            # What no node can give runs alone on the largest; nobody knows yet how large nodes to
            # come will be.
            cores = min(self._cores, int(largest["CPU"]) or self._cores)
            memory = min(film.memory, int(largest["memory"]) or film.memory)
            if len(self._queue.running) >= AHEAD * max(places(nodes, cores, memory), 1):
                return
            name = self._queue.start()
            task = SegmentTask(film.segmented.spans[segment.number], name)
            self._tasks[self._cluster.send(film.ref, task, cores=cores, memory=memory)] = name

    def _collect(self, stopping: bool) -> None:
        """Take the results that workers have sent, waiting a moment for them."""
        if not self._tasks:
            waits: list[Future[Any]] = [f.joining for f in self._films.values() if f.joining]
            if self._opener.opening is not None:
                waits.append(self._opener.opening)
            wait(waits, timeout=POLL_S, return_when=FIRST_COMPLETED)
            return
        for ref in self._cluster.answered(list(self._tasks), timeout_s=POLL_S):
            name = self._tasks.pop(ref)
            self._over.append(name)
            segment = self._queue.end(name)
            try:
                self._finished(segment, name, self._cluster.answer(ref))
            except WorkerLost as lost:
                if not stopping:
                    self._retry(segment, lost)
            except StreamsrError as error:
                self._fail(segment.film, error)

    def _finished(self, segment: PendingSegment, name: str, result: SegmentResult) -> None:
        """Record a segment that a worker has made. Raises StreamsrError when its file is damaged
        or the input was changed."""
        frames = result.frames["out"]
        segmented = self._films[segment.film].segmented
        segmented.finished(
            segment.number,
            frames=frames,
            made=segmented.ledger.folder / name,
            blake2b=result.blake2b,
        )
        self._job.record.add(result.frames, result.seconds, result.pixels)
        self._made += 1
        self._frames += frames

    def _retry(self, segment: PendingSegment, lost: WorkerLost) -> None:
        """Queue a segment whose worker is gone, unless its film has failed."""
        film = self._films[segment.film]
        if film.error is not None:
            return
        segmented = film.segmented
        what = f"{segmented.target}: segment {segment.number + 1} of {len(segmented.spans)}"
        if self._queue.retry(segment):
            self._job.record.count(Event.RESTART)
            log.warning("%s again: %s", what, lost)
        else:
            error = StreamsrError(f"{what} lost its worker {ATTEMPTS} times: {lost}")
            self._fail(segment.film, error)

    def _fail(self, index: int, error: StreamsrError) -> None:
        """Give up a film; its finished segments are kept."""
        film = self._films[index]
        if film.error is None:
            film.error = type(error)(f"{film.segmented.target}: {error}; {KEPT}")
            self._cancel(self._queue.drop(index))

    def _cancel(self, names: Sequence[str]) -> None:
        """Have those of the running attempts that have not begun yet not begin."""
        begun = self._progress()
        for ref, name in self._tasks.items():
            if name in names and name not in begun:
                self._cluster.cancel(ref)

    def _settle(self, stopping: bool) -> None:
        """Join the films whose segments are all there, and be done with those that are joined or
        failed."""
        for index, film in list(self._films.items()):
            if self._queue.left(index):
                continue
            segmented = film.segmented
            stopped = stopping and segmented.left
            if film.error is None and film.joining is None and not stopped:
                film.joining = self._joiner.submit(self._joined, segmented)
            if film.joining is not None and not film.joining.done():
                continue
            del self._films[index]
            self._left_over |= bool(stopped)
            frames = segmented.frames_done
            film.closing.close()
            try:
                if film.error is not None:
                    raise film.error
                if film.joining is not None:
                    self._observer.done(segmented.target, frames, film.joining.result())
            except Exception as error:  # noqa: BLE001 - as above
                self._observer.failed(error)

    def _joined(self, segmented: SegmentedJob) -> "list[Check]":
        """In the joiner's thread."""
        segmented.finish()
        return self._job.audit(
            segmented.work.source, segmented.target, begin=segmented.begin, end=segmented.end
        )

    def _progress(self) -> dict[str, int]:
        """Frames done of each running attempt that has begun, by name."""
        if not self._tasks:
            return {}
        begun = self._cluster.begun(self._over)
        return {name: frames for name, frames in begun.items() if name in self._queue.running}

    def _tell(self) -> None:
        """Report the progress, and once that nobody works."""
        working = self._progress()
        self._over = []
        now = time.monotonic()
        if working or not self._tasks:
            self._busy_s = now
        elif now - self._busy_s > NOBODY_S and not self._said_waiting:
            self._said_waiting = True
            log.warning(
                "waiting for workers: none has begun for %.0f s; `ray status` shows what is free",
                NOBODY_S,
            )
        frames = self._frames + sum(working.values())
        self._observer.progress(
            Progress(frames, max(self._total, frames), len(working), len(self._cluster.nodes()))
        )
