"""Deinterlaces frames: two fields, captured at different times, become one progressive picture."""

from collections.abc import Iterator

from av.error import BlockingIOError as NothingYet
from av.error import EOFError as Finished
from av.filter import Graph
from av.video.frame import VideoFrame


class Deinterlacer:
    """FFmpeg's filter bwdif. One frame comes out for each frame in, with its time; frames that are
    not interlaced pass unchanged.

    first  a frame of the size and the format that it is made for

    It needs one frame ahead. For one thread.
    """

    def __init__(self, first: VideoFrame) -> None:
        self._graph = Graph()
        self._kind = _kind(first)
        self._base = first.time_base
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base
        )
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
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


def _kind(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
