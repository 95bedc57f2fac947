"""The queue of a cluster's segments: waiting, running, and lost with their workers."""

import heapq
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping

from streamsr.cluster.schedule import PendingSegment, urgency

ATTEMPTS = 8
"""A segment that lost this many workers kills them itself: by its memory, or a crashing decoder."""


class WorkQueue:
    """Segments that wait and segments that are being made. For one thread; knows no clock and no
    workers.

    Each attempt at a segment has a name of its own, which is that of the file it makes.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple[int, int, int], PendingSegment]] = []
        self._running: dict[str, PendingSegment] = {}
        self._left: Counter[int] = Counter()
        self._lost: Counter[tuple[int, int]] = Counter()

    @property
    def running(self) -> Mapping[str, PendingSegment]:
        """The attempts that are neither finished nor lost, by name."""
        return self._running

    @property
    def next(self) -> PendingSegment | None:
        """The most urgent of the segments that wait."""
        return self._waiting[0][1] if self._waiting else None

    def left(self, film: int) -> int:
        """How many segments of a film wait or are being made."""
        return self._left[film]

    def add(self, segments: Iterable[PendingSegment]) -> None:
        for segment in segments:
            heapq.heappush(self._waiting, (urgency(segment), segment))
            self._left[segment.film] += 1

    def start(self) -> str:
        """Begin an attempt at the next segment; return the attempt's name. Raises IndexError when
        none waits."""
        _, segment = heapq.heappop(self._waiting)
        name = f"{segment.number:06d}.{uuid.uuid4().hex}.made"
        self._running[name] = segment
        return name

    def end(self, name: str) -> PendingSegment:
        """An attempt is over, whatever became of it."""
        segment = self._running.pop(name)
        self._left[segment.film] -= 1
        return segment

    def retry(self, segment: PendingSegment) -> bool:
        """Have a segment whose attempt lost its worker wait again; False, and it does not, after
        ATTEMPTS."""
        key = segment.film, segment.number
        self._lost[key] += 1
        if self._lost[key] >= ATTEMPTS:
            return False
        self.add([segment])
        return True

    def drop(self, film: int | None = None) -> list[str]:
        """Let no segment of this film, or of any, wait any more; return the names of the attempts
        at them that are running."""
        dropped = [s for _, s in self._waiting if film in (None, s.film)]
        self._left.subtract(segment.film for segment in dropped)
        self._waiting = [] if film is None else [e for e in self._waiting if e[1].film != film]
        heapq.heapify(self._waiting)
        return [name for name, segment in self._running.items() if film in (None, segment.film)]
