"""Metadata of high dynamic range: what the screen was that a film was graded on, and how bright it gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

CHROMATICITY, LUMINANCE = 50_000, 10_000
"""Units of SMPTE ST 2086 in H.265 annex D.3.28: parts of 1, parts of a candela per square metre."""

_DROPPED = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_METADATA": "Dolby Vision",
}


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """Static metadata (HDR10), None where the film has none.

    mastering  ten numbers: x, y of red, green, blue and white in 1/50000, lowest and highest luminance in 1/10000
               candela per square metre
    light      greatest content and frame-average light level, candela per square metre
    dynamic    names of the per-scene kinds that it has besides, which belong to its own pixels and are not carried
    """

    mastering: tuple[int, ...] | None = None
    light: tuple[int, int] | None = None
    dynamic: tuple[str, ...] = ()

    def x265(self) -> str:
        """As x265 and x264 want it in their parameters, empty when there is nothing to say."""
        said = ""
        if self.mastering is not None:
            rx, ry, gx, gy, bx, by, wx, wy, low, high = self.mastering
            said += f":master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"
        if self.light is not None:
            said += f":max-cll={self.light[0]},{self.light[1]}"
        return said

    def x264(self) -> str:
        return self.x265().replace("master-display", "mastering-display").replace("max-cll", "cll").strip(":")

    def svt(self) -> str:
        """As SVT-AV1 wants it: the same in plain numbers."""
        said = ""
        if self.mastering is not None:
            rx, ry, gx, gy, bx, by, wx, wy = (f"{n / CHROMATICITY:.5f}" for n in self.mastering[:8])
            low, high = (f"{n / LUMINANCE:.4f}" for n in self.mastering[8:])
            said += f":mastering-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"
        if self.light is not None:
            said += f":content-light={self.light[0]},{self.light[1]}"
        return said


def has_no_base_layer(frame: VideoFrame) -> bool:
    """Whether this is Dolby Vision of profile 5, whose numbers are neither RGB nor YCbCr without its metadata.

    As FFmpeg tells it (ff_dovi_guess_profile_hevc): RPU profile 0 with a base layer of full range.
    """
    container: Any = frame.side_data  # typed as a mapping of strings; it gives its entries
    for entry in container:
        if entry.type.name == "DOVI_METADATA":
            data = bytes(entry)  # AVDOVIMetadata: the first field is where its AVDOVIRpuDataHeader begins
            header = int.from_bytes(data[:8], "little")
            return data[header + 4] == 0 and data[header + 10] == 1
    return False


def hdr_of(frame: VideoFrame) -> HdrMetadata:
    """What a decoded frame says (libavutil/mastering_display_metadata.h, ten rationals and two flags)."""
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
        most, average = np.frombuffer(data, np.uint32)[:2]
        light = int(most), int(average)
    return HdrMetadata(mastering, light, tuple(name for kind, name in _DROPPED.items() if kind in found))
