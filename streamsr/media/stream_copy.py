"""Copies the other streams, chapters and metadata of an input into an output."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
from av.container.output import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from streamsr.media.audio import SoundConverter
from streamsr.media.chapters import cut_chapters
from streamsr.media.containers import (
    PLAIN,
    becomes_samples,
    becomes_text,
    codec_of,
    fits,
    is_carried_otherwise,
    is_cover,
    title,
)
from streamsr.media.input import clock, main_video, open_input
from streamsr.media.muxer import OF_MP4_ITSELF
from streamsr.media.packets import PACKET_ERRORS, PacketOrder, readable, without_new_headers
from streamsr.media.subtitles import TextConverter
from streamsr.media.timeline import FORWARD_S, time_line

log = logging.getLogger("streamsr")

LATEST_START_S = FORWARD_S
"""A film in a container with a clock of its own that begins later shows nothing for so long, and
nobody waits: its clock is a broadcaster's."""

COVERS = {"mjpeg": "jpeg", "png": "png", "bmp": "bmp", "gif": "gif", "webp": "webp"}
"""Image type by codec: Matroska keeps a cover as an attachment."""


class StreamCopy:
    """Copies all of the file ``path`` but its main video into an output. A context manager, which
    closes the file; for one thread.

    What the output's container cannot hold is left out and named in ``lost``. Text subtitles that
    it cannot hold are rewritten in its own format, audio as PCM, and named in ``changed``. Unless
    ``quiet``, the log says so.

    begin, end  part of the file to copy, in seconds on the film's clock; None for no limit
    origin_s    the time on that clock that becomes the output's zero: ``begin``, or where the film
                begins if that is before zero, long after it, or on a clock without a meaning
    input       the opened file
    line        the film's clock
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        begin: Fraction | None = None,
        end: Fraction | None = None,
        quiet: bool = False,
    ) -> None:
        self._path = path
        self.input = open_input(path)
        self.line = time_line(path)
        self._begin = begin
        self._end = end
        self._level = logging.DEBUG if quiet else logging.WARNING
        self._main = main_video(self.input)
        self.origin_s = self._beginning() if begin is None else begin
        self._wanted: Iterator[Packet[Any]] = iter(())
        self._outputs: dict[int, Any] = {}
        self._waiting: Packet[Any] | None = None
        self._covers: list[tuple[Stream, bytes]] = []
        self._converters: dict[int, TextConverter] = {}
        self._sounds: dict[int, SoundConverter] = {}
        self._takes_new_headers = False
        self._order = PacketOrder()
        self._refused: Counter[int] = Counter()
        self._unreadable = 0
        self.lost: list[str] = []
        self.changed: list[str] = []

    def _beginning(self) -> Fraction:
        """Where the film begins on its clock, if the output's zero is to stand there."""

        def start_s(stream: Stream) -> Fraction | None:
            if stream.start_time is None or stream.time_base is None:
                return None
            return stream.start_time * stream.time_base

        main_s = None if self._main is None else start_s(self._main)
        if main_s is not None and main_s < 0 and self.line.indexed:
            return main_s
        streams = [s for s in self.input.streams if s.type in ("video", "audio")]
        starts = [when_s for s in streams if (when_s := start_s(s)) is not None]
        first_s = min(starts, default=Fraction(0))
        if not self.line.indexed or first_s > LATEST_START_S:
            return first_s
        return Fraction(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.input.close()

    def prepare(self, output: OutputContainer, add_video: Callable[[], VideoStream]) -> VideoStream:
        """Add all streams to ``output`` in the input's order, before its header is written.

        ``add_video`` adds the new video in the place of the main one. Returns its stream.
        """
        video: VideoStream | None = None
        container = output.format.name
        self._takes_new_headers = container == "mpegts"
        own = OF_MP4_ITSELF - {"creation_time"}
        output.metadata.update(
            {key: value for key, value in self.input.metadata.items() if key not in own}
        )
        for stream in self.input.streams:
            if self._main is not None and stream.index == self._main.index:
                video = add_video()
                _describe(video, stream)
                continue
            if is_carried_otherwise(stream):
                continue
            copied = self._add(output, stream)
            if copied is not None:
                _describe(copied, stream)
                if "title" in stream.metadata and container in ("mp4", "mov"):
                    # A track of an MP4 has no other title.
                    copied.metadata["handler_name"] = stream.metadata["title"]
        chapters = self.input.chapters()
        if chapters and container in PLAIN:
            self._lose(f"{container} cannot hold chapters")
        elif chapters:
            output.set_chapters(cut_chapters(chapters, self.origin_s, self._end))
        others = [self.input.streams[i] for i in self._outputs]
        if others:
            packets = readable(self.input, others, self._failed)
            self._wanted = self._in_span(self.line.mended(packets))
        return video or add_video()

    def _add(self, output: OutputContainer, stream: Stream) -> Stream | None:
        """Add a stream. Returns the output's; None where it becomes an attachment or is left
        out."""
        container = output.format.name
        cover = is_cover(stream)
        if not fits(container, stream):
            if becomes_samples(container, stream):
                return self._as_samples(output, stream)
            if not becomes_text(container, stream):
                self._lose(f"{container} cannot hold {title(stream)}")
                return None
            converter = TextConverter(output, stream, codec_of(stream))
            self._converters[stream.index] = converter
            self._outputs[stream.index] = converter.stream
            change = (
                f"subtitle stream {stream.index} ({codec_of(stream)}) becomes {converter.codec} "
                f"without its styles"
            )
            self.changed.append(change)
            log.log(self._level, "%s: all that %s can hold", change, container)
            text: Stream = converter.stream
            return text
        if isinstance(stream, AttachmentStream):
            name = stream.metadata.get("filename", f"attachment-{stream.index}")
            output.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
            return None
        if cover and container == "matroska":
            kind = COVERS.get(stream.codec_context.name if stream.codec_context else "", "jpeg")
            name = stream.metadata.get("filename", f"cover.{kind.replace('jpeg', 'jpg')}")
            output.add_attachment(name, f"image/{kind}", self._cover(stream))
            return None
        copied: Stream = output.add_stream_from_template(stream)
        if cover:
            self._covers.append((copied, self._cover(stream)))
            return copied
        self._outputs[stream.index] = copied
        return copied

    def _as_samples(self, output: OutputContainer, stream: Any) -> Stream:
        sound = self._sounds[stream.index] = SoundConverter(output, stream)
        self._outputs[stream.index] = sound.stream
        change = (
            f"audio stream {stream.index} ({codec_of(stream)}) becomes {sound.codec}, the same "
            f"samples"
        )
        self.changed.append(change)
        log.log(self._level, "%s: all that %s can hold", change, output.format.name)
        samples: Stream = sound.stream
        return samples

    def _cover(self, stream: Stream) -> bytes:
        """The picture of a cover stream. The file is opened again for it: some containers give it
        once only, before all other packets."""
        with open_input(self._path) as again:
            return next((bytes(p) for p in again.demux(again.streams[stream.index]) if p.size), b"")

    def _lose(self, what: str) -> None:
        self.lost.append(what)
        log.log(self._level, "left out: %s", what)

    def start_at(self, time_s: Fraction) -> None:
        """Make this time on the input's clock the output's zero, before anything is muxed."""
        self.origin_s = time_s

    def until(self, time_s: Fraction | None, output: OutputContainer) -> None:
        """Mux the packets up to this time on the output's clock, None for all that are left."""
        while self._covers:
            target, picture = self._covers.pop()
            cover: Packet[Any] = av.Packet(picture)
            cover.stream = target
            cover.pts = 0
            cover.dts = 0
            cover.time_base = Fraction(1, 1000)
            output.mux(cover)
        for packet in self._due(time_s):
            index = packet.stream.index
            try:
                for ready in self._converted(packet):
                    if index not in self._converters:  # texts may be shown at one time
                        self._order.put(ready)
                    output.mux(ready)
            except PACKET_ERRORS:
                self._refused[index] += 1

    def _due(self, time_s: Fraction | None) -> "Iterator[Packet[Any]]":
        """The packets up to this time on the output's clock. The one after it is kept."""
        while True:
            packet = self._waiting or next(self._wanted, None)
            self._waiting = None
            if packet is None:
                return
            when_s = _time_s(packet)
            if time_s is not None and when_s is not None and when_s - self.origin_s > time_s:
                self._waiting = packet
                return
            yield packet

    def _in_span(self, packets: "Iterator[Packet[Any]]") -> "Iterator[Packet[Any]]":
        """Those from ``begin`` to ``end``, and the empty packet that ends each stream."""
        for packet in packets:
            when_s = _time_s(packet)
            if packet.size == 0 or (
                when_s is not None
                and (self._begin is None or when_s >= self._begin)
                and (self._end is None or when_s < self._end)
            ):
                yield packet

    def _failed(self, _error: FFmpegError) -> None:
        self._unreadable += 1

    def say(self) -> None:
        """Tell the log what of the file had to be mended or left out, once all is muxed."""
        name = self.input.name
        for time_s in self.line.jumps:
            if (self._begin is None or time_s >= self._begin) and (
                self._end is None or time_s < self._end
            ):
                log.warning(
                    "%s: its clock jumps at %s; what follows was moved behind what was before",
                    name,
                    clock(float(time_s - self.origin_s)),
                )
        for index, output in sorted(self._outputs.items()):
            if number := self._order.mended[output.index]:
                what = title(self.input.streams[index])
                log.warning("%s: %d packets of %s came before their time", name, number, what)
        for index, number in sorted(self._refused.items()):
            what = title(self.input.streams[index])
            log.warning("%s: left out: %d damaged packets of %s", name, number, what)
        if self._unreadable:
            log.warning("%s: could not be read at %d places", name, self._unreadable)

    def _converted(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        """What the packet becomes in the output, on the output's clock."""
        index = packet.stream.index
        if packet.size:
            shift = round(self.origin_s / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
        if index in self._sounds:  # also for the empty packet, which flushes the decoder
            yield from list(self._sounds[index].converted(packet))
        elif packet.size and index in self._converters:
            text = self._converters[index].converted(packet)
            if text is not None:
                text.stream = self._outputs[index]
                yield text
        elif packet.size:
            if packet.has_sidedata("new_extradata") and not self._takes_new_headers:
                packet = without_new_headers(packet)
            packet.stream = self._outputs[index]
            yield packet


def _time_s(packet: "Packet[Any]") -> Fraction | None:
    """The packet's DTS in seconds, else its PTS, else None."""
    ticks = packet.dts if packet.dts is not None else packet.pts
    return None if ticks is None else ticks * packet.time_base


def _describe(target: Stream, source: Stream) -> None:
    target.metadata.update(source.metadata)
    target.disposition = source.disposition
