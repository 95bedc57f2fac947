"""Tiny clips for the tests of what measures video."""

import av
import cv2
import numpy as np

from xlsr_model.data.codec import TO_YUV
from xlsr_model.evaluation.clips import Clip, from_planes


def moving(width=192, height=144, frames=4, step=3):
    """A moving texture with edges; each frame is further by `step` pixels."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(30, 220, (height // 4, width // 2), dtype=np.uint8)
    wide = cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC)
    wide[height // 3 : height // 2, ::17] = 235
    pictures = []
    for n in range(frames):
        y = wide[:, n * step : n * step + width]
        u = np.full((height // 2, width // 2), 110, np.uint8)
        u[:, : width // 4] = 140
        pictures.append(from_planes(y, u, np.full_like(u, 133)))
    return Clip("moving", np.stack(pictures), TO_YUV)


def write(clip, file, **stream):
    """Write a clip as lossless H.264."""
    width, height = clip.size
    with av.open(str(file), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"qp": "0"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for name, value in stream.items():
            setattr(video.codec_context, name, value)
        for rows in clip.frames:
            frame = av.VideoFrame.from_ndarray(rows, format="yuv420p")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return file
