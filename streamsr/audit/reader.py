"""What a media file holds, read independently of the source and sink that are to be checked: one
pass, flat memory."""

import hashlib
import os
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
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
from streamsr.media.containers import becomes_samples, codec_of, is_carried_otherwise
from streamsr.media.decode import in_line
from streamsr.media.input import main_video, open_input
from streamsr.media.subtitles import TEXT, words


@dataclass
class Track:
    """A stream beside the main video, as it was read.

    times    presentation times in ticks of ``time_base``, one for each packet
    digests  64 bits of each packet's bytes, without the transport header that only some containers
             want
    carried_otherwise  chapters' titles or a timecode, which the output has as chapters and metadata
    words    digests of what text subtitles say; packets that say nothing are not counted at all
    content  digest of all bytes in order, for containers that cut a stream into other packets; of
             the samples for sound that the output may have as samples
    """

    index: int
    kind: str
    codec: str
    time_base: Fraction
    disposition: int
    metadata: dict[str, str]
    cover: bool = False
    carried_otherwise: bool = False
    name: str = ""
    samples: Samples | None = None
    times: "array[int]" = field(default_factory=lambda: array("q"))
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    words: "array[int]" = field(default_factory=lambda: array("Q"))
    content: Any = field(
        default_factory=lambda: hashlib.blake2b(digest_size=8)
    )  # hashlib's objects have no type

    def add(self, data: bytes, ticks: int) -> None:
        if self.codec in TEXT:
            said = words(self.codec, data)
            if not said:
                return
            self.words.append(_digest(said.encode()))
        self.times.append(ticks)
        self.digests.append(_digest(data))
        if self.samples is None:
            self.content.update(data)

    def hear(self, packet: "Packet[Any]") -> None:
        """Decode a packet of sound that the output may have as samples."""
        if self.samples is not None:
            for frame in self.samples.of(packet):
                self.content.update(frame.to_ndarray().tobytes())


class Contents:
    """An opened file. A context manager; iterate ``frames()`` once to the end, then ``tracks`` is
    filled.

    begin, end  only this span, in seconds on the file's clock
    like        a file whose main video stands at the same place among as many
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        begin: Fraction | None = None,
        end: Fraction | None = None,
        like: "Contents | None" = None,
    ) -> None:
        self._container: InputContainer = open_input(path)
        self._begin, self._end = begin, end
        container = self._container
        films = [
            s for s in container.streams.video if not s.disposition & s.disposition.attached_pic
        ]
        main = main_video(container)
        if like is not None and len(films) == like.films:
            main = films[like.place]
        if main is None:
            container.close()
            raise SourceError(f"{os.fspath(path)}: has no video stream")
        self.main = main
        self.films: int = len(films)
        self.place: int = films.index(main) if main in films else 0
        self.main.thread_type = "AUTO"
        self.format = container.format.name
        self.metadata = dict(container.metadata)
        self.chapters = container.chapters()
        self.damaged = 0
        self.tracks = {s.index: _track(s) for s in container.streams if s.index != main.index}

    def __enter__(self) -> "Contents":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self) -> Iterator[VideoFrame]:
        """Decoded frames of the main video within the span; whatever else passes by is noted in
        ``tracks``."""
        base = self.main.time_base or Fraction(1)
        return (
            frame for frame in in_line(self._decoded()) if self._within((frame.pts or 0) * base)
        )

    def _decoded(self) -> Iterator[VideoFrame]:
        packets = self._container.demux()
        # AVI has no presentation times: pictures take the packets' ticks in the order shown.
        ticks: deque[int] | None = deque() if self.format == "avi" else None
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                self.damaged += 1
                return
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

    def _note(self, packet: "Packet[Any]") -> None:
        track = self.tracks.get(packet.stream.index)
        if track is None:
            return
        if packet.size == 0:
            track.hear(packet)
            return
        ticks = packet.dts if packet.dts is not None else packet.pts
        if track.cover:
            if not track.times:
                track.add(bytes(packet), 0)
        elif ticks is not None and self._within(ticks * track.time_base):
            shown = packet.pts if packet.pts is not None else ticks
            track.add(_bare(bytes(packet), track.codec), shown)
            track.hear(packet)

    def _within(self, when: Fraction) -> bool:
        return (self._begin is None or when >= self._begin) and (
            self._end is None or when < self._end
        )


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _track(stream: Stream) -> Track:
    name = codec_of(stream) or "unknown"
    bits = stream.disposition
    track = Track(
        stream.index,
        stream.type,
        name,
        stream.time_base or Fraction(1, 1000),
        int(bits),
        dict(stream.metadata),
        cover=bool(bits & bits.attached_pic),
        carried_otherwise=is_carried_otherwise(stream),
    )
    if isinstance(stream, AudioStream) and becomes_samples("matroska", stream):
        track.samples = Samples(stream)
    if isinstance(stream, AttachmentStream):
        track.name = stream.name or ""
        track.add(bytes(stream.data or b""), 0)
    return track


def _bare(data: bytes, codec: str) -> bytes:
    """The packet as every container has it: AAC without the ADTS header that MPEG-TS wants in front
    of each packet."""
    if codec == "aac" and len(data) > 9 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]
    return data
