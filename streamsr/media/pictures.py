"""Turns a film's decoded frames into pictures, whatever size they have on the way."""

import logging
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsr.frame import Fit, Image, StreamInfo
from streamsr.media.frames import FrameReader, depth_of, has_alpha
from streamsr.picture.buffers import BufferPool
from streamsr.picture.yuv import Plane

log = logging.getLogger("streamsr")


class Pictures(NamedTuple):
    """One frame: ``rgb`` [H, W, 3] uint8; the same at full depth, and its opacity, where the film
    has them; how it is shown where it does not fill the film's picture."""

    rgb: Image
    deep: NDArray[np.uint16] | None
    alpha: Plane | None
    fit: Fit | None


class PictureReader:
    """Reads the frames of one film; the log says once that they change. For one thread.

    codec  FFmpeg's name of the decoder
    quiet  the log does not say it: this is one segment of many
    """

    def __init__(self, path: Path, info: StreamInfo, *, codec: str, quiet: bool = False) -> None:
        self._path = path
        self._level = logging.DEBUG if quiet else logging.WARNING
        self._info = info
        self._reader = FrameReader(info.color, codec=codec)
        self._pool = BufferPool()
        self._has_changed = False

    def read(self, frame: VideoFrame, sar: Fraction) -> Pictures:
        """The frame, whose pixels have this shape. Nobody may write to ``rgb``. One that does not
        fill the film's picture has 8 bits."""
        info = self._info
        rgb = self._pool.take((frame.height, frame.width, 3))
        self._reader.read(frame, rgb)
        rgb.flags.writeable = False
        fit = self._fit(frame, sar)
        deep = alpha = None
        if fit is None and depth_of(info.pixel_format) > 8:
            deep = np.empty((frame.height, frame.width, 3), np.uint16)
            self._reader.read(frame, deep)
        if fit is None and has_alpha(info.pixel_format):
            alpha = self._reader.alpha(frame)
        return Pictures(rgb, deep, alpha, fit)

    def _fit(self, frame: VideoFrame, sar: Fraction) -> Fit | None:
        """How the frame is shown, when the stream has changed its size or the shape of its
        pixels."""
        info = self._info
        if (frame.width, frame.height, sar) == (info.width, info.height, info.sar):
            return None
        if not self._has_changed:
            self._has_changed = True
            log.log(
                self._level,
                "%s: at %.1f s the picture is %dx%d with pixels of %s, in a film of %dx%d and %s; "
                "it keeps its shape, on black",
                self._path,
                frame.time or 0,
                frame.width,
                frame.height,
                sar,
                info.width,
                info.height,
                info.sar,
            )
        return Fit(info.width, info.height, sar / info.sar)
