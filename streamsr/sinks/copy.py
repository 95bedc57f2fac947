"""Everything of a file but its main video, carried over untouched."""

import logging
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

from av.container.output import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from streamsr.errors import SourceError
from streamsr.sources.file import main_video, open_input

log = logging.getLogger("streamsr")


class StreamCopy:
    """Copies the other streams, chapters and metadata of ``path`` into an output. For one thread.

    What the output's container cannot hold is left out and named in ``lost`` and in the log. ``begin`` and ``end``
    (seconds on the input's clock, None for open) cut the copied streams; ``begin`` becomes the output's zero.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, begin: Fraction | None = None, end: Fraction | None = None
    ) -> None:
        self._input = open_input(path)
        self._begin, self._end = begin, end
        self._main = main_video(self._input)
        self._packets: Iterator[Packet[Any]] = iter(())
        self._outputs: dict[int, Any] = {}
        self._waiting: Packet[Any] | None = None
        self.lost: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._input.close()

    def prepare(self, output: OutputContainer, add_video: Callable[[], VideoStream]) -> VideoStream:
        """Add all streams to ``output`` in the input's order, before its header is written; returns the new video."""
        video: VideoStream | None = None
        container = output.format.name
        output.metadata.update(self._input.metadata)
        for stream in self._input.streams:
            if self._main is not None and stream.index == self._main.index:
                video = add_video()
                _describe(video, stream)
                continue
            try:
                copied = self._add(output, stream)
            except (FFmpegError, ValueError, TypeError) as error:
                name = stream.codec_context.name if stream.codec_context else "unknown"
                self._lose(f"{container} cannot hold {stream.type} stream {stream.index} ({name}): {_short(error)}")
                continue
            if copied is not None:
                _describe(copied, stream)
        chapters = self._input.chapters()
        if chapters:
            output.set_chapters(_cut_chapters(chapters, self._begin, self._end))
        others = [self._input.streams[i] for i in self._outputs]
        self._packets = self._input.demux(others) if others else iter(())
        return video or add_video()

    def _add(self, output: OutputContainer, stream: Stream) -> Stream | None:
        if isinstance(stream, AttachmentStream):
            name = stream.metadata.get("filename", f"attachment-{stream.index}")
            output.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
            return None
        codec = stream.codec_context
        if codec is not None and codec.name not in output.supported_codecs and stream.type != "data":
            raise ValueError("no place for this codec")
        copied: Stream = output.add_stream_from_template(stream)
        self._outputs[stream.index] = copied
        return copied

    def _lose(self, what: str) -> None:
        self.lost.append(what)
        log.warning("left out: %s", what)

    def until(self, time_s: Fraction | None, output: OutputContainer) -> None:
        """Mux every packet up to this time on the output's clock, or all that are left."""
        zero = self._begin or Fraction(0)
        while True:
            packet = self._waiting
            self._waiting = None
            if packet is None:
                try:
                    packet = next(self._packets, None)
                except FFmpegError as error:
                    raise SourceError(f"{self._input.name}: reading the other streams broke off ({error})") from error
            if packet is None:
                return
            ticks = packet.dts if packet.dts is not None else packet.pts
            if ticks is None or packet.size == 0:
                continue  # the demuxer's end mark
            when = ticks * packet.time_base
            if self._begin is not None and when < self._begin:
                continue
            if self._end is not None and when >= self._end:
                continue
            if time_s is not None and when - zero > time_s:
                self._waiting = packet
                return
            shift = round(zero / packet.time_base)
            if shift:
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.dts = None if packet.dts is None else packet.dts - shift
            packet.stream = self._outputs[packet.stream_index]
            output.mux(packet)


def _describe(target: Stream, source: Stream) -> None:
    target.metadata.update(source.metadata)
    target.disposition = source.disposition


def _cut_chapters(chapters: list[Any], begin: Fraction | None, end: Fraction | None) -> list[Any]:
    """Chapters that overlap the span, moved to the output's clock."""
    if begin is None and end is None:
        return chapters
    zero = begin or Fraction(0)
    kept = []
    for chapter in chapters:
        base = chapter["time_base"]
        start, stop = chapter["start"] * base, chapter["end"] * base
        if stop > zero and (end is None or start < end):
            stop = stop if end is None else min(stop, end)
            kept.append({**chapter, "start": round(max(start - zero, 0) / base), "end": round((stop - zero) / base)})
    return kept


def _short(error: Exception) -> str:
    return str(error).split("\n")[0]
