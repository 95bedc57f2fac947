"""Cells: what is measured, and what is measured once only."""

import json

import numpy as np
import pytest

from tests.xlsr_model.evaluation.video_clips import moving
from xlsr_model import weights
from xlsr_model.evaluation.cells import measure_cells
from xlsr_model.evaluation.variants import FINISHES, Variant, resize, variants
from xlsr_model.report.video_cells import all_tables, gain

pytest.importorskip("imageio_ffmpeg", reason="the judge is in the extra dev")


def counted(name, key, offset=0):
    """A variant that repeats pixels, and the sizes that it was called with."""
    calls = []

    def run(frames, matrix):
        calls.append(frames.shape)
        return resize("bilinear", 3).run(frames, matrix) + np.uint8(offset)

    return Variant(name, key, run), calls


def measured(variants, cache, **changed):
    options = {"scale": 3, "kernels": ["area"], "sent_as": [("x264", "near"), ("x264", "poor")]}
    return measure_cells([moving()], variants, cache=cache, **options | changed)


def test_each_cell_has_the_measures_of_each_variant(tmp_path):
    rows = measured([resize("bicubic", 3), resize("lanczos", 3)], tmp_path)
    assert [(row["codec"], row["level"], row["quality"]) for row in rows] == [
        ("x264", "near", 4),
        ("x264", "poor", 33),
    ]
    assert all(set(row["measures"]) == {"bicubic", "lanczos"} for row in rows)
    near, poor = (row["measures"]["lanczos"] for row in rows)
    assert all(near[name] > poor[name] for name in ("psnr_y", "ssim_y", "vmaf", "xpsnr_y"))


def test_a_second_run_measures_only_what_is_new(tmp_path):
    first, first_calls = counted("first", "1")
    before = measured([first], tmp_path)
    assert len(first_calls) == 2
    second, second_calls = counted("second", "2")
    after = measured([first, second], tmp_path, kernels=["area", "bicubic"])
    assert (len(first_calls), len(second_calls)) == (4, 4)
    assert [row["measures"]["first"] for row in after[:2]] == [
        row["measures"]["first"] for row in before
    ]


def test_another_variant_under_the_same_name_is_measured_again(tmp_path):
    measured([counted("one", "1")[0]], tmp_path)
    other, calls = counted("one", "2", offset=5)
    (row, _) = measured([other], tmp_path)
    assert len(calls) == 2
    assert row["measures"]["one"]["own_y"] == pytest.approx(5, abs=0.2)


def test_a_picture_of_the_wrong_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="same made"):
        measured([Variant("same", "1", lambda frames, _: frames)], tmp_path)


def test_the_shipped_models_stand_beside_what_is_given(tmp_path):
    file = tmp_path / "mine.tflite"
    file.write_bytes(weights.path("xlsr_x3_u8").read_bytes())
    found = variants(3, [file], ["raw", "consistent"])
    assert [variant.name for variant in found] == [
        "bicubic",
        "lanczos",
        "xlsr-lite_x3_u8",
        "xlsr-lite_x3_u8+consistent",
        "xlsr_x3_u8",
        "xlsr_x3_u8+consistent",
        "xlsr-lite-video_x3_u8",
        "xlsr-lite-video_x3_u8+consistent",
        "xlsr-video_x3_u8",
        "xlsr-video_x3_u8+consistent",
        "mine",
        "mine+consistent",
    ]
    keys = {variant.name: variant.key for variant in found}
    assert keys["mine"] == keys["xlsr_x3_u8"] != keys["mine+consistent"]
    with pytest.raises(ValueError, match="upscales by 3, not by 2"):
        variants(2, [file])


def test_two_files_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two variants are called xlsr_x3_u8"):
        variants(3, [weights.path("xlsr_x3_u8")])


def test_every_finish_keeps_a_grey_picture_grey():
    grey = np.full((12, 15, 3), 90, np.uint8)
    made = np.full((36, 45, 3), 93, np.uint8)
    for name, finish in FINISHES.items():
        assert np.all(finish(made, grey) == (93 if name == "raw" else 90)), name


def test_the_tables_say_what_the_cells_say(tmp_path):
    worse, _ = counted("worse", "1", offset=9)
    rows = measured([resize("bicubic", 3), resize("lanczos", 3), worse], tmp_path)
    text = all_tables(json.loads(json.dumps(rows)))
    lines = [line.split(" | ") for line in text.splitlines()]
    (line,) = [line for line in lines if line[0] == "| worse"]
    gains = [gain(row, "worse") for row in rows]
    assert line[1:3] == [f"{np.mean(gains):+.2f}", "2"]
    assert line[3].startswith(f"{min(gains):+.2f} (moving area x264 ")
    assert "| level | worse |" in text
    assert "| kernel |" not in text
