"""One clock for a whole film, whatever its container's clock does on the way.

Recordings are joined, receivers start again, and a clock of 33 bits or of a broadcaster's day runs
on without meaning. Transport and program streams and FLV keep no index either, so that seeking in
them by time is a guess. One pass over the packets, without decoding, finds both: the stretches in
which the clock runs evenly, and where the key frames stand.
"""

import functools
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from av.packet import Packet

from streamsr import interrupt
from streamsr.media.input import main_video, open_input
from streamsr.media.packets import readable

BACKWARD_S = 0.1
"""A stream whose time goes back by more has begun a new clock; by less it is a fault of one
packet. FFmpeg's own limit (ffmpeg_demux.c)."""

SEAM_S = 0.05
"""Where another stream's clock has jumped, one that does not go on within so much of its own time
has jumped with it."""

MOST_BOXES = 1000
"""At the top of an MP4 file, looked at for a fragment."""

FORWARD_S = 10.0
"""A gap that is longer is a new clock, where the format's clock may jump (FFmpeg's
``-dts_delta_threshold``); a shorter one is a gap of the recording, and stays."""

_TS_DISCONT = 0x0200
"""FFmpeg's AVFMT_TS_DISCONT: the format's clock may jump."""

_NO_TIMESTAMPS = 0x0080
"""FFmpeg's AVFMT_NOTIMESTAMPS: the format has no times at all."""

INDEXED = frozenset({"mov", "matroska", "avi", "asf", "webm", "mxf", "nut"})
"""Formats with an index by time, and a clock whose zero is the film's beginning."""

STEADY = frozenset({"mov", "avi"})
"""Of these, formats that store no times but steps of time: reading every packet first would find no
jump. Not so an MP4 in fragments, each of which says when it begins."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Packets of one stream whose clock runs evenly.

    position  offset in the file, in bytes, from which on the stream's packets belong to it
    shift     seconds to add to their times
    """

    position: int
    shift: Fraction


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """Where decoding can begin: ``time`` in seconds on the film's one clock, ``position`` in
    bytes."""

    time: Fraction
    position: int


@dataclass(frozen=True, slots=True)
class TimeLine:
    """The clock of a film.

    stretches  by the stream's index, in the file's order; a stream without an entry runs as
               ``others`` does
    others     the stretches of the main video
    keys       its key frames, in the file's order; empty where the container has an index
    jumps      times on the film's clock, in seconds, at which the container's clock jumps
    indexed    whether the container has an index by time, and a clock with a meaning
    """

    stretches: dict[int, tuple[Stretch, ...]] = field(default_factory=dict)
    others: tuple[Stretch, ...] = (Stretch(0, Fraction(0)),)
    keys: tuple[KeyFrame, ...] = ()
    jumps: tuple[Fraction, ...] = ()
    indexed: bool = True

    def position_before(self, time_s: Fraction) -> int:
        """Where to begin to read, in bytes, so that all frames from this time on are decoded.

        One key frame earlier than the last that will do: in a program stream a packet may begin
        with the end of the frame before, and the first pictures after a key frame may need it.
        """
        number = bisect_right(self.keys, time_s, key=lambda key: key.time)
        return self.keys[number - 2].position if number > 1 else 0

    def mended(
        self, packets: "Iterable[Packet[Any]]", *, position: int = 0
    ) -> "Iterator[Packet[Any]]":
        """The packets, in the file's order, with their times on the film's one clock.

        position  where in the file, in bytes, reading began
        """
        if not self.jumps:
            yield from packets
            return
        reached: dict[int, int] = {}
        for packet in packets:
            index = packet.stream_index
            if packet.pos is not None and packet.pos >= 0:
                reached[index] = packet.pos
            stretches = self.stretches.get(index, self.others)
            at = max(reached.get(index, position), stretches[0].position)
            number = bisect_right(stretches, at, key=lambda stretch: stretch.position) - 1
            _move(packet, stretches[number].shift)
            yield packet


