"""Reading ground truth and shrinking it, without a change of colour or place."""

import dataclasses

import numpy as np
import pytest

from tests.xlsr_model.evaluation.video_clips import moving, write
from xlsr_model.data.codec import TO_YUV, to_rgb, to_yuv
from xlsr_model.evaluation import clips
from xlsr_model.evaluation.clips import KERNELS, TO_YUV_709, find_clips, planes, read_clip, shrink
from xlsr_model.evaluation.codecs import CODECS, LEVELS, through
from xlsr_model.evaluation.judge import psnr_y


def test_a_clip_is_read_as_it_was_written(tmp_path):
    clip = moving(frames=6)
    read = read_clip(write(clip, tmp_path / "a.mkv"), 3, 6)
    assert np.array_equal(read.frames, clip.frames)
    assert read.size == (192, 144)
    assert read.digest == dataclasses.replace(clip, name="a").digest


def test_the_last_frames_are_taken_and_sizes_cut(tmp_path):
    clip = moving(width=194, height=146, frames=6)
    read = read_clip(write(clip, tmp_path / "a.mkv"), 4, 2)
    assert read.size == (192, 144)
    y, u, _ = planes(clip.frames)
    assert np.array_equal(planes(read.frames)[0], y[-2:, :144, :192])
    assert np.array_equal(planes(read.frames)[1], u[-2:, :72, :96])


@pytest.mark.parametrize(
    ("height", "tag", "matrix"),
    [(144, 2, TO_YUV), (144, 1, TO_YUV_709), (720, 2, TO_YUV_709), (720, 6, TO_YUV)],
)
def test_the_matrix_is_that_of_the_tag_or_the_players_guess(tmp_path, height, tag, matrix):
    clip = moving(width=96, height=height, frames=1)
    read = read_clip(write(clip, tmp_path / "a.mkv", colorspace=tag), 3, 1)
    assert np.array_equal(read.matrix, matrix)


def test_white_and_black_and_greys_have_no_colour_in_either_matrix():
    for matrix in (TO_YUV, TO_YUV_709):
        np.testing.assert_allclose(matrix.sum(1) * 255, [219, 0, 0], atol=0.01)
        grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 2, axis=0).repeat(3, axis=2)
        assert np.abs(to_rgb(to_yuv(grey, matrix), matrix).astype(int) - grey).max() <= 1


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_shrinking_keeps_colour_and_place(kernel, scale):
    clip = moving(frames=1)
    (low,) = shrink(list(clip.frames), scale, kernel)
    for small, whole in zip(planes(low), planes(clip.frames[0]), strict=True):
        assert small.shape == (whole.shape[0] // scale, whole.shape[1] // scale)
        assert abs(small.mean() - whole.mean()) < 0.2
    mirrored = clips.from_planes(*(plane[::-1, ::-1] for plane in planes(clip.frames[0])))
    (turned,) = shrink([mirrored], scale, kernel)
    difference = planes(turned)[0][::-1, ::-1].astype(int) - planes(low)[0]
    assert np.abs(difference).max() <= 1  # a kernel that is off its place is so to one side


@pytest.mark.parametrize("name", CODECS)
def test_a_lower_level_of_every_codec_is_a_worse_picture(name):
    clip = moving(width=128, height=96, frames=5, step=1)
    codec = CODECS[name]
    assert len(codec.quality) == len(LEVELS)
    near, poor = (
        psnr_y(np.stack(through(list(clip.frames), codec, quality)), clip.frames)
        for quality in (codec.quality[0], codec.quality[-1])
    )
    assert near > 38
    assert near > poor + 6


@pytest.mark.parametrize("name", CODECS)
def test_a_clip_is_encoded_alike_every_time(name):
    """Or a model would be measured on other pictures than the one before."""
    clip = moving(width=160, height=96, frames=6)
    frames, codec = list(clip.frames), CODECS[name]
    first, *others = (np.stack(through(frames, codec, codec.quality[2])) for _ in range(4))
    assert all(np.array_equal(first, other) for other in others)


def test_bad_places_are_named(tmp_path):
    with pytest.raises(ValueError, match="no clips in"):
        find_clips([tmp_path])
    file = write(moving(frames=2), tmp_path / "a.mkv")
    (tmp_path / "notes.txt").write_text("text")
    assert find_clips([tmp_path]) == [file]
    with pytest.raises(ValueError, match="two clips are called a"):
        find_clips([tmp_path, file])
    with pytest.raises(ValueError, match=r"a\.mkv: expected 3 frames, got 2"):
        read_clip(file, 3, 3)
    small = write(moving(width=32, height=32, frames=1), tmp_path / "small.mkv")
    with pytest.raises(ValueError, match="too small to shrink by 3"):
        read_clip(small, 3, 1)
