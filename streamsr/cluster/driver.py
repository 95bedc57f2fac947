"""Films upscaled on a Ray cluster: the segments that ``--resume`` makes, made as Ray tasks, joined
here."""

import contextlib
import heapq
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from streamsr import interrupt
from streamsr.cluster.ray_client import Farm, Lost, Ref
from streamsr.cluster.schedule import AHEAD, Piece, memory_bytes, pieces, places, urgency
from streamsr.cluster.tasks import FilmWork, Order, film_work
from streamsr.errors import Cancelled, StreamsrError
from streamsr.jobs.files import Job
from streamsr.picture.files import is_image
from streamsr.segments.film import KEPT, SegmentedFilm
from streamsr.stats import Event
from streamsr.upscaler import Upscaler

if TYPE_CHECKING:
    from streamsr.audit.check import Check

log = logging.getLogger("streamsr")

ATTEMPTS = 8
"""A segment that lost so many workers is what kills them: memory, or a decoder that crashes."""

FILMS_OPEN = 64
"""Films in work at once: each holds a file open, and its segments wait on the disk for the last of
them."""

POLL_S = 0.25
NODES_S = 2.0
NOBODY_S = 60.0
"""So long without a single worker is worth a word."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the job is: frames done, of those in all films opened so far; segments being made;
    nodes."""

    frames: int
    total: int
    workers: int
    nodes: int


class Show(Protocol):
    """Where a job tells how it goes. Called by one thread."""

    def began(self, film: SegmentedFilm, upscaler: Upscaler) -> None:
        """A film's segments are in the queue."""

    def progress(self, progress: Progress) -> None:
        """Called a few times each second."""

    def done(self, target: Path, frames: int, checks: "list[Check]") -> None:
        """An output is complete, and this is what its audit found."""

    def failed(self, error: Exception) -> None:
        """One file could not be upscaled; the others go on."""


def upscale_on_cluster(
    pairs: Iterable[tuple[Path, Path]], job: Job, address: str, *, show: Show
) -> None:
    """Upscale each input into its output on the Ray cluster at ``address``; ``auto`` starts one on
    this machine.

    Ctrl-C once finishes the segments that are being worked on and raises Cancelled; twice raises it
    at once. Finished segments are kept, and the same run, here or with ``--resume`` on one machine,
    goes on with them. Raises StreamsrError when the cluster cannot be used; what is wrong with one
    file is told to ``show``.
    """
    with interrupt.interruptible() as asked:
        try:
            with _Run(job, Farm(address), show) as run:
                run.all(pairs, stop=asked)
        except KeyboardInterrupt:
            raise Cancelled(f"stopped at once; {KEPT}") from None


@dataclass
class _Film:
    """A film in work: how many of its segments are queued and flying, and how often each lost its
    worker."""

    film: SegmentedFilm
    work: Ref
    memory: int
    queued: int = 0
    flying: int = 0
    lost: dict[int, int] = field(default_factory=dict)
    error: StreamsrError | None = None
    joining: "Future[list[Check]] | None" = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """What became of an input: a film to be made, or, without one, a picture that is done."""

    target: Path
    film: tuple[SegmentedFilm, Upscaler, FilmWork | None] | None = None


