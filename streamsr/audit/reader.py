"""Reads a media file for the audit, in one pass, independently of the source and the sink that are
checked."""

import hashlib
import os
from array import array
from collections import deque
from collections.abc import Container, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.frame import VideoFrame

from streamsr.errors import SourceError
from streamsr.media.audio import Samples
from streamsr.media.containers import becomes_samples, codec_of, is_carried_otherwise, is_cover
from streamsr.media.decode import in_line
from streamsr.media.input import main_video, open_input
from streamsr.media.subtitles import TEXT, words

INDEXED = frozenset({"mov", "matroska", "avi", "asf", "webm", "mxf", "nut"})
"""Containers whose times are from one clock."""


class PacketDigests:
    """What was read of one stream: times and digests of its packets, nothing else of them.

    times    presentation times in ticks of the stream's time base, one for each packet
    digests  64 bits of each packet's bytes, without the transport header that only some containers
             want
    texts    digests of what text subtitles say; packets that say nothing are not counted at all
    samples  decodes sound that the output may have as samples; None for other streams
    """

    def __init__(self, codec: str, samples: Samples | None = None) -> None:
        self.times = array("q")
        self.digests = array("Q")
        self.texts = array("Q")
        self.samples = samples
        self._codec = codec
        self._content = hashlib.blake2b(digest_size=8)

    def add(self, content: bytes, ticks: int) -> None:
        """Take a packet in."""
        if self._codec in TEXT:
            text = words(self._codec, content)
            if not text:
                return
            self.texts.append(_digest(text.encode()))
        self.times.append(ticks)
        self.digests.append(_digest(content))
        if self.samples is None:
            self._content.update(content)

    def decode(self, packet: "Packet[Any]") -> None:
        """Take in the samples of a packet, of sound that the output may have as samples."""
        if self.samples is not None:
            for frame in self.samples.of(packet):
                self._content.update(frame.to_ndarray().tobytes())

    @property
    def content(self) -> bytes:
        """Digest of all bytes in order, for containers that cut a stream into other packets; of the
        samples where these are decoded."""
        return self._content.digest()


@dataclass(frozen=True, slots=True)
class Track:
    """A stream beside the main video: what the file says of it, and what was read of it.

    codec              FFmpeg's name, ``unknown`` for none that it knows
    disposition        FFmpeg's flags: default, forced, attached picture and others
    cover              an attached picture
    carried_otherwise  chapters' titles or a timecode, which the output has as chapters and metadata
    name               of an attached file
    """

    index: int
    kind: str
    codec: str
    time_base: Fraction
    disposition: int
    metadata: dict[str, str]
    cover: bool
    carried_otherwise: bool
    name: str
    read: PacketDigests


