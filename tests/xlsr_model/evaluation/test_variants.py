"""What enlarges, beside what the cells show of it."""

import subprocess

import numpy as np
import pytest

from tests.xlsr_model.evaluation.video_clips import moving
from xlsr_model.evaluation.clips import TO_YUV_709, planes, shrink
from xlsr_model.evaluation.evaluate import Upscaler
from xlsr_model.evaluation.judge import color_shift, ffmpeg, psnr_y
from xlsr_model.evaluation.variants import resize, shader, through_rgb

PASSES_ON = """//!HOOK LUMA
//!BIND HOOKED
vec4 hook() { return HOOKED_tex(HOOKED_pos); }
"""


@pytest.fixture
def vulkan():
    pytest.importorskip("imageio_ffmpeg", reason="the judge is in the extra dev")
    command = [ffmpeg(), "-v", "error", "-init_hw_device", "vulkan=v:0", "-f", "lavfi"]
    command += ["-i", "color=s=16x16", "-frames:v", "1", "-f", "null", "-"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs Vulkan, as of Debian's mesa-vulkan-drivers")


@pytest.mark.parametrize("matrix", [None, TO_YUV_709])
def test_a_shader_that_does_nothing_is_a_resize_without_a_change_of_colour(
    vulkan,  # noqa: ARG001  a condition
    tmp_path,
    matrix,
):
    file = tmp_path / "nothing.glsl"
    file.write_text(PASSES_ON)
    clip = moving(frames=2)
    low = np.stack(shrink(list(clip.frames), 2, "area"))
    matrix = clip.matrix if matrix is None else matrix
    made = shader(file, 2).run(low, matrix)
    assert made.shape == clip.frames.shape
    assert max(map(abs, color_shift(made, low, matrix).values())) < 0.5
    lanczos = resize("lanczos", 2).run(low, matrix)
    assert psnr_y(made, clip.frames) == pytest.approx(psnr_y(lanczos, clip.frames), abs=1)


def test_a_network_that_only_repeats_pixels_keeps_the_colours():
    clip = moving(frames=1)
    planes(clip.frames)[0][...] //= 2  # every colour of it is one that RGB has
    planes(clip.frames)[0][...] += 50
    repeat = Upscaler("repeat", 3, lambda lr: lr.repeat(3, axis=0).repeat(3, axis=1))
    made = through_rgb(repeat, lambda made, _: made)(clip.frames, clip.matrix)
    assert made.shape == (1, 3 * 216, 3 * 192)
    assert max(map(abs, color_shift(made, clip.frames, clip.matrix).values())) < 0.2
    y = planes(made)[0][:, 1::3, 1::3].astype(int)
    assert np.abs(y - planes(clip.frames)[0]).max() <= 1
