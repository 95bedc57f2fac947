"""Still pictures through the command line."""

import io
import os
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamsr import Upscaler
from streamsr.errors import SourceError
from streamsr.picture.files import read_image
from streamsr.picture.size import picture_size
from tests.support.command import Command
from tests.support.engine import EXACT
from tests.support.media import picture
from tests.support.processes import run


def test_a_png_becomes_the_networks_picture_exactly(
    upscale: Command, tmp_path: Path, model: Path
) -> None:
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


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("in.jpg", "out.jpg"),
        ("in.webp", "out.webp"),
        ("in.jpg", "out.png"),
        ("in.bmp", "out.JPEG"),
        ("in.PNG", "out.webp"),
    ],
)
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
    assert cv2.imread(str(tmp_path / "out.png")).shape == (100, 134, 3), (
        "it fits, and keeps its shape"
    )


def test_an_existing_picture_is_refused_and_replaced_when_asked_to(
    upscale: Command, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), picture(0))
    (tmp_path / "out.png").write_text("precious")
    assert upscale(tmp_path / "in.png", tmp_path / "out.png").status == 1
    assert (tmp_path / "out.png").read_text() == "precious"
    assert upscale(tmp_path / "in.png", tmp_path / "out.png", "--overwrite").status == 0


def test_pictures_and_films_mix_in_one_run(streamsr: Command, tmp_path: Path, model: Path) -> None:
    from tests.support.media import make_video

    cv2.imwrite(str(tmp_path / "a.png"), picture(0))
    make_video(tmp_path / "b.mp4", pts=range(2))
    (tmp_path / "out").mkdir()
    result = streamsr(
        "upscale", tmp_path / "a.png", tmp_path / "b.mp4", "-o", tmp_path / "out", "--model", model
    )
    assert result.status == 0, result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.mp4"]


WRITTEN = {
    "in.png": (".png", []),
    "in.jpg": (".jpg", []),
    "progressive.jpg": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "in.webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
    "lossless.webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
    "in.bmp": (".bmp", []),
    "in.tif": (".tif", []),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_size_is_read_from_the_header(tmp_path: Path, name: str, channels: int) -> None:
    suffix, options = WRITTEN[name]
    image = np.dstack((picture(0, 51, 33), picture(0, 51, 33)[..., 0]))[..., :channels]
    done, content = cv2.imencode(suffix, image, options)
    assert done
    assert picture_size(io.BytesIO(content.tobytes())) == (51, 33)
    for cut in range(0, len(content), 7):  # cut off anywhere: the size, or none
        assert picture_size(io.BytesIO(content.tobytes()[:cut])) in (None, (51, 33))
    (tmp_path / name).write_bytes(content.tobytes())
    with pytest.raises(SourceError, match="51x33 is larger than 1682 pixels"):
        read_image(tmp_path / name, max_pixels=51 * 33 - 1)
    assert read_image(tmp_path / name, max_pixels=51 * 33)[0].shape == (33, 51, 3)


def test_fill_bytes_and_rubbish_before_a_jpegs_size_are_passed_as_libjpeg_does(
    tmp_path: Path,
) -> None:
    content = cv2.imencode(".jpg", picture(0, 51, 33))[1].tobytes()
    odd = content[:2] + b"\xff\xff\xff\xfe\x00\x04ab" + b"rubbish" + content[2:]
    assert picture_size(io.BytesIO(odd)) == (51, 33)
    (tmp_path / "in.jpg").write_bytes(odd)
    assert read_image(tmp_path / "in.jpg")[0].shape == (33, 51, 3)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tile", [(0, 0), (30_000, 20_000)])
def test_the_size_in_every_kind_of_tiff(order: str, big: bool, tile: tuple[int, int]) -> None:
    """BigTIFF and other byte orders, and tiles that claim more than the picture."""
    mark = b"II" if order == "<" else b"MM"
    tags = [(256, 70_000), (257, 2), (322, tile[0]), (323, tile[1])]
    if big:
        head = mark + struct.pack(order + "HHHQQ", 43, 8, 0, 16, len(tags))
        body = b"".join(struct.pack(order + "HHQI4x", tag, 4, 1, value) for tag, value in tags)
    else:
        head = mark + struct.pack(order + "HIH", 42, 8, len(tags))
        body = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    assert picture_size(io.BytesIO(head + body)) == (tile if tile[0] else (70_000, 2))


def gray_png(width: int, height: int) -> bytes:
    """A black picture; a few kilobytes, whatever its size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_no_memory_is_asked_for_what_a_header_claims(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(gray_png(12_000, 12_000))
    script = (
        "import cv2, resource, sys; from pathlib import Path; from streamsr.picture.files import "
        "read_image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: read_image(Path(sys.argv[1]))\n"
        "except Exception as error: print(error)\n"
        "print(peak() - before)\n"
    )
    done = run(
        [sys.executable, "-c", script, tmp_path / "in.png"],
        check=True,
        timeout_s=120,
    )
    said, kib = done.stdout.splitlines()
    assert "12000x12000 is larger than" in said
    assert int(kib) < 20_000


def test_a_picture_obeys_max_pixels(upscale: Command, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(gray_png(64, 64))
    result = upscale(tmp_path / "in.png", tmp_path / "out.png", "--max-pixels", 100)
    assert result.status == 1
    assert (
        result.err
        == f"streamsr: {tmp_path / 'in.png'}: 64x64 is larger than 100 pixels (--max-pixels)\n"
    )


def test_a_file_too_large_for_its_picture_is_not_read(upscale: Command, tmp_path: Path) -> None:
    with open(tmp_path / "in.png", "wb") as file:
        file.write(gray_png(8, 8))
        file.truncate(900 << 30)
    result = upscale(tmp_path / "in.png", tmp_path / "out.png")
    assert (result.status, len(result.lines)) == (1, 1)
    assert "bytes are too many" in result.err


def test_a_fifo_is_no_picture(upscale: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.png")
    result = upscale(tmp_path / "in.png", tmp_path / "out.png")
    assert (result.status, len(result.lines)) == (1, 1)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_damaged_picture_is_one_line_or_a_picture(
    upscale: Command, tmp_path: Path, name: str
) -> None:
    suffix, options = WRITTEN[name]
    content = bytearray(cv2.imencode(suffix, picture(0, 51, 33), options)[1].tobytes())
    random = np.random.default_rng(0)
    for _ in range(12):
        damaged = bytearray(content)
        for at in random.integers(0, len(content), 6):
            damaged[at] = random.integers(256)
        (tmp_path / name).write_bytes(damaged)
        result = upscale(
            tmp_path / name,
            tmp_path / "out.png",
            "--overwrite",
            "--dry-run",
            "--max-pixels",
            1 << 20,
        )
        assert result.status in (0, 1)
        assert len(result.lines) == 1, result.err
