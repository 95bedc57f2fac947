"""What is said of a video whose difference from its truth is known."""

import dataclasses

import cv2
import numpy as np
import pytest

from tests.xlsr_model.evaluation.video_clips import moving
from xlsr_model.data.codec import TO_YUV, to_rgb
from xlsr_model.evaluation.clips import TO_YUV_709, planes
from xlsr_model.evaluation.judge import SAME, color_shift, flicker, judged, measure, psnr_y

pytest.importorskip("imageio_ffmpeg", reason="the judge is in the extra dev")


def blurred(clip):
    frames = np.stack([cv2.GaussianBlur(rows, (0, 0), 1.2) for rows in clip.frames])
    return dataclasses.replace(clip, frames=frames)


def test_the_truth_is_equal_to_itself():
    clip = moving()
    measures = measure(clip.frames, clip.frames, clip.matrix)
    assert measures["psnr_y"] == measures["xpsnr_y"] == SAME
    assert measures["ssim_y"] == 1
    assert measures["vmaf"] > 97
    assert measures["flicker"] == 0
    assert [measures[f"shift_{name}"] for name in "yrgb"] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "make", [blurred, lambda clip: dataclasses.replace(clip, frames=clip.frames ^ np.uint8(3))]
)
def test_our_psnr_is_that_of_the_judge(make):
    clip = moving()
    made = make(clip)
    said = judged(made.frames, clip.frames)["psnr_y"]
    assert said == pytest.approx(psnr_y(made.frames, clip.frames), abs=1e-5)


def test_every_measure_of_the_judge_falls_with_blur():
    clip = moving()
    truth, soft = (judged(c.frames, clip.frames) for c in (clip, blurred(clip)))
    assert all(soft[name] < truth[name] for name in truth)


def test_sizes_that_are_no_multiple_of_sixteen_are_judged():
    clip = moving(width=174, height=126)
    said = judged(blurred(clip).frames, clip.frames)
    assert said["psnr_y"] == pytest.approx(psnr_y(blurred(clip).frames, clip.frames), abs=1e-5)


def test_the_shift_of_lighter_luma_is_that_offset():
    clip = moving()
    lighter = clip.frames.copy()
    planes(lighter)[0][...] += 2
    shift = color_shift(lighter, clip.frames, clip.matrix)
    assert shift["shift_y"] == 2
    # Limited range: 219 steps of Y are 255 of every colour.
    assert [shift[f"shift_{c}"] for c in "rgb"] == pytest.approx([2 * 255 / 219] * 3, rel=1e-3)


@pytest.mark.parametrize("matrix", [TO_YUV, TO_YUV_709])
def test_the_shift_in_rgb_is_that_of_the_shown_colours(matrix):
    truth, other = (
        np.concatenate([np.full((16, 16), y), np.full((4, 16), u), np.full((4, 16), v)]).astype(
            np.uint8
        )
        for y, u, v in ((120, 120, 135), (125, 126, 131))
    )
    shift = color_shift(other[None], truth[None], matrix)
    shown = to_rgb(other, matrix).mean((0, 1)) - to_rgb(truth, matrix).mean((0, 1))
    assert [shift[f"shift_{c}"] for c in "rgb"] == pytest.approx(shown, abs=1)


def test_a_still_clip_does_not_flicker():
    still = np.repeat(moving().frames[:1], 4, axis=0)
    assert flicker(still, still) == {"flicker": 0, "flicker_still": 0}
    assert flicker(still // 2, still) == {"flicker": 0, "flicker_still": 0}


def test_what_pulses_where_the_truth_stands_still_flickers_by_that_much():
    still = np.repeat(moving().frames[:1], 4, axis=0)
    pulsing = still.copy()
    pulsing[1::2] += 3
    assert flicker(pulsing, still) == {"flicker": 3, "flicker_still": 3}


def test_nothing_is_said_of_standing_still_where_everything_moves():
    noise = np.random.default_rng(1).integers(20, 230, (4, 96, 64), dtype=np.uint8)
    assert flicker(noise, noise) == {"flicker": 0, "flicker_still": None}
