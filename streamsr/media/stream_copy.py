"""Copies the other streams, chapters and metadata of an input into an output."""

import logging
import os
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
from streamsr.media.input import main_video, open_input
from streamsr.media.muxer import OF_MP4_ITSELF
from streamsr.media.subtitles import TextConverter

log = logging.getLogger("streamsr")

COVERS = {"mjpeg": "jpeg", "png": "png", "bmp": "bmp", "gif": "gif", "webp": "webp"}
"""Image type by codec: Matroska keeps a cover as an attachment."""


class StreamCopy:
    """Copies all of the file ``path`` but its main video into an output. A context manager, which
    closes the file; for one thread.

    What the output's container cannot hold is left out and named in ``lost``. Text subtitles that
    it cannot hold are rewritten in its own format, audio as PCM, and named in ``changed``. Unless
    ``quiet``, the log says so.

    begin, end  part of the file to copy, in seconds on its own clock; None for no limit
    origin_s    the time on that clock that becomes the output's zero: ``begin``, or the start of
                the main video where that is negative, since MP4 shows nothing before zero
    input       the opened file
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
        self._begin = begin
        self._end = end
        self._level = logging.DEBUG if quiet else logging.WARNING
        self._main = main_video(self.input)
        self.origin_s = Fraction(0) if begin is None else begin
        if (
            begin is None
            and self._main is not None
            and self._main.start_time is not None
            and self._main.time_base
        ):
            self.origin_s = min(self._main.start_time * self._main.time_base, Fraction(0))
        self._wanted: Iterator[Packet[Any]] = iter(())
        self._outputs: dict[int, Any] = {}
        self._waiting: Packet[Any] | None = None
        self._covers: list[tuple[Stream, bytes]] = []
        self._converters: dict[int, TextConverter] = {}
        self._sounds: dict[int, SoundConverter] = {}
        self.lost: list[str] = []
        self.changed: list[str] = []

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
            output.set_chapters(_cut_chapters(chapters, self.origin_s, self._end))
        others = [self.input.streams[i] for i in self._outputs]
        if others:
            self._wanted = self._in_span(self.input.demux(others))
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
            for ready in self._converted(packet):
                output.mux(ready)

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
        try:
            for packet in packets:
                when_s = _time_s(packet)
                if packet.size == 0 or (
                    when_s is not None
                    and (self._begin is None or when_s >= self._begin)
                    and (self._end is None or when_s < self._end)
                ):
                    yield packet
        except FFmpegError as error:
            reason = getattr(error, "strerror", None) or "damaged"
            log.warning(
                "%s: the other streams end where the file is damaged: %s", self.input.name, reason
            )

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
            packet.stream = self._outputs[index]
            yield packet


def _time_s(packet: "Packet[Any]") -> Fraction | None:
    """The packet's DTS in seconds, else its PTS, else None."""
    ticks = packet.dts if packet.dts is not None else packet.pts
    return None if ticks is None else ticks * packet.time_base


def _describe(target: Stream, source: Stream) -> None:
    target.metadata.update(source.metadata)
    target.disposition = source.disposition


def _cut_chapters(chapters: list[Any], origin_s: Fraction, end: Fraction | None) -> list[Any]:
    """Chapters that overlap the part from ``origin_s`` to ``end``, cut to it, on the output's
    clock."""
    if origin_s == 0 and end is None:
        return chapters
    kept = []
    for chapter in chapters:
        base = chapter["time_base"]
        start = chapter["start"] * base
        stop = chapter["end"] * base
        if stop > origin_s and (end is None or start < end):
            stop = stop if end is None else min(stop, end)
            kept.append(
                {
                    **chapter,
                    "start": round(max(start - origin_s, 0) / base),
                    "end": round((stop - origin_s) / base),
                }
            )
    return kept
