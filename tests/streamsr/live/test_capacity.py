"""What runs in real time, from the time for a pixel."""

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsr.frame import StreamInfo
from streamsr.live.capacity import RATES, SIZES, SPARE, Pace, fitting, largest, too_large
from tests.support.command import Command

HD = 1280 * 720


def stream(width: int, height: int, rate: Fraction | None) -> StreamInfo:
    return StreamInfo(width, height, Fraction(1, 1000), rate=rate, live=True)


@pytest.mark.parametrize(
    ("pace", "fps", "size"),
    [
        (1 / 25 / HD, 25, (1280, 720)),
        (1 / 25 / HD, 30, (960, 540)),
        (1.01 / 25 / HD, 25, (960, 540)),
        (0.99 / 30 / HD, 30, (1280, 720)),
        (1 / 30 / (640 * 360), 30, (640, 360)),
        (1 / 25 / (854 * 480), 25, (854, 480)),
        (1 / 25 / (320 * 180), 25, (320, 180)),
        (1.01 / 25 / (320 * 180), 25, None),
    ],
)
def test_the_largest_size_is_the_last_whose_frame_takes_no_longer_than_there_is(
    pace: float, fps: int, size: tuple[int, int] | None
) -> None:
    assert largest(pace, 1 / fps) == size


@given(st.floats(1e-10, 1e-4), st.floats(1e-10, 1e-4))
def test_a_faster_machine_and_a_lower_rate_never_fit_less(one: float, other: float) -> None:
    slow, fast = max(one, other), min(one, other)
    for fps in RATES:
        assert set(fitting(slow, 1 / fps)) <= set(fitting(fast, 1 / fps)) <= set(SIZES)
    assert set(fitting(one, 1 / 30)) <= set(fitting(one, 1 / 25))


def test_the_line_names_each_rate_live_and_with_encoding() -> None:
    pace = Pace(live=1 / 30 / (640 * 360), encoded=1.1 / 25 / (320 * 180))
    assert pace.line() == (
        "25 fps: 640x360 live, no usual size with encoding; "
        "30 fps: 640x360 live, no usual size with encoding"
    )


def test_a_source_that_fits_is_not_spoken_of() -> None:
    pace = 0.039 / SPARE / (640 * 360)
    assert too_large(stream(640, 360, Fraction(25)), pace, 0.1) is None
    assert too_large(stream(640, 360, None), pace, 0.1) is None


def test_a_source_that_is_too_large_is_told_what_would_fit() -> None:
    pace = 0.060 / SPARE / (640 * 360)
    said = too_large(stream(640, 360, Fraction(25)), pace, 0.1)
    assert said is not None
    assert said.startswith("640x360 at 25 fps is too large to be upscaled in full here: ")
    assert "about 60 ms a frame, 40 ms are there" in said
    assert said.endswith("480x270 would fit")
    said = too_large(stream(640, 360, Fraction(25)), pace * 10, 0.1)
    assert said is not None
    assert said.endswith("none of the usual sizes would fit")


def test_the_budget_counts_where_it_is_shorter_than_the_time_between_frames() -> None:
    pace = 0.030 / SPARE / (640 * 360)
    for rate in (Fraction(25), None):
        info = stream(640, 360, rate)
        assert too_large(info, pace, 0.035) is None
        said = too_large(info, pace, 0.020)
        assert said is not None
        assert "20 ms are there" in said
        assert too_large(dataclasses.replace(info, width=480, height=270), pace, 0.020) is None


def test_live_says_once_that_a_source_is_too_large(streamsr: Command) -> None:
    large = "test:1280x720@60", "--budget-ms", 1, "--duration", 0.2
    result = streamsr("live", *large)
    assert result.status == 0, result.err
    assert result.err.count("1280x720 at 60 fps is too large to be upscaled in full here") == 1
    result = streamsr("live", "test:112x64@1", "--duration", 0.2, "--budget-ms", 3_600_000)
    assert result.status == 0, result.err
    assert "too large" not in result.err
