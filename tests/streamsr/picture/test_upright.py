"""Pictures are turned as ffmpeg turns them by the same matrix."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.frame import Frame, StreamInfo
from streamsr.picture.upright import swaps_sides, upright, upright_info
from tests.support.media import look, make_video, picture
from tests.support.processes import run
from tests.support.servers import needs_ffmpeg

ONE = 1 << 16


def rotation(degrees: float, *, mirrored: bool = False) -> tuple[int, ...]:
    """The matrix of a film that is to be turned so far against the clock, as FFmpeg makes it."""
    cos, sin = (round(ONE * f(math.radians(degrees))) for f in (math.cos, math.sin))
    flip = -1 if mirrored else 1
    return (flip * cos, -sin, 0, flip * sin, cos, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_is_turned_as_ffmpeg_shows_it(
    tmp_path: Path, degrees: int, mirrored: bool
) -> None:
    matrix = rotation(degrees, mirrored=mirrored)
    film = make_video(
        tmp_path / "in.mp4",
        pts=[0],
        options={"qp": "0"},
        prepare=lambda _container, stream: stream.set_display_matrix(matrix),
    )
    stored = look(film, keep_frames=True).frames[0]
    shown = upright(Frame(stored, 0, Fraction(1, 25)), matrix).rgb
    words = [needs_ffmpeg(), "-v", "error", "-nostdin", "-i", film, "-f", "rawvideo"]
    raw = run([*words, "-pix_fmt", "rgb24", "-"], text=False, check=True).stdout
    expected = np.frombuffer(raw, np.uint8).reshape(shown.shape)
    assert abs(shown.astype(int) - expected).mean() < 3


def test_no_right_angle_is_left_alone() -> None:
    frame = Frame(picture(0), 0, Fraction(1, 25))
    assert not swaps_sides(rotation(30))
    assert upright(frame, rotation(30)) is frame
    assert upright(frame, None) is frame


def test_the_info_is_that_of_the_turned_pictures() -> None:
    info = StreamInfo(64, 48, Fraction(1, 25), sar=Fraction(4, 3), display_matrix=rotation(90))
    expected = replace(info, width=48, height=64, sar=Fraction(3, 4), display_matrix=None)
    assert upright_info(info) == expected
