"""A VapourSynth filter: ``clip = streamsr.vapoursynth.upscale(clip)``."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs

from streamsr.color import FULL, LIMITED, UNSPECIFIED, ColorTags
from streamsr.frame import Frame
from streamsr.picture.buffers import BufferPool
from streamsr.picture.planes import YuvPlanes
from streamsr.upscaler import Upscaler

CENTERED = (1, 3, 5)
"""Values of ``_ChromaLocation`` with chroma between two luma columns: centre, top, bottom."""


def upscale(
    clip: vs.VideoNode,
    *,
    model: str | Path = "auto",
    quality: str = "auto",
    scale: int | None = None,
    engine: str = "auto",
    threads: int | None = None,
    consistency: bool | None = None,
    sharpen: float = 0.0,
    strength: float = 1.0,
) -> vs.VideoNode:
    """Upscale a clip, in its own format, as `streamsr.Upscaler` does.

    clip   of one size and format: YUV 4:2:0, 4:2:2 or 4:4:4 and grey of 8 to 16 bits, or RGB24
    scale  2, 3 or 4, default 3
    model, quality, engine, threads, consistency, sharpen, strength  as for `streamsr.Upscaler`

    Matrix, range and chroma location are read from each frame's properties. Those missing are set
    to what a player would guess by the size, in the output too, since its size is another. All
    other properties are kept. Raises ValueError for a clip of another kind, ModelError when the
    model or the engine cannot be used; vapoursynth.Error for an interlaced frame when it is
    requested.
    """
    _check(clip)
    upscaler = Upscaler(
        model,
        quality=quality,
        scale=scale,
        engine=engine,
        threads=threads,
        consistency=consistency,
        sharpen=sharpen,
        strength=strength,
    )
    # The core calls it for one frame at a time, from any of its threads.
    filter_ = _Filter(upscaler, clip.format)
    larger = vs.core.std.BlankClip(
        clip, width=clip.width * upscaler.scale, height=clip.height * upscaler.scale, keep=True
    )
    return vs.core.std.ModifyFrame(larger, [larger, clip], filter_.frame)


def _check(clip: vs.VideoNode) -> None:
    form = clip.format
    if form is None or not clip.width or not clip.height:
        raise ValueError("expected a clip of one format and one size; make it so with resize")
    if form.id == vs.RGB24:
        return
    known = (0, 0), (1, 0), (1, 1)
    if (
        form.color_family not in (vs.YUV, vs.GRAY)
        or form.sample_type != vs.INTEGER
        or form.bits_per_sample > 16
        or (form.subsampling_w, form.subsampling_h) not in known
    ):
        raise ValueError(
            f"expected YUV 4:2:0, 4:2:2 or 4:4:4 or grey of 8 to 16 bits, or RGB24, got "
            f"{form.name}; "
            "convert it with resize, such as clip.resize.Bicubic(format=vs.YUV444P16)"
        )


class _Filter:
    """Upscales frames of one format, in any order. For one thread at a time."""

    def __init__(self, upscaler: Upscaler, form: vs.VideoFormat) -> None:
        self._upscaler = upscaler
        self._form = form
        self._pool = BufferPool()
        self._yuv: dict[tuple[ColorTags, bool], YuvPlanes] = {}

    def frame(self, n: int, f: Sequence[vs.VideoFrame]) -> vs.VideoFrame:
        """Frame ``n``. ``f``: an empty frame of the output's size, and the frame to upscale. Both
        names are VapourSynth's."""
        blank, source = f
        if source.props.get("_FieldBased", 0):
            raise vs.Error(
                f"frame {n} is interlaced and would be garbled; deinterlace before streamsr"
            )
        result = blank.copy()
        result.props.clear()
        result.props.update(source.props)
        small = [np.asarray(source[i]) for i in range(self._form.num_planes)]
        large = [np.asarray(result[i]) for i in range(self._form.num_planes)]
        rgb = self._pool.take((source.height, source.width, 3))
        if self._form.color_family == vs.RGB:
            for channel in range(3):
                rgb[..., channel] = small[channel]
            hr = self._upscaled(rgb, None).rgb
            for channel in range(3):
                large[channel][:] = hr[..., channel]
            return result
        tags = _tags(source.props).resolved(source.width, source.height)
        yuv = self._converter(tags, source.props)
        yuv.write(self._upscaled(rgb, yuv.read(small, rgb)), large)
        if self._form.color_family == vs.YUV:
            result.props.update(
                _Matrix=tags.matrix, _Primaries=tags.primaries, _Transfer=tags.transfer
            )
        result.props["_Range"] = int(tags.range == FULL)
        return result

    def _upscaled(self, rgb: Any, deep: Any) -> Frame:  # Any: numpy's arrays
        return self._upscaler.frames([Frame(rgb, 0, Fraction(1), deep=deep)])[0]

    def _converter(
        self, tags: ColorTags, props: Mapping[str, Any]
    ) -> YuvPlanes:  # Any: VapourSynth's values
        centered = self._form.subsampling_w == 1 and props.get("_ChromaLocation", 0) in CENTERED
        key = tags, centered
        if key not in self._yuv:
            self._yuv[key] = YuvPlanes(tags, depth=self._form.bits_per_sample, centered=centered)
        return self._yuv[key]


def _tags(props: Mapping[str, Any]) -> ColorTags:  # Any: VapourSynth's values
    """The colour tags. VapourSynth's properties are H.273's code points, except the range."""
    level = {0: LIMITED, 1: FULL}.get(props.get("_Range", -1), 0)
    return ColorTags(
        props.get("_Matrix", UNSPECIFIED),
        props.get("_Primaries", UNSPECIFIED),
        props.get("_Transfer", UNSPECIFIED),
        level,
    )
