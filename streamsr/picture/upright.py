"""Turns pictures as their stream's rotation says: a phone's film that was held upright."""

from dataclasses import replace

import numpy as np

from streamsr.frame import Frame, Image, StreamInfo

Matrix = tuple[int, ...]
"""See `streamsr.frame.StreamInfo`: x' = m0 x + m3 y and y' = m1 x + m4 y, y downwards (FFmpeg's
libavutil/display.h)."""

HALF = 1 << 15
"""In 16.16 fixed point."""


def swaps_sides(matrix: Matrix | None) -> bool | None:
    """Whether width and height change places; None where nothing is to be turned: no matrix, or an
    angle that is no right one."""
    if matrix is None:
        return None
    straight = matrix[0], matrix[4]
    across = matrix[1], matrix[3]
    if min(map(abs, straight)) > HALF > max(map(abs, across)):
        return None if min(straight) > 0 else False
    return True if min(map(abs, across)) > HALF > max(map(abs, straight)) else None


def upright_info(info: StreamInfo) -> StreamInfo:
    """What is known of the stream once `upright` has turned its frames."""
    swaps = swaps_sides(info.display_matrix)
    if swaps:
        info = replace(info, width=info.height, height=info.width, sar=1 / info.sar)
    return replace(info, display_matrix=None)


def upright(frame: Frame, matrix: Matrix | None) -> Frame:
    """The frame as it is to be looked at, in 8 bits and in new memory; itself where nothing is to
    be turned."""
    swaps = swaps_sides(matrix)
    if matrix is None or swaps is None:
        return frame
    across, down = (matrix[3], matrix[1]) if swaps else (matrix[0], matrix[4])

    def turned(picture: Image) -> Image:
        picture = picture.swapaxes(0, 1) if swaps else picture
        picture = picture[::-1] if down < 0 else picture
        picture = picture[:, ::-1] if across < 0 else picture
        return np.ascontiguousarray(picture)

    return replace(
        frame,
        rgb=turned(frame.rgb),
        deep=None,
        alpha=None,
        lr=None if frame.lr is None else turned(frame.lr),
    )
