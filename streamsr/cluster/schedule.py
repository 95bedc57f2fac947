"""The order of a cluster's segments, and what one needs of a node: functions of numbers, without
Ray."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor, log2

from streamsr.frame import Span, StreamInfo
from streamsr.options import Encoding

AHEAD = 2
"""Segments sent for each one that the cluster can work on at once: the next one waits at its
worker, and no more than that."""

DEFAULT_RATE = 25
"""Frames a second of a film that does not say; only the order of work depends on it."""

PROCESS_BYTES = 200 << 20
PICTURE_BYTES = {"h264": 300, "hevc": 300, "av1": 500, "ffv1": 100}
"""Memory of a segment's worker: so many bytes, and so many for each pixel of the output. A little
above the peaks measured at the slowest presets in use (docs/scaling.md); encoders keep up to 60
pictures to look ahead."""


@dataclass(frozen=True, slots=True)
class PendingSegment:
    """A segment to be made: the number of its film, its own number in it, and its cost in pixels of
    input."""

    film: int
    number: int
    cost: float


def pending_segments(
    film: int, numbers: Iterable[int], spans: list[Span], info: StreamInfo
) -> list[PendingSegment]:
    """The segments of a film with their costs: length times rate times area."""
    rate = info.rate or Fraction(DEFAULT_RATE)
    length = None if info.frames is None else info.frames / rate
    known = [
        span.end - span.begin for span in spans if span.begin is not None and span.end is not None
    ]
    typical = max(known, default=Fraction(10))

    def seconds(number: int) -> Fraction:
        begin, end = spans[number].begin, spans[number].end
        if begin is not None and end is not None:
            return end - begin
        if length is None:
            return typical
        # The first begins, and the last ends, where the film does: what the others leave of it.
        open_ended = 2 if len(spans) > 1 else 1
        return max((length - sum(known, Fraction(0))) / open_ended, Fraction(1))

    return [
        PendingSegment(film, number, float(seconds(number) * rate) * info.width * info.height)
        for number in numbers
    ]


def urgency(segment: PendingSegment) -> tuple[int, int, int]:
    """Sort key: the longest first, to a factor of two; among these film by film, in order.

    A long segment begun last would keep one worker busy while all others have nothing to do.
    Sorting by the exact length would mix all films: none would be finished, and its segments
    cleared away, before the end.
    """
    return -floor(log2(max(segment.cost, 1.0))), segment.film, segment.number


def memory_bytes(width: int, height: int, encoding: Encoding) -> int:
    """Upper bound of a worker's memory for a segment of this output size. An encoder that was not
    measured is taken for the largest."""
    picture = PICTURE_BYTES[encoding.codec]
    if encoding.encoder is not None:
        picture = max(PICTURE_BYTES.values())
    return PROCESS_BYTES + picture * width * height


def places(nodes: Iterable[Mapping[str, float]], cores: int, memory: int) -> int:
    """How many segments these nodes, given by their resources, can work on at once."""
    return sum(
        int(min(node.get("CPU", 0) // cores, max(node.get("memory", 0) // memory, 1)))
        for node in nodes
    )
