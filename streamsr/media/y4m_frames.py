"""Raw frames as FFmpeg's own and back, for its filters."""

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsr.media.y4m import Y4mFormat


def frame_of(content: NDArray[np.uint8], layout: Y4mFormat, pts: int) -> VideoFrame:
    """A new frame with the bytes of a raw one."""
    frame = VideoFrame(layout.width, layout.height, layout.pixel_format)
    frame.pts = pts
    frame.time_base = 1 / layout.rate
    for plane, samples in zip(_planes(frame, layout), _samples(content, layout), strict=True):
        plane[:] = samples
    return frame


def read_frame(frame: VideoFrame, layout: Y4mFormat, out: NDArray[np.uint8]) -> None:
    """Write the frame's samples into ``out`` as the bytes of a raw one."""
    for plane, samples in zip(_planes(frame, layout), _samples(out, layout), strict=True):
        samples[:] = plane


Rows = NDArray[np.uint8] | NDArray[np.uint16]


def _planes(frame: VideoFrame, layout: Y4mFormat) -> list[Rows]:
    """Views of the frame's memory, [rows, samples] each."""
    views: list[Rows] = []
    for plane, (rows, columns) in zip(frame.planes, layout.shapes, strict=True):
        samples = np.frombuffer(plane, layout.dtype)  # type: ignore[call-overload]  # PyAV's planes are buffers
        views.append(samples.reshape(-1, plane.line_size // layout.dtype.itemsize)[:rows, :columns])
    return views


def _samples(content: NDArray[np.uint8], layout: Y4mFormat) -> list[Rows]:
    """Views of the raw bytes, [rows, samples] each."""
    views: list[Rows] = []
    at = 0
    for rows, columns in layout.shapes:
        count = rows * columns * layout.dtype.itemsize
        views.append(content[at : at + count].view(layout.dtype).reshape(rows, columns))
        at += count
    return views
