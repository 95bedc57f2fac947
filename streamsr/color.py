"""Colour tags of a video: which matrix, primaries, transfer function and range its samples have.

Code points are those of ITU-T H.273, which FFmpeg and the containers share. The arithmetic is in
`streamsr.picture.yuv`.
"""

from dataclasses import dataclass, replace

RGB, BT709, UNSPECIFIED, BT470BG, SMPTE170M, SMPTE240M, BT2020_NCL = 0, 1, 2, 5, 6, 7, 9
FCC = 4
LIMITED, FULL = 1, 2

_LUMA = {  # Kr, Kb of H.273 table 4
    BT709: (0.2126, 0.0722),
    FCC: (0.30, 0.11),
    BT470BG: (0.299, 0.114),
    SMPTE170M: (0.299, 0.114),
    SMPTE240M: (0.212, 0.087),
    BT2020_NCL: (0.2627, 0.0593),
}
_NAMES = {
    BT709: "bt709",
    FCC: "fcc",
    BT470BG: "bt470bg",
    SMPTE170M: "smpte170m",
    SMPTE240M: "smpte240m",
    9: "bt2020",
}


@dataclass(frozen=True, slots=True)
class ColorTags:
    """Colour tags of a stream as code points. UNSPECIFIED, or 0 for ``range``, where the file does
    not say."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    range: int = 0

    def resolved(self, width: int, height: int, *, full_range: bool = False) -> "ColorTags":
        """These tags, with those missing set to what a player would guess for a picture of this
        size.

        An output of another size must carry the result: a player would guess again by the new size
        and shift the colours. The rule is mpv's (video/csputils.c): BT.709 from 1280 columns or
        above 576 lines, BT.601 below, with the primaries of the 625 or 525 line system only at
        exactly those sizes.
        """
        hd = width >= 1280 or height > 576
        tags = self
        if tags.matrix not in _LUMA:
            tags = replace(tags, matrix=BT709 if hd else SMPTE170M)
        if tags.primaries in (0, UNSPECIFIED):
            sd = {576: BT470BG, 480: SMPTE170M, 486: SMPTE170M}
            tags = replace(tags, primaries=BT709 if hd else sd.get(height, BT709))
        if tags.transfer in (0, UNSPECIFIED):
            tags = replace(tags, transfer=BT709)
        if tags.range not in (LIMITED, FULL):
            tags = replace(tags, range=FULL if full_range else LIMITED)
        return tags

    @property
    def luma(self) -> tuple[float, float]:
        """(Kr, Kb) of the matrix. For resolved tags only."""
        return _LUMA[self.matrix]

    def __str__(self) -> str:
        name = _NAMES.get(self.matrix, "untagged")
        return f"{name}, {({LIMITED: 'limited', FULL: 'full'}).get(self.range, 'unknown')} range"
