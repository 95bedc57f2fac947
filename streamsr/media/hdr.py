"""Reads HDR metadata from decoded frames: the mastering display and the light levels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from streamsr.frame import CHROMATICITY, LUMINANCE, HdrMetadata

_DYNAMIC = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_METADATA": "Dolby Vision",
}


def has_no_base_layer(frame: VideoFrame) -> bool:
    """Whether this is Dolby Vision profile 5, whose samples are neither RGB nor YCbCr without its
    metadata.

    FFmpeg's rule (ff_dovi_guess_profile_hevc): RPU profile 0 with a base layer of full range.
    """
    container: Any = frame.side_data  # typed as a mapping of strings; it gives its entries
    for entry in container:
        if entry.type.name == "DOVI_METADATA":
            # AVDOVIMetadata: the first field is the offset of its AVDOVIRpuDataHeader.
            data = bytes(entry)
            header = int.from_bytes(data[:8], "little")
            return data[header + 4] == 0 and data[header + 10] == 1
    return False


def hdr_of(frame: VideoFrame) -> HdrMetadata:
    """The frame's metadata (libavutil/mastering_display_metadata.h: ten rationals, two flags)."""
    container: Any = frame.side_data  # typed as a mapping of strings; it gives its entries
    found: Mapping[str, bytes] = {entry.type.name: bytes(entry) for entry in container}
    mastering = light = None
    if (data := found.get("MASTERING_DISPLAY_METADATA")) is not None:
        numbers = np.frombuffer(data, np.int32)
        has_primaries, has_luminance = numbers[20:22]
        if has_primaries and has_luminance and numbers[1:20:2].all():
            ratios = numbers[0:20:2] / numbers[1:20:2]
            units = [CHROMATICITY] * 8 + [LUMINANCE] * 2
            mastering = tuple(round(float(r) * unit) for r, unit in zip(ratios, units, strict=True))
    if (data := found.get("CONTENT_LIGHT_LEVEL")) is not None:
        maximum, average = np.frombuffer(data, np.uint32)[:2]
        light = int(maximum), int(average)
    return HdrMetadata(
        mastering, light, tuple(name for kind, name in _DYNAMIC.items() if kind in found)
    )
