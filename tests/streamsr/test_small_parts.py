"""Buffers, statistics, model look-up, sizes and times: the small parts."""

import json
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsr import Frame, ModelError, Upscaler
from streamsr.cli.parameters import Seconds
from streamsr.errors import first_line, reason_of
from streamsr.jobs.files import upscale_image
from streamsr.jobs.options import target_size
from streamsr.model import MAX_MODEL_BYTES, find_model
from streamsr.picture.buffers import BufferPool
from streamsr.picture.files import read_image, write_image
from streamsr.stats import Event, Fate, Recorder, Stage
from tests.support.engine import EXACT
from xlsr_model import weights


def test_a_buffer_in_use_is_never_handed_out_again() -> None:
    pool = BufferPool()
    held = [pool.take((4, 5, 3)) for _ in range(20)]
    for i, array in enumerate(held):
        array[:] = i
    assert all((array == i).all() for i, array in enumerate(held))


def test_a_view_keeps_its_buffer_from_being_handed_out() -> None:
    pool = BufferPool()
    view = pool.take((4, 5, 3))[1:2]
    view[:] = 9
    pool.take((4, 5, 3))[:] = 1
    assert (view == 9).all()


def test_a_buffer_given_back_is_used_again() -> None:
    pool = BufferPool()
    first = pool.take((4, 5, 3))
    address = first.ctypes.data
    del first
    assert pool.take((4, 5, 3)).ctypes.data == address


def test_buffers_of_another_size_are_let_go() -> None:
    pool = BufferPool()
    for side in range(1, 50):
        assert pool.take((side, side, 3)).shape == (side, side, 3)
    assert len(pool._free) <= 8


def test_a_buffer_lives_as_long_as_anything_that_looks_at_it() -> None:
    """Views of views, memoryviews and what is made from those: no count of references is asked."""
    pool = BufferPool()
    array = pool.take((4, 5, 3))
    address = array.ctypes.data
    array[:] = 7
    holders = [
        array[1:][..., ::-1],
        memoryview(array),
        np.frombuffer(memoryview(array), np.uint8)[3:],
    ]
    del array
    while holders:
        pool.take((4, 5, 3))[:] = 1
        assert all((np.asarray(holder) == 7).all() for holder in holders)
        holders.pop()
    again = [pool.take((4, 5, 3)) for _ in range(2)]
    assert address in [array.ctypes.data for array in again]


@pytest.mark.parametrize(
    ("error", "line", "reason"),
    [
        (ValueError("  one\ntwo"), "one", "one"),
        (ValueError(), "ValueError", "ValueError"),
        (FileNotFoundError(2, "No such file", "x"), "[Errno 2] No such file: 'x'", "No such file"),
    ],
)
def test_an_error_is_told_in_one_line(error: Exception, line: str, reason: str) -> None:
    assert first_line(error) == line
    assert reason_of(error) == reason


def test_fates_and_latencies_are_counted() -> None:
    record = Recorder()
    record.count(Event.IN, 3)
    record.count(Fate.NETWORK, 2)
    record.count(Fate.DROPPED)
    for seconds in (0.001, 0.002, 0.003):
        record.latency(seconds)
    record.pixels(total=100, reused=25)
    with record.stage(Stage.NETWORK):
        pass
    seen = record.snapshot()
    assert seen.frames["in"] == sum(seen.frames[fate] for fate in Fate)
    assert seen.latency_ms["p50"] == pytest.approx(2)
    assert seen.latency_ms["max"] == pytest.approx(3)
    assert seen.reuse_share == 0.25
    assert json.loads(json.dumps(seen.json()))["frames"]["dropped"] == 1


def test_statistics_of_nothing_are_numbers_too() -> None:
    seen = Recorder().snapshot()
    assert seen.latency_ms == dict.fromkeys(("p50", "p95", "p99", "max"))
    assert seen.fps == 0
    assert set(seen.frames) == {"in", "out", *Fate, "damaged"}


def test_the_default_model_upscales_by_three() -> None:
    assert find_model().name == "xlsr_x3_u8"
    assert find_model(scale=3).path == weights.path("xlsr_x3_u8")


@pytest.mark.parametrize(
    ("asked", "scale", "lossy", "found"),
    [
        ("auto", None, False, "xlsr_x3_u8"),
        ("auto", None, True, "xlsr-video_x3_u8"),
        ("auto", 2, True, "xlsr-video_x2_u8"),
        ("auto", 4, True, "xlsr-video_x4_u8"),
        ("clean", 3, True, "xlsr_x3_u8"),
        ("video", 2, False, "xlsr-video_x2_u8"),
    ],
)
def test_auto_is_by_what_the_pictures_went_through(
    asked: str, scale: int | None, lossy: bool, found: str
) -> None:
    assert find_model(asked, scale=scale, lossy=lossy).name == found


def test_a_kind_that_is_not_shipped_at_the_scale_is_refused() -> None:
    with pytest.raises(ModelError, match="no shipped video model upscales by 5"):
        find_model("video", scale=5)


def test_a_model_is_found_by_name_and_by_path(model: Path) -> None:
    assert find_model("xlsr_x3_u8").content == find_model(str(model)).content == model.read_bytes()


@pytest.mark.parametrize("name", ["nothing", "nothing.tflite", "../weights/nothing", ""])
def test_an_unknown_model_is_named_beside_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError, match="xlsr_x3_u8"):
        find_model(name)


