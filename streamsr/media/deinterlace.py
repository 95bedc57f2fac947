"""Deinterlaces frames: two fields, captured at different times, become one progressive picture."""

from collections.abc import Iterator

from av.error import BlockingIOError as NothingYet
from av.error import EOFError as Finished
from av.error import FFmpegError
from av.filter import Graph
from av.video.frame import VideoFrame

from streamsr.errors import SourceError

FORCED = {"force-tff": "tff", "force-bff": "bff"}
"""Which field comes first in every frame, by the word that says so for what has no flags."""


class Deinterlacer:
    """FFmpeg's filter bwdif. One frame comes out for each frame in, with its time; frames that are
    not interlaced pass unchanged.

    first   a frame of the size and the format that it is made for
    fields  ``tff`` or ``bff``: every frame is interlaced, with this field first, whatever it says

    It needs one frame ahead. For one thread.
    """

    def __init__(self, first: VideoFrame, *, fields: str | None = None) -> None:
        self._graph = Graph()
        self._kind = _kind(first)
        self._base = first.time_base
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base
        )
        which = f"parity={fields}:deint=all" if fields else "parity=auto:deint=interlaced"
        bwdif = self._graph.add("bwdif", f"mode=send_frame:{which}")
        # bwdif takes planes only: packed pictures come back as they were.
        same = self._graph.add("format", f"pix_fmts={first.format.name}")
        sink = self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(same)
        same.link_to(sink)
        self._graph.configure()

    def takes(self, frame: VideoFrame) -> bool:
        """Whether the frame has the size and the format that this was made for."""
        return _kind(frame) == self._kind

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Put a frame in, None after the last; gives the frames that are ready then."""
        self._graph.push(frame)
        while True:
            try:
                ready = self._graph.pull()
            except (NothingYet, Finished):
                return
            assert isinstance(ready, VideoFrame)
            # The filter counts in half ticks: it could give two frames for one.
            if ready.pts is not None and ready.time_base is not None and self._base is not None:
                ready.pts = int(ready.pts * ready.time_base / self._base)
                ready.duration = int(ready.duration * ready.time_base / self._base)
                ready.time_base = self._base
            yield ready


def progressive(
    frames: Iterator[VideoFrame], interlaced: str, *, name: object
) -> Iterator[VideoFrame]:
    """The frames, interlaced ones treated as ``interlaced`` says, one of
    `streamsr.options.INTERLACED`.

    name  of what they come from, for messages

    Raises SourceError where they are interlaced and that is to be an error, or cannot be mended.
    """
    fields = FORCED.get(interlaced)
    deinterlacer: Deinterlacer | None = None
    for frame in frames:
        if frame.interlaced_frame and interlaced == "error":
            raise SourceError(f"{name}: is interlaced")
        if deinterlacer is not None and not deinterlacer.takes(frame):
            yield from deinterlacer.push(None)
            deinterlacer = None
        if deinterlacer is None and (
            fields or (frame.interlaced_frame and interlaced == "deinterlace")
        ):
            try:
                deinterlacer = Deinterlacer(frame, fields=fields)
            except FFmpegError:
                size = f"{frame.width}x{frame.height}"
                raise SourceError(f"{name}: {size} is too small to be deinterlaced") from None
        if deinterlacer is None:
            yield frame
        else:
            yield from deinterlacer.push(frame)
    if deinterlacer is not None:
        yield from deinterlacer.push(None)


def _kind(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
