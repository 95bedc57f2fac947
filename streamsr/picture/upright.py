"""Turns pictures as their stream's rotation says: a phone's film that was held upright."""

from dataclasses import replace

import numpy as np

from streamsr.frame import Frame, StreamInfo
from streamsr.picture.decode import upright as turned_by

Matrix = tuple[int, ...]
"""See `streamsr.frame.StreamInfo`: x' = m0 x + m3 y and y' = m1 x + m4 y, y downwards (FFmpeg's
libavutil/display.h)."""

HALF = 1 << 15
"""In 16.16 fixed point."""


def orientation(matrix: Matrix | None) -> int:
    """EXIF's number for what the matrix says; 1, as it is, where there is none, or an angle that is
    no right one."""
    if matrix is None:
        return 1
    straight = matrix[0], matrix[4]
    across = matrix[3], matrix[1]
    swaps = min(map(abs, across)) > HALF > max(map(abs, straight))
    if not swaps and not min(map(abs, straight)) > HALF > max(map(abs, across)):
        return 1
    to_left, to_top = (number < 0 for number in (across if swaps else straight))
    return 1 + 4 * swaps + {(0, 0): 0, (1, 0): 1, (1, 1): 2, (0, 1): 3}[to_left, to_top]


def swaps_sides(matrix: Matrix | None) -> bool:
    """Whether width and height change places."""
    return orientation(matrix) > 4


def upright_info(info: StreamInfo) -> StreamInfo:
    """What is known of the stream once `upright` has turned its frames."""
    if swaps_sides(info.display_matrix):
        info = replace(info, width=info.height, height=info.width, sar=1 / info.sar)
    return replace(info, display_matrix=None)


def upright(frame: Frame, matrix: Matrix | None) -> Frame:
    """The frame as it is to be looked at, in 8 bits and in new memory; itself where nothing is to
    be turned."""
    turned = orientation(matrix)
    if turned == 1:
        return frame
    lr = None if frame.lr is None else np.ascontiguousarray(turned_by(frame.lr, turned))
    rgb = np.ascontiguousarray(turned_by(frame.rgb, turned))
    return replace(frame, rgb=rgb, lr=lr, deep=None, alpha=None)