def test_a_scale_nobody_trained_is_refused() -> None:
    with pytest.raises(ModelError, match="no shipped clean model upscales by 7"):
        find_model(scale=7)


def test_a_file_too_large_for_a_model_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "large.tflite", "wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)
    with pytest.raises(ModelError, match="larger than any model"):
        find_model(tmp_path / "large.tflite")


@pytest.mark.parametrize(
    ("to", "width", "height", "expected"),
    [
        ("1080p", 640, 360, (1920, 1080)),
        ("1080p", 360, 640, (1080, 1920)),
        ("1080p", 720, 720, (1080, 1080)),
        ("1080p", 720, 480, (1620, 1080)),
        ("1440p", 854, 480, (2562, 1440)),
        ("2160p", 1920, 1080, (3840, 2160)),
        ("720p", 500, 281, (1282, 720)),
        ("100x50", 640, 360, (88, 50)),
        ("101x51", 640, 360, (90, 51)),
        ("333x999", 640, 360, (333, 188)),
        ("1920x1080", 640, 360, (1920, 1080)),
        ("1921x1083", 641, 361, (1921, 1082)),
    ],
)
def test_target_sizes(to: str, width: int, height: int, expected: tuple[int, int]) -> None:
    assert target_size(to, width, height) == expected


@pytest.mark.parametrize(
    ("to", "size", "sar", "turned", "expected"),
    [
        ("1080p", (720, 576), Fraction(64, 45), False, (1350, 1080)),
        ("512x288", (180, 144), Fraction(64, 45), False, (360, 288)),
        ("400x400", (180, 144), Fraction(64, 45), False, (282, 226)),
        ("1080p", (480, 576), Fraction(1, 2), False, (2160, 2592)),
        ("240x426", (170, 96), Fraction(1), True, (426, 240)),
        ("1080p", (640, 360), Fraction(1), True, (1920, 1080)),
        ("288x512", (180, 144), Fraction(64, 45), True, (360, 288)),
    ],
)
def test_targets_count_the_shape_of_pixels_and_the_turn(
    to: str, size: tuple[int, int], sar: Fraction, turned: bool, expected: tuple[int, int]
) -> None:
    assert target_size(to, *size, sar=sar, turned=turned) == expected


@given(
    st.integers(8, 3000),
    st.integers(8, 3000),
    st.fractions(Fraction(1, 3), 3, max_denominator=64),
    st.tuples(st.integers(50, 5000), st.integers(50, 5000)),
    st.booleans(),
)
def test_a_picture_fits_into_its_target_as_it_is_shown(
    width: int, height: int, sar: Fraction, box: tuple[int, int], turned: bool
) -> None:
    got = target_size(f"{box[0]}x{box[1]}", width, height, sar=sar, turned=turned)
    shown = [got[0] * sar, Fraction(got[1])]
    if turned:
        shown.reverse()
    slack = 2 * (1 + max(sar, 1))
    assert all(a <= b + slack for a, b in zip(shown, box, strict=True))
    assert any(a >= b - slack for a, b in zip(shown, box, strict=True))
    if min(got) > 2:
        assert abs(got[0] - got[1] * Fraction(width, height)) <= 1 + Fraction(width, height)


@pytest.mark.parametrize(
    "to", ["", "p", "10p", "12345p", "1080", "1080P", "0x5", "5x", "-1x5", "1x99999", "\u0661080p"]
)
def test_sizes_that_are_none(to: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        target_size(to, 16, 9)


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from(["720p", "1080p", "2160p"]))
def test_a_target_keeps_the_shape_of_the_picture(width: int, height: int, to: str) -> None:
    got = target_size(to, width, height)
    assert min(got) == int(to[:-1])
    assert max(got) % 2 == 0
    short, long = sorted((width, height))
    assert abs(max(got) - Fraction(long, short) * min(got)) <= 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("1:30", 90),
        ("0:01:30.5", 90.5),
        ("2:00:00", 7200),
        ("1:2:3", 3723),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert Seconds().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1:", ":1", "1:2:3:4", "1e3", "1,5", "nan"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time"):
        Seconds().convert(text, None, None)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
        "x",
    ],
    ids=["gray", "rgba", "float", "empty", "text"],
)
def test_what_is_no_picture_is_refused_by_the_upscaler(model: Path, image: np.ndarray) -> None:
    from streamsr import Upscaler

    with (
        Upscaler(model, engine=EXACT, threads=1) as upscaler,
        pytest.raises(ValueError, match="expected"),
    ):
        upscaler(image)


@pytest.mark.parametrize("reuse", [True, False])
def test_every_pixel_is_counted_however_it_was_made(
    model: Path, tmp_path: Path, reuse: bool
) -> None:

    frames = [Frame(np.full((8, 16, 3), i, np.uint8), i, Fraction(1, 25)) for i in range(3)]
    with Upscaler(model, engine="litert", threads=1, reuse=reuse) as upscaler:
        upscaler.frames(frames)
        upscaler.frames(frames[2:])
        assert sum(upscaler.record.pixel_counts.values()) == 4 * 8 * 16
        assert upscaler.record.pixel_counts["network"] == (3 if reuse else 4) * 8 * 16
        before = upscaler.record.pixel_counts["network"]
        write_image(tmp_path / "in.png", frames[0].rgb, None, overwrite=False)
        upscale_image(
            read_image(tmp_path / "in.png"), tmp_path / "out.png", upscaler, overwrite=False
        )
        assert upscaler.record.pixel_counts["network"] - before == 8 * 16