class _Run:
    """The state of one job, owned by the thread that calls `all`."""

    def __init__(self, job: Job, farm: Farm, show: Show) -> None:
        self._job, self._farm, self._show = job, farm, show
        self._films: dict[int, _Film] = {}
        self._queue: list[tuple[tuple[int, int, int], Piece]] = []
        self._flying: dict[Ref, tuple[Piece, str]] = {}  # with the name of the order
        self._opening: tuple[int, Future[_Opened]] | None = None
        self._over: list[str] = []
        self._frames = self._total = self._made = self._segments = 0
        self._cores = job.options.threads or 1
        self._busy_s = time.monotonic()
        self._said_waiting = False
        self._asked_s = -NODES_S
        self._known_nodes: list[Mapping[str, float]] = []

    def __enter__(self) -> "_Run":
        with contextlib.ExitStack() as stack:
            # Opening and joining a film takes seconds, in which the workers need new segments: a
            # thread for each.
            self._opener = stack.enter_context(ThreadPoolExecutor(1, "streamsr-open"))
            self._joiner = stack.enter_context(ThreadPoolExecutor(1, "streamsr-join"))
            stack.enter_context(self._farm)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        for state in self._films.values():
            state.film.__exit__(None, None, None)

    def all(self, pairs: Iterable[tuple[Path, Path]], *, stop: Callable[[], bool]) -> None:
        coming: Iterator[tuple[int, tuple[Path, Path]]] = iter(enumerate(pairs))
        stopping = False
        while True:
            interrupt.check()
            if stop() and not stopping:
                stopping, coming = True, iter(())
                log.warning(
                    "finishing the segments that are being made; Ctrl-C again stops at once"
                )
                self._drop(lambda _: True)
            self._open(coming)
            self._send()
            self._collect(stopping)
            self._settle(stopping)
            if not (self._films or self._opening):
                break
            self._tell()
        if stopping:
            raise Cancelled(f"stopped; {self._made} of {self._segments} segments done, {KEPT}")

    def _open(self, coming: Iterator[tuple[int, tuple[Path, Path]]]) -> None:
        """Have the next input opened, and queue the segments of the one that is."""
        if self._opening is None and len(self._films) < FILMS_OPEN:
            for index, (source, target) in coming:
                self._opening = index, self._opener.submit(self._opened, source, target)
                break
        if self._opening is None or not self._opening[1].done():
            return
        index, future = self._opening
        self._opening = None
        try:
            opened = future.result()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, the others go on
            self._show.failed(error)
            return
        if opened.film is None:
            self._show.done(opened.target, 1, [])
            return
        film, upscaler, work = opened.film
        left = film.left
        if film.ledger.finished:
            log.warning(
                "%s: going on: %d of %d segments are finished",
                film.target,
                len(film.ledger.finished),
                len(film.spans),
            )
        self._show.began(film, upscaler)
        state = self._films[index] = _Film(
            film, None, memory_bytes(*film.size, film.encoding.codec), len(left)
        )
        if left and work is not None:
            if not self._farm.connected:
                self._farm.connect()
            state.work = self._farm.film(work)
        for piece in pieces(index, left, film.spans, film.info):
            heapq.heappush(self._queue, (urgency(piece), piece))
        self._segments += len(film.spans)
        self._made += len(film.spans) - len(left)
        self._total += film.frames_left or 0

    def _opened(self, source: Path, target: Path) -> _Opened:
        """In the opener's thread."""
        target = self._job.place(source, target)
        if is_image(source):
            self._job.run(source, target, begun=lambda _upscaler, _frames: None)
            return _Opened(target)
        film, upscaler = self._job.segmented(source, target)
        film.__enter__()
        try:
            return _Opened(
                target,
                (
                    film,
                    upscaler,
                    film_work(film, upscaler, self._job.options, cores=self._cores)
                    if film.spans
                    else None,
                ),
            )
        except BaseException:
            film.__exit__(None, None, None)
            raise

    def _send(self) -> None:
        """Keep so many segments under way that no worker waits for one."""
        if not self._queue:
            return
        nodes = self._nodes()
        largest = {
            name: max((node.get(name, 0) for node in nodes), default=0)
            for name in ("CPU", "memory")
        }
        while self._queue:
            _, piece = self._queue[0]
            state = self._films[piece.film]
            # What no node can give runs alone on the largest; nobody knows yet how large nodes to
            # come will be.
            cores = min(self._cores, int(largest["CPU"]) or self._cores)
            memory = min(state.memory, int(largest["memory"]) or state.memory)
            if len(self._flying) >= AHEAD * max(places(nodes, cores, memory), 1):
                return
            heapq.heappop(self._queue)
            name = f"{piece.number:06d}.{uuid.uuid4().hex}.made"
            order = Order(state.film.spans[piece.number], name)
            self._flying[self._farm.send(state.work, order, cores=cores, memory=memory)] = (
                piece,
                name,
            )
            state.queued, state.flying = state.queued - 1, state.flying + 1

    def _collect(self, stopping: bool) -> None:
        """Take what workers have answered, waiting a moment for it."""
        if not self._flying:
            waits: list[Future[Any]] = [
                state.joining for state in self._films.values() if state.joining
            ]
            wait(
                [*waits, self._opening[1]] if self._opening else waits,
                timeout=POLL_S,
                return_when=FIRST_COMPLETED,
            )
            return
        for ref in self._farm.answered(list(self._flying), timeout_s=POLL_S):
            piece, name = self._flying.pop(ref)
            self._over.append(name)
            state = self._films[piece.film]
            state.flying -= 1
            try:
                made = self._farm.answer(ref)
                frames = made.frames["out"]
                folder = state.film.ledger.folder
                state.film.finished(
                    piece.number, frames=frames, made=folder / name, blake2b=made.blake2b
                )
            except Lost as lost:
                self._again(state, piece, lost, stopping)
            except StreamsrError as error:
                self._fail(piece.film, error)
            else:
                self._job.record.add(made.frames, made.seconds, made.pixels)
                self._made += 1
                self._frames += frames

    def _again(self, state: _Film, piece: Piece, lost: Lost, stopping: bool) -> None:
        """Queue a segment whose worker is gone."""
        if stopping or state.error is not None:
            return
        times = state.lost[piece.number] = state.lost.get(piece.number, 0) + 1
        what = f"{state.film.target}: segment {piece.number + 1} of {len(state.film.spans)}"
        if times >= ATTEMPTS:
            self._fail(piece.film, StreamsrError(f"{what} lost its worker {times} times: {lost}"))
            return
        self._job.record.count(Event.RESTART)
        log.warning("%s again: %s", what, lost)
        state.queued += 1
        heapq.heappush(self._queue, (urgency(piece), piece))

    def _fail(self, index: int, error: StreamsrError) -> None:
        state = self._films[index]
        if state.error is None:
            state.error = type(error)(f"{state.film.target}: {error}; {KEPT}")
            self._drop(lambda piece: piece.film == index)

    def _drop(self, which: Callable[[Piece], bool]) -> None:
        """Begin no more of these segments."""
        for _, piece in self._queue:
            self._films[piece.film].queued -= which(piece)
        self._queue = [entry for entry in self._queue if not which(entry[1])]
        heapq.heapify(self._queue)
        begun = self._farm.begun(self._over) if self._flying else {}
        for ref, (piece, name) in self._flying.items():
            if which(piece) and name not in begun:
                self._farm.cancel(ref)

    def _settle(self, stopping: bool) -> None:
        """Join the films whose segments are all there, and be done with those that are joined or
        failed."""
        for index, state in list(self._films.items()):
            if state.queued or state.flying:
                continue
            if state.error is None and state.joining is None and not (stopping and state.film.left):
                state.joining = self._joiner.submit(self._joined, state.film)
            if state.joining is not None and not state.joining.done():
                continue
            del self._films[index]
            frames = state.film.frames_done
            state.film.__exit__(None, None, None)
            try:
                if state.error is not None:
                    raise state.error
                if state.joining is not None:
                    self._show.done(state.film.target, frames, state.joining.result())
            except Exception as error:  # noqa: BLE001 - as above
                self._show.failed(error)

    def _joined(self, film: SegmentedFilm) -> "list[Check]":
        """In the joiner's thread."""
        film.finish()
        return self._job.audit(film.source, film.target, begin=film.begin, end=film.end)

    def _nodes(self) -> list[Mapping[str, float]]:
        """The nodes that there are, asked for now and then."""
        if self._farm.connected and time.monotonic() - self._asked_s > NODES_S:
            self._asked_s, self._known_nodes = time.monotonic(), self._farm.nodes()
        return self._known_nodes

    def _tell(self) -> None:
        begun = self._farm.begun(self._over) if self._flying else {}
        self._over = []
        working = {name: begun[name] for _, name in self._flying.values() if name in begun}
        now = time.monotonic()
        if working or not self._flying:
            self._busy_s = now
        elif now - self._busy_s > NOBODY_S and not self._said_waiting:
            self._said_waiting = True
            log.warning(
                "waiting for workers: none has begun for %.0f s; `ray status` shows what is free",
                NOBODY_S,
            )
        frames = self._frames + sum(working.values())
        self._show.progress(
            Progress(frames, max(self._total, frames), len(working), len(self._nodes()))
        )
