"""What of a film is shown: the parts with most detail, of different scenes."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsr.compare.choices import shipped, usual_choices
from streamsr.compare.shots import chosen_shots, windows
from streamsr.compare.subject import opened
from streamsr.jobs.options import FileOptions
from tests.support.media import noise
from tests.support.rungs import installed
from xlsr_model import weights


@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    part=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    seed=st.integers(0, 99),
)
def test_parts_are_inside_apart_and_the_best_comes_first(
    size: tuple[int, int], part: tuple[int, int], seed: int
) -> None:
    found = windows(noise(*size, seed), part)
    scores = [score for score, _ in found]
    assert scores == sorted(scores, reverse=True)
    taken = np.zeros(size[::-1], int)
    for _, region in found:
        assert (region.width, region.height) == (min(part[0], size[0]), min(part[1], size[1]))
        taken[region.slices] += 1
        assert 0 <= region.x <= size[0] - region.width
        assert 0 <= region.y <= size[1] - region.height
    assert found
    assert taken.max() == 1


@given(x=st.integers(0, 120), y=st.integers(0, 80))
def test_a_part_is_where_the_detail_is(x: int, y: int) -> None:
    rgb = np.full((160, 240, 3), 90, np.uint8)
    rgb[y : y + 64, x : x + 96] = noise(96, 64)[: 160 - y, : 240 - x]
    _, region = windows(rgb, (96, 64))[0]
    assert abs(region.x - x) <= 16
    assert abs(region.y - y) <= 16


def scenes(path: Path, pictures: list[int], key: int) -> Path:
    """A film in which each scene is one picture for a second."""
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=10, options={"g": str(key), "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        coarse = {n: rng.integers(0, 256, (3, 5, 3), np.uint8) for n in set(pictures)}
        for number in range(10 * len(pictures)):
            rgb = np.kron(coarse[pictures[number // 10]], np.ones((32, 32, 1), np.uint8))
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("ending", ["mkv", "ts"])
def test_frames_are_of_different_scenes(tmp_path: Path, ending: str) -> None:
    film = scenes(tmp_path / f"film.{ending}", [1, 1, 1, 2, 2, 3, 3], key=10)
    with opened(film, FileOptions()) as subject:
        times = [shot.time_s or 0.0 for shot in chosen_shots(subject, (80, 48))]
    assert [(time >= 3) + (time >= 5) for time in times] == [0, 1, 2]


def test_one_scene_is_shown_in_several_parts(tmp_path: Path) -> None:
    film = scenes(tmp_path / "film.mkv", [1, 1, 1], key=250)
    with opened(film, FileOptions()) as subject:
        shots = chosen_shots(subject, (64, 48))
    assert len(shots) == 3
    assert len({shot.region for shot in shots}) == 3


def test_a_times_frame_is_found_again(tmp_path: Path) -> None:
    film = scenes(tmp_path / "film.mkv", [1, 2, 3], key=7)
    with opened(film, FileOptions()) as subject:
        for shot in chosen_shots(subject, (80, 48)):
            again = subject.frame_at(shot.time_s or 0.0)
            assert again is not None
            assert again.pts == shot.frame.pts


def test_a_model_that_is_shipped_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped(3) == ["clean", "video"]
    for name in ("xlsr_x3_u8", "xlsr_x3_f32"):
        shutil.copy(weights.path(name), tmp_path)
    shutil.copy(weights.path("xlsr_x3_u8"), tmp_path / "xlsr_x3_u8_perchannel.tflite")
    shutil.copy(weights.path("xlsr_x3_u8"), tmp_path / "another_x3_u8.tflite")
    monkeypatch.setattr(weights, "_FOLDER", tmp_path)
    assert shipped(3) == ["clean", "another_x3_u8"]
    labels = [choice.label for choice in usual_choices(3, "clean", "xlsr", named=False)]
    assert labels[:3] == ["bicubic", "another_x3_u8", "clean"]


def test_every_rung_is_shown_and_none_is_left_to_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "weights", monkeypatch, ["xlsr-lite_x3_u8", "xlsr-plus_x3_u8"])
    choices = usual_choices(3, "clean", "xlsr", named=False)
    assert [choice.label for choice in choices[:5]] == [
        "bicubic", "video", "clean, quality lite", "clean, quality plus", "clean",
    ]  # fmt: skip
    assert all("--quality" in choice.words for choice in choices[1:])
    for asked in [("clean", ""), ("mine.tflite", "xlsr"), ("video", "xlsr")]:
        assert not any("--quality" in c.words for c in usual_choices(3, *asked, named=True))
