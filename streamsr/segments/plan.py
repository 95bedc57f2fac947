"""Cuts a film into spans that can be decoded on their own."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from av.error import FFmpegError
from av.packet import Packet

from streamsr import interrupt
from streamsr.errors import SourceError
from streamsr.frame import Span
from streamsr.media.input import main_video, open_input
from streamsr.media.timeline import time_line
from streamsr.options import SEGMENT_S


def plan(
    path: Path,
    *,
    begin: Fraction | None = None,
    end: Fraction | None = None,
    seconds: float = SEGMENT_S,
) -> list[Span]:
    """Cut a film, or its part from ``begin`` to ``end``, at the first key frame after every
    ``seconds``.

    Depends on the input alone. A film whose times do not increase is one segment, because its
    frames cannot be assigned. Raises SourceError when it cannot be read.
    """
    with open_input(path) as container:
        stream = main_video(container)
        if stream is None or stream.time_base is None:
            raise SourceError(f"{path}: has no video stream")
        base = stream.time_base
        # AVI has no presentation times of its own.
        packets = time_line(path).mended(container.demux(stream))
        keys = [] if container.format.name == "avi" else _key_times(packets)
        first = (stream.start_time or 0) * base if begin is None else begin
    cuts: list[Fraction] = []
    seeks: list[Fraction] = []
    last = first
    for before, key in pairwise([pts * base for pts in keys]):
        if end is not None and key >= end:
            break
        if key - last >= seconds:
            cuts.append(key)
            # One group of pictures earlier: a container's index may point a little late.
            seeks.append(before)
            last = key
    begins, ends = [begin, *cuts], [*cuts, end]
    first_seek = (
        None if begin is None else max((k * base for k in keys if k * base <= begin), default=None)
    )
    return [Span(b, e, s) for b, e, s in zip(begins, ends, [first_seek, *seeks], strict=True)]


def _key_times(packets: "Iterator[Packet[Any]]") -> list[int]:
    """pts of the key frames, in ticks; none when a picture's time is missing, repeated or out of
    order."""
    keys: list[int] = []
    highest: int | None = None
    # Of the pictures since the key frame before the last: later ones may not be earlier.
    seen: set[int] = set()
    try:
        for packet in packets:
            interrupt.check()
            if packet.size == 0:
                continue
            if (
                packet.pts is None
                or packet.pts in seen
                or (len(keys) > 1 and packet.pts < keys[-2])
            ):
                return []
            seen.add(packet.pts)
            if packet.is_keyframe and (highest is None or packet.pts > highest):
                keys.append(packet.pts)
                seen = {pts for pts in seen if pts >= keys[max(len(keys) - 2, 0)]}
            highest = packet.pts if highest is None else max(highest, packet.pts)
    except FFmpegError:
        # A damaged end: the source reads what comes before it, with or without key frames.
        return []
    return keys
