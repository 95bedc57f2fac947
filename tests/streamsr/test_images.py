"""Still pictures through the command line."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamsr import Upscaler
from tests.streamsr.conftest import Command
from tests.streamsr.media import picture
from tests.support.engine import EXACT


def test_a_png_becomes_the_networks_picture_exactly(upscale: Command, tmp_path: Path, model: Path) -> None:
    rgb = picture(3, 33, 21)
    cv2.imwrite(str(tmp_path / "in.png"), rgb[..., ::-1])
    result = upscale(tmp_path / "in.png", tmp_path / "out.png")
    assert result.status == 0, result.err
    with Upscaler(model, engine=EXACT, threads=1) as upscaler:
        expected = upscaler(rgb)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out.png"))[..., ::-1], expected)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_transparency_is_kept(upscale: Command, tmp_path: Path, suffix: str) -> None:
    rgba = np.dstack((picture(0), np.full((48, 64), 255, np.uint8)))
    rgba[:, :32, 3] = 0
    cv2.imwrite(str(tmp_path / f"in{suffix}"), rgba)
    assert upscale(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}").status == 0
    alpha = cv2.imread(str(tmp_path / f"out{suffix}"), cv2.IMREAD_UNCHANGED)[..., 3]
    assert alpha.shape == (144, 192)
    assert alpha[:, :80].max() == 0
    assert alpha[:, 112:].min() == 255


@pytest.mark.parametrize("kind", ["gray", "gray16", "rgb16", "rgba16"])
def test_other_kinds_of_png(upscale: Command, tmp_path: Path, kind: str) -> None:
    image = picture(0)
    if kind.startswith("gray"):
        image = image[..., 0]
    if kind.startswith("rgba"):
        image = np.dstack((image, image[..., 0]))
    if kind.endswith("16"):
        image = image.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "in.png"), image)
    assert upscale(tmp_path / "in.png", tmp_path / "out.png").status == 0
    assert cv2.imread(str(tmp_path / "out.png")).shape == (144, 192, 3)


@pytest.mark.parametrize(("source", "target"), [("in.jpg", "out.jpg"), ("in.webp", "out.webp"), ("in.jpg", "out.png"),
                                                ("in.bmp", "out.JPEG"), ("in.PNG", "out.webp")])  # fmt: skip
def test_formats_may_change(upscale: Command, tmp_path: Path, source: str, target: str) -> None:
    cv2.imwrite(str(tmp_path / source), picture(0)[..., ::-1])
    assert upscale(tmp_path / source, tmp_path / target).status == 0
    got = cv2.imread(str(tmp_path / target))
    assert got.shape == (144, 192, 3)
    small = cv2.resize(got, (64, 48), interpolation=cv2.INTER_AREA)[..., ::-1].astype(int)
    assert np.abs(small - picture(0)).mean() < 8


def test_a_picture_at_a_given_size(upscale: Command, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), picture(0))
    assert upscale(tmp_path / "in.png", tmp_path / "out.png", "--to", "150x100").status == 0
    assert cv2.imread(str(tmp_path / "out.png")).shape == (100, 150, 3)


def test_an_existing_picture_is_refused_and_replaced_when_asked_to(upscale: Command, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), picture(0))
    (tmp_path / "out.png").write_text("precious")
    assert upscale(tmp_path / "in.png", tmp_path / "out.png").status == 1
    assert (tmp_path / "out.png").read_text() == "precious"
    assert upscale(tmp_path / "in.png", tmp_path / "out.png", "--overwrite").status == 0


def test_pictures_and_films_mix_in_one_run(streamsr: Command, tmp_path: Path, model: Path) -> None:
    from tests.streamsr.media import make_video

    cv2.imwrite(str(tmp_path / "a.png"), picture(0))
    make_video(tmp_path / "b.mp4", pts=range(2))
    (tmp_path / "out").mkdir()
    result = streamsr("upscale", tmp_path / "a.png", tmp_path / "b.mp4", "-o", tmp_path / "out", "--model", model)
    assert result.status == 0, result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.mp4"]
