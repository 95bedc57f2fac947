"""The films that a cluster upscales: opened one ahead, each with its segments and its ledger."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamsr.cluster.ray_client import Ref
from streamsr.cluster.schedule import memory_bytes
from streamsr.cluster.tasks import RemoteWork, remote_work
from streamsr.errors import StreamsrError
from streamsr.jobs.files import FileJob
from streamsr.jobs.observer import Unobserved
from streamsr.picture.files import is_image, is_picture
from streamsr.segments.film import SegmentedJob
from streamsr.upscaler import Upscaler

if TYPE_CHECKING:
    from streamsr.audit.check import Check


@dataclass
class ClusterFilm:
    """A film in work. For the driver's thread, once it is opened.

    segmented  entered; ``closing`` leaves it
    remote     what its nodes need, None when no segment is left to make; ``ref`` is Ray's
               reference to it
    memory     bytes that a segment needs
    error      why the film is given up
    joining    the segments being joined; its result is what the audit found
    """

    segmented: SegmentedJob
    upscaler: Upscaler
    remote: RemoteWork | None
    closing: ExitStack
    ref: Ref = None
    error: StreamsrError | None = None
    joining: "Future[list[Check]] | None" = None

    @property
    def memory(self) -> int:
        return memory_bytes(*self.segmented.work.size, self.segmented.work.encoding)


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of an input: a film to be made, or, without one, a picture that is done."""

    target: Path
    film: ClusterFilm | None = None


class Opener:
    """Opens one input ahead in a thread of its own: that takes seconds, in which the workers need
    new segments. A context manager, for one thread.

    cores  of a worker
    """

    def __init__(self, job: FileJob, *, cores: int) -> None:
        self._job = job
        self._cores = cores
        self._pool = ThreadPoolExecutor(1, "streamsr-open")
        self._index = 0
        self.opening: Future[Opened] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
        opening = self.opening
        if opening is not None and opening.exception() is None and (film := opening.result().film):
            film.closing.close()

    def start(self, coming: Iterator[tuple[int, tuple[Path, Path]]]) -> None:
        """Begin to open the next input, unless one is being opened."""
        if self.opening is None and (following := next(coming, None)) is not None:
            self._index, (source, target) = following
            self.opening = self._pool.submit(self._open, source, target)

    def take(self) -> tuple[int, Opened] | None:
        """The number of the input that has been opened, and what became of it; None when none has.
        Raises what is wrong with it."""
        opening = self.opening
        if opening is None or not opening.done():
            return None
        self.opening = None
        return self._index, opening.result()

    def _open(self, source: Path, target: Path) -> Opened:
        target = self._job.output_for(source, target)
        if is_picture(source) or is_image(target):
            self._job.run(source, target, observer=Unobserved())
            return Opened(target)
        segmented, upscaler = self._job.segmented(source, target)
        with ExitStack() as stack:
            stack.enter_context(segmented)
            remote = None
            if segmented.spans:
                remote = remote_work(segmented, upscaler, self._job.options, cores=self._cores)
            return Opened(target, ClusterFilm(segmented, upscaler, remote, stack.pop_all()))
