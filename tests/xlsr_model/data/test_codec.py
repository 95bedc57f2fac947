import numpy as np
import pytest

from streamsr.color import ColorTags
from streamsr.picture.yuv import Converter
from xlsr_model.data.codec import CODECS, through_codec, to_rgb, to_yuv
from xlsr_model.data.images import find_images, load_pairs
from xlsr_model.evaluation.metrics import compare


@pytest.fixture
def lr(pictures):
    return load_pairs(find_images(pictures), 1)[0].hr[:71, :93]  # odd sizes: 4:2:0 has to pad


@pytest.mark.parametrize("codec", CODECS)
def test_a_worse_quality_loses_more_and_keeps_size_and_place(lr, codec):
    _, best, worst, _ = CODECS[codec]
    clip = [np.roll(lr, (n, 2 * n), axis=(0, 1)) for n in (3, 2, 1, 0)]
    good, bad = (through_codec(clip, codec, quality)[-1] for quality in (best, worst))
    assert good.shape == bad.shape == lr.shape
    assert compare(good, lr, 0)["psnr_y"] > compare(bad, lr, 0)["psnr_y"] + 2
    shifted = np.roll(lr, (1, 2), axis=(0, 1))
    assert compare(bad, lr, 0)["psnr_y"] > compare(bad, shifted, 0)["psnr_y"]


def test_colors_are_converted_exactly_as_streamsr_converts_them(lr):
    rgb = lr[:70, :92]
    rows = to_yuv(rgb)
    y, (u, v) = rows[:70], rows[70:].reshape(2, 35, 46)
    converter = Converter(ColorTags(6, 6, 6, 1))
    expected, back = (np.empty_like(y), np.empty_like(u), np.empty_like(v)), np.empty_like(rgb)
    converter.from_rgb(rgb, expected)
    converter.to_rgb((y, u, v), back)
    for plane, other in zip((y, u, v, to_rgb(rows)), (*expected, back), strict=True):
        assert np.mean(plane != other) < 0.001  # a tie may round the other way in float32


def test_every_frame_comes_back_in_order():
    frames = [np.full((64, 64, 3), value, np.uint8) for value in (40, 90, 140, 190, 240)]
    decoded = through_codec(frames, "libx264", 20)
    assert [float(frame.mean()) for frame in decoded] == pytest.approx(
        [40, 90, 140, 190, 240], abs=3
    )