class MediaReader:
    """Reads a media file in one pass, in memory that does not grow with its packets' size.

    A context manager. Iterate `frames` once to the end, then ``tracks`` is filled. Raises
    SourceError when the file cannot be opened or has no video.

    begin, end  only this span, in seconds on the file's clock
    reference   picks the main video by its index there when both files have equally many; without
                it the main video is the one that a player would show
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        begin: Fraction | None = None,
        end: Fraction | None = None,
        reference: "MediaReader | None" = None,
    ) -> None:
        container = open_input(path)
        self._container: InputContainer = container
        self._begin = begin
        self._end = end
        self.videos = [
            stream
            for stream in container.streams.video
            if not stream.disposition & stream.disposition.attached_pic
        ]
        main = main_video(container)
        if reference is not None and len(self.videos) == len(reference.videos):
            main = self.videos[reference.main_place]
        if main is None:
            container.close()
            raise SourceError(f"{os.fspath(path)}: has no video stream")
        self.main = main
        self.main.thread_type = "AUTO"
        self.format = container.format.name
        self.metadata = dict(container.metadata)
        self.chapters: list[Any] = container.chapters()  # Any: their time bases are never None
        self.path = os.fspath(path)
        self.clock_may_jump = not INDEXED & set(container.format.name.split(","))
        self.damaged = 0
        self.untimed = 0
        self.tracks = {s.index: _track(s) for s in container.streams if s.index != main.index}

    @property
    def main_place(self) -> int:
        """Index of the main video among the videos."""
        return self.videos.index(self.main) if self.main in self.videos else 0

    def __enter__(self) -> "MediaReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self) -> Iterator[VideoFrame]:
        """Decoded frames of the main video within the span, each with a pts: bare pictures follow
        each other by their duration. The packets of all other streams go
        into ``tracks`` on the way."""
        base = self.main.time_base or Fraction(1)
        after = 0  # where a picture without a time of its own stands: behind the one before
        for frame in in_line(self._decoded()):
            if frame.pts is None:
                frame.pts = after if frame.dts is None else frame.dts
                self.untimed += frame.dts is None
            ticks = frame.pts
            after = ticks + max(frame.duration or 0, 1)
            if self._within(ticks * base):
                yield frame

    def _decoded(self) -> Iterator[VideoFrame]:
        packets = self._packets()
        # AVI has no presentation times: pictures take the packets' ticks in the order shown.
        ticks: deque[int] | None = deque() if self.format == "avi" else None
        while True:
            packet = next(packets, None)
            if packet is None:
                return
            # The packets that flush a decoder say their stream only here, not in ``stream_index``.
            if packet.stream.index != self.main.index:
                self._note(packet)
                continue
            if ticks is not None and packet.size and packet.dts is not None:
                ticks.append(packet.dts)
            try:
                frames = packet.decode()
            except FFmpegError:
                self.damaged += 1
                continue
            for frame in frames:
                assert isinstance(frame, VideoFrame)
                if ticks:
                    frame.pts = ticks.popleft()
                yield frame

    def _packets(self) -> "Iterator[Packet[Any]]":
        """All packets; what cannot be read is counted, and reading goes on behind it."""
        failed = 0
        while failed < 16:
            try:
                for packet in self._container.demux():
                    failed = 0 if packet.size else failed
                    yield packet
                return
            except FFmpegError:
                self.damaged += 1
                failed += 1
        for stream in self._container.streams:
            end: Packet[Any] = Packet()
            end.stream = stream
            yield end

    def is_damaged(self, track: "Track", numbers: "Container[int]") -> bool:
        """Whether a decoder refuses each of these packets of the track, counted from 0."""
        with open_input(self.path) as container:
            number = 0
            for packet in container.demux(container.streams[track.index]):
                if not packet.size or (packet.dts is None and packet.pts is None):
                    continue
                refused = False
                try:
                    packet.decode()
                except FFmpegError:
                    refused = True
                if number in numbers and not refused:
                    return False
                number += 1
        return True

    def _note(self, packet: "Packet[Any]") -> None:
        """Take in a packet of another stream."""
        track = self.tracks.get(packet.stream.index)
        if track is None:
            return
        if packet.size == 0:  # the demuxer's end mark: what a decoder still holds comes out
            track.read.decode(packet)
            return
        ticks = packet.dts if packet.dts is not None else packet.pts
        if track.cover:
            if not track.read.times:
                track.read.add(bytes(packet), 0)
        elif ticks is not None and self._within(ticks * track.time_base):
            shown = packet.pts if packet.pts is not None else ticks
            track.read.add(_bare(bytes(packet), track.codec), shown)
            track.read.decode(packet)

    def _within(self, time_s: Fraction) -> bool:
        return (self._begin is None or time_s >= self._begin) and (
            self._end is None or time_s < self._end
        )


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _track(stream: Stream) -> Track:
    codec = codec_of(stream) or "unknown"
    samples = None
    if isinstance(stream, AudioStream) and becomes_samples("matroska", stream):
        samples = Samples(stream)
    read = PacketDigests(codec, samples)
    name = ""
    if isinstance(stream, AttachmentStream):
        name = stream.name or ""
        read.add(bytes(stream.data or b""), 0)
    return Track(
        stream.index,
        stream.type,
        codec,
        stream.time_base or Fraction(1, 1000),
        int(stream.disposition),
        dict(stream.metadata),
        is_cover(stream),
        is_carried_otherwise(stream),
        name,
        read,
    )


def _bare(data: bytes, codec: str) -> bytes:
    """The packet as every container has it: AAC without the ADTS header that MPEG-TS wants in front
    of each packet."""
    if codec == "aac" and len(data) > 9 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]
    return data
