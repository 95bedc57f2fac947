"""Joining the segments of a film: their packets in order, with new decoding times, in one file."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from streamsr.segments.segment import packets
from streamsr.sinks.file import FileSink


def join(segments: Sequence[Path], sink: FileSink, *, time_base: Fraction) -> None:
    """Write the packets of all segments, in order, into the entered ``sink``. The caller commits
    it.

    Decoding times are recomputed for the whole film: each encoder counts them from its own start,
    and at a variable rate those of two neighbours may overlap.
    """
    shown = array("q")
    delay = 0
    for path in segments:
        start = len(shown)
        shown.extend(pts for pts, *_ in packets(path, contents=False))
        coded = shown[start:]
        shown[start:] = array("q", sorted(coded))
        delay = max(
            [delay, *(i - bisect_left(shown, pts, start) + start for i, pts in enumerate(coded))]
        )
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    if shown:
        sink.start_at(shown[0] * time_base)
    shift = round(sink.origin_s / time_base)
    position = 0
    for path in segments:
        for pts, duration, key, content in packets(path, headers=sink.extradata):
            packet: Packet[Any] = av.Packet(content)
            packet.time_base = time_base
            packet.pts, packet.duration = pts - shift, duration
            early = delay - position
            packet.dts = (
                shown[position - delay] if early <= 0 else shown[0] - early * step
            ) - shift
            packet.is_keyframe = bool(key)
            sink.put(packet)
            position += 1