def _move(packet: "Packet[Any]", shift_s: Fraction) -> None:
    if not shift_s or packet.time_base is None:
        return
    ticks = round(shift_s / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks


def time_line(path: str | os.PathLike[str]) -> TimeLine:
    """The clock of the film in this file, read once as long as the file stays what it is.

    Raises SourceError when the file cannot be opened. One that is damaged is read up to there.
    """
    status = os.stat(path)
    return _of_file(os.fspath(path), status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _of_file(path: str, _inode: int, _size: int, _changed_ns: int) -> TimeLine:
    with open_input(path) as container:
        names = set(container.format.name.split(","))
        indexed = bool(INDEXED & names)
        if STEADY & names and not _is_fragmented(path):
            return TimeLine()
        if container.format.flags & _NO_TIMESTAMPS:
            return TimeLine(indexed=False)  # bare pictures: FFmpeg counts them from where it begins
        main = main_video(container)
        survey = Survey(
            main=None if main is None else main.index,
            jumps_forward=bool(container.format.flags & _TS_DISCONT),
        )
        # Sound and picture alone: the times of subtitles and data may stand far apart.
        streams = [s for s in container.streams if s.type in ("video", "audio")]
        for packet in readable(container, streams):
            interrupt.check()
            survey.add(packet)
        line = survey.time_line()
        if indexed and line.jumps:  # by such times nothing can be found in it
            return replace(line, indexed=False, keys=())
        return TimeLine() if indexed else line


def _is_fragmented(path: str) -> bool:
    """Whether an MP4 file has movie fragments (``moof`` boxes, ISO/IEC 14496-12)."""
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        position = 0
        for _ in range(MOST_BOXES):
            file.seek(position)
            head = file.read(16)
            if head[4:8] == b"moof":
                return True
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            position += size
            if len(head) < 8 or size < 8 or position >= end:
                return False
    return False


@dataclass(slots=True)
class _Run:
    """A stretch of the clock while it is found: it lasts from ``begin`` to ``end``, in seconds."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is looked at of a packet, times in seconds on the container's clock: as floats, whose
    error is far below a tick, since a film has half a million of them."""

    decoded: float
    shown: float
    end: float
    position: int
    key: bool


@dataclass(slots=True)
class _Stream:
    """One stream: the latest decoding time and when the next is due, and the runs that it went
    through, from which positions on."""

    last: float
    due: float
    starts: list[tuple[int, int]]
    doubtful: _Seen | None = None

    @property
    def run(self) -> int:
        return self.starts[-1][1]


class Survey:
    """Finds the stretches of a film from its packets, given in the file's order.

    main           index of the main video
    jumps_forward  whether a long gap is a new clock in this format
    """

    def __init__(self, *, main: int | None, jumps_forward: bool) -> None:
        self._main = main
        self._forward = jumps_forward
        self._streams: dict[int, _Stream] = {}
        self._bases: dict[int, float] = {}
        self._by_dts: set[int] = set()
        self._runs: list[_Run] = []
        self._keys: list[tuple[int, float, int]] = []

    def add(self, packet: "Packet[Any]") -> None:
        """Take the next packet of a video or audio stream. One without a time says nothing."""
        index = packet.stream_index
        base = self._bases.get(index)
        if base is None:
            base = self._bases[index] = float(packet.time_base or 0)
        if packet.dts is not None and index not in self._by_dts:
            # The demuxer knows it from here on: it runs behind the times shown before.
            self._by_dts.add(index)
            if index in self._streams:
                self._streams[index].last = packet.dts * base
        ticks = packet.dts if index in self._by_dts else packet.pts
        if ticks is None or not base:
            return
        shown = ticks if packet.pts is None else packet.pts
        seen = _Seen(
            ticks * base,
            shown * base,
            (shown + (packet.duration or 0)) * base,
            -1 if packet.pos is None else packet.pos,
            packet.is_keyframe,
        )
        stream = self._streams.get(index)
        if stream is None:
            fitting = [n for n in range(len(self._runs)) if self._is_near(n, seen)]
            run = fitting[-1] if fitting else self._new_run(seen)
            stream = self._streams[index] = _Stream(seen.decoded, seen.decoded, [(0, run)])
        elif not self._follows(stream.last, seen) or self._goes_on_behind(stream, seen):
            first, stream.doubtful = stream.doubtful, seen
            if first is None or not self._follows(first.decoded, seen):
                return  # one packet alone, whose time is wrong
            later = self._later_run(stream, seen)
            run = self._new_run(first) if later is None else later
            stream.starts.append((max(first.position, 0), run))
            stream.last = first.decoded
            self._note(index, run, first)
        elif abs(seen.decoded - stream.due) > SEAM_S:
            later = self._later_run(stream, seen)
            if later is not None:
                stream.starts.append((max(seen.position, 0), later))
                stream.last = seen.decoded
        stream.doubtful = None
        stream.due = seen.decoded + seen.end - seen.shown
        stream.last = max(stream.last, seen.decoded)
        self._note(index, stream.run, seen)

    def _note(self, index: int, run: int, seen: _Seen) -> None:
        self._runs[run].begin = min(self._runs[run].begin, seen.shown)
        self._runs[run].end = max(self._runs[run].end, seen.end)
        if index == self._main and seen.key and seen.position >= 0:
            self._keys.append((run, seen.shown, seen.position))

    def _follows(self, before_s: float, seen: _Seen) -> bool:
        step = seen.decoded - before_s
        return step >= -BACKWARD_S and not (self._forward and step > FORWARD_S)

    def _goes_on_behind(self, stream: _Stream, seen: _Seen) -> bool:
        """Whether a clock that went back runs on from there."""
        doubtful = stream.doubtful
        return doubtful is not None and doubtful.decoded <= seen.decoded <= stream.last

    def _later_run(self, stream: _Stream, seen: _Seen) -> int | None:
        """The run that another stream is in already, and that this packet may belong to."""
        later = range(stream.run + 1, len(self._runs))
        return next((number for number in later if self._is_near(number, seen)), None)

    def _is_near(self, number: int, seen: _Seen) -> bool:
        run = self._runs[number]
        return run.begin - FORWARD_S <= seen.shown <= run.end + FORWARD_S

    def _new_run(self, seen: _Seen) -> int:
        self._runs.append(_Run(seen.shown, seen.shown))
        return len(self._runs) - 1

    def time_line(self) -> TimeLine:
        """The clock as seen so far."""
        shifts: list[Fraction] = []
        end = 0.0
        for number, run in enumerate(self._runs):
            shifts.append(_exact(end - run.begin) if number else Fraction(0))
            end = max(end, run.end + float(shifts[-1])) if number else run.end
        stretches = {
            index: tuple(Stretch(position, shifts[run]) for position, run in stream.starts)
            for index, stream in self._streams.items()
        }
        main = stretches.get(-1 if self._main is None else self._main)
        return TimeLine(
            stretches=stretches,
            others=main or TimeLine().others,
            keys=tuple(
                KeyFrame(_exact(shown_s) + shifts[run], position)
                for run, shown_s, position in self._keys
            ),
            jumps=tuple(
                _exact(run.begin) + shift
                for run, shift in zip(self._runs[1:], shifts[1:], strict=True)
            ),
            indexed=False,
        )


def _exact(seconds: float) -> Fraction:
    """To a microsecond, which is finer than any container's clock here but 44.1 kHz and finer than
    anybody hears."""
    return Fraction(round(seconds * 1_000_000), 1_000_000)
