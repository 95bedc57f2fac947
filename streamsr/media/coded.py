"""Sees how strongly a codec has compressed a film, from some of its decoded pictures.

The quantiser is what the decoder says of it (FFmpeg's AVVideoEncParams, which those of H.264, VP9
and the MPEG family export; libavutil/video_enc_params.h): the mean over a picture's blocks.
"""

from typing import Any

import numpy as np
from av.sidedata.encparams import VideoEncParams
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsr.frame import Coded
from streamsr.media.frames import depth_of
from streamsr.picture.sharpness import Plane, Steps, middle, steps

_DELTA = 4
"""Place of a block's difference from the picture's quantiser, in integers of 32 bits, behind its
position and size in AVVideoBlockParams."""

DEPTH_STEP = 6
"""What H.264 adds to the quantiser for each bit above 8 (ITU-T H.264, 8.5.8), and FFmpeg leaves
in."""


def export_quantisers(stream: VideoStream) -> None:
    """Have the stream's decoder, which is not open yet, tell its quantisers: 0.02 ms a picture at
    360p."""
    codec = stream.codec_context
    codec.options = {**codec.options, "export_side_data": "venc_params"}


class Look:
    """Looks at pictures of one stream that `export_quantisers` was called for, and sums up what
    they say: key frames, since others are coded by what these were not."""

    def __init__(self) -> None:
        self._quantisers: list[float] = []
        self._bits = self._pixels = 0
        self._steps = Steps()

    def add(self, frame: VideoFrame, coded_bytes: int | None) -> None:
        """Take a picture that took so many bytes, None where that is not known."""
        quantiser = _quantiser(frame)
        if quantiser is not None:
            self._quantisers.append(quantiser)
        if coded_bytes is not None:
            self._bits += 8 * coded_bytes
            self._pixels += frame.width * frame.height
        self._steps += steps(_luma(frame))

    def coded(self, stream: VideoStream) -> Coded:
        """What was seen, of pictures that came from this stream."""
        codec = stream.codec_context.codec
        return Coded(
            codec.canonical_name,
            lossy=codec.lossy,
            quantiser=float(np.mean(self._quantisers)) if self._quantisers else None,
            bits=self._bits / self._pixels if self._pixels else None,
            sharpness=self._steps.sharpness,
            detail=self._steps.detail,
        )


def _quantiser(frame: VideoFrame) -> float | None:
    """The mean over the picture's blocks, on the codec's scale of 8 bits; None where the decoder
    does not tell."""
    container: Any = frame.side_data  # typed as a mapping of strings; it takes their kinds
    said = container.get(Type.VIDEO_ENC_PARAMS)
    if not isinstance(said, VideoEncParams):
        return None
    quantiser = float(said.qp)
    words = said.block_size // 4
    if said.nb_blocks and words > _DELTA:
        buffer: Any = said  # which its type does not say
        blocks = np.frombuffer(buffer, np.int32, said.nb_blocks * words, said.blocks_offset)
        quantiser += float(blocks.reshape(said.nb_blocks, words)[:, _DELTA].mean())
    if said.codec_type.name == "H264":
        quantiser -= DEPTH_STEP * (depth_of(frame.format.name) - 8)
    return max(quantiser, 0.0)


def _luma(frame: VideoFrame) -> Plane:
    """The picture's luma, in 8 bits."""
    name = frame.format.name
    depth = depth_of(name)
    ours = name.startswith(("yuv", "gray", "nv12")) and not name.endswith("be") and depth <= 16
    if not ours or frame.planes[0].line_size < 0:
        frame, depth = frame.reformat(format="gray"), 8
    plane: Any = frame.planes[0]  # a buffer, which its type does not say
    flat = np.frombuffer(plane, np.uint8 if depth <= 8 else np.uint16)
    seen = flat.reshape(plane.height, -1)[:, : frame.width]
    return np.asarray(seen if depth <= 8 else middle(seen) >> (depth - 8), np.uint8)
