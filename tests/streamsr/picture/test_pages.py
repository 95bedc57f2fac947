"""Files of several pictures, and kinds of pictures that only Pillow reads."""

import io
import struct
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from streamsr.jobs.outputs import output_name
from streamsr.picture.size import picture_size
from tests.support.command import Command
from tests.support.media import picture
from xlsr_model import system

SHOWN_MS = (100, 250, 70, 100, 40, 500)


def frames(mode: str = "RGB") -> list[Image.Image]:
    found = [Image.fromarray(picture(index)) for index in range(len(SHOWN_MS))]
    if mode == "RGBA":
        for image in found:
            image.putalpha(Image.linear_gradient("L").resize(image.size))
    return found


def save(path: Path, mode: str = "RGB", **how: object) -> None:
    first, *others = frames(mode)
    timed = {} if path.suffix == ".tif" else {"duration": list(SHOWN_MS)}
    exact = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, **timed, **exact, **how)


def film(path: Path) -> list[tuple[float, float, np.ndarray, str]]:
    """(time, duration, pixels [H, W, 4] of 0 to 1, FFmpeg's format) of each frame."""
    with av.open(str(path)) as opened:
        return [
            (
                float(frame.pts * frame.time_base),
                float(frame.duration * frame.time_base),
                frame.reformat(format="rgba64le").to_ndarray() / 65535,
                frame.format.name,
            )
            for frame in opened.decode(video=0)
        ]


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif", "a.tif", "a.avif", "A.APNG.PNG"])
def test_a_picture_of_them_is_refused_by_name(upscale: Command, tmp_path: Path, name: str) -> None:
    save(tmp_path / name)
    result = upscale(tmp_path / name, tmp_path / "out.png")
    assert result.status == 1
    expected = f"{tmp_path / name}: holds 6 pictures; name a film as the output, such as "
    assert result.err == f"streamsr: {expected}{Path(name).stem}.mkv\n"
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif", "a.tif", "a.avif"])
def test_a_film_has_all_of_them_at_their_times(upscale: Command, tmp_path: Path, name: str) -> None:
    save(tmp_path / name)
    result = upscale(tmp_path / name, tmp_path / "out.mkv", "--codec", "ffv1", "--audit")
    assert result.status == 0, result.err
    assert str(tmp_path / name) in result.lines[0]
    got = film(tmp_path / "out.mkv")
    shown = [1.0] * 6 if name == "a.tif" else [ms / 1000 for ms in SHOWN_MS]
    assert [round(duration, 3) for _, duration, _, _ in got] == shown
    assert [round(time, 3) for time, _, _, _ in got] == [
        round(sum(shown[:count]), 3) for count in range(6)
    ]
    for index, (_, _, pixels, _) in enumerate(got):
        small = pixels[..., :3].reshape(48, 3, 64, 3, 3).mean(axis=(1, 3)) * 255
        assert np.abs(small - picture(index)).mean() < (6 if name in ("a.gif", "a.avif") else 4)


def test_opacity_of_an_animation_is_kept(upscale: Command, tmp_path: Path) -> None:
    save(tmp_path / "a.webp", "RGBA")
    assert upscale(tmp_path / "a.webp", tmp_path / "out.mkv", "--codec", "ffv1").status == 0
    expected = np.asarray(frames("RGBA")[0])[..., 3] / 255
    for _, _, pixels, _ in film(tmp_path / "out.mkv"):
        small = pixels[..., 3].reshape(48, 3, 64, 3).mean(axis=(1, 3))
        assert np.abs(small - expected).mean() < 0.02


def tiff_of_pages(pages: list[np.ndarray], kinds: list[int]) -> bytes:
    """A TIFF of pages of 16 bits [H, W, 3], with what each is for in tag 254."""
    content = bytearray(b"MM\0*\0\0\0\0")
    pointer = 4
    for pixels, kind in zip(pages, kinds, strict=True):
        height, width, _ = pixels.shape
        data_at = len(content)
        content += pixels.astype(">u2").tobytes()
        bits_at = len(content)
        content += struct.pack(">3H", 16, 16, 16)
        struct.pack_into(">I", content, pointer, len(content))
        tags = [(254, 4, kind), (256, 4, width), (257, 4, height), (273, 4, data_at)]
        tags += [(278, 4, height), (279, 4, pixels.size * 2)]
        head = b"".join(struct.pack(">HHII", tag, type_, 1, value) for tag, type_, value in tags)
        short = [(259, 1), (262, 2), (277, 3)]
        entries = [head[at : at + 12] for at in range(0, len(head), 12)]
        entries += [struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in short]
        entries += [struct.pack(">HHII", 258, 3, 3, bits_at)]
        content += struct.pack(">H", len(entries)) + b"".join(sorted(entries))
        pointer = len(content)
        content += bytes(4)
    return bytes(content)


def test_pages_of_sixteen_bits_become_a_film_of_more_than_eight(
    upscale: Command, tmp_path: Path
) -> None:
    ramp = np.linspace(0, 65535, 48 * 64).reshape(48, 64, 1).repeat(3, axis=2)
    (tmp_path / "a.tif").write_bytes(tiff_of_pages([ramp, ramp[::-1]], [0, 0]))
    assert upscale(tmp_path / "a.tif", tmp_path / "out.mkv", "--codec", "ffv1").status == 0
    got = film(tmp_path / "out.mkv")
    assert len(got) == 2
    assert "16" in got[0][3] or "14" in got[0][3] or "12" in got[0][3] or "10" in got[0][3]
    for (_, _, pixels, _), page in zip(got, [ramp, ramp[::-1]], strict=True):
        small = pixels[..., :3].reshape(48, 3, 64, 3, 3).mean(axis=(1, 3))
        assert np.abs(small - page / 65535).mean() < 0.005


def test_a_small_copy_in_a_tiff_is_no_page(upscale: Command, tmp_path: Path) -> None:
    page = np.full((24, 32, 3), 30_000)
    (tmp_path / "a.tif").write_bytes(tiff_of_pages([page, page[:8, :8], page], [0, 1, 4]))
    assert upscale(tmp_path / "a.tif", tmp_path / "out.png").status == 0


def test_pages_of_different_sizes_are_refused(upscale: Command, tmp_path: Path) -> None:
    page = np.full((24, 32, 3), 30_000)
    (tmp_path / "a.tif").write_bytes(tiff_of_pages([page, page[:8]], [0, 0]))
    result = upscale(tmp_path / "a.tif", tmp_path / "out.mkv")
    assert (result.status, len(result.lines)) == (1, 1)
    assert "picture 2 is 32x8 of 16 bits, the first 32x24 of 16 bits" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_the_work_on_an_animation_goes_on_where_it_stopped(
    upscale: Command, tmp_path: Path
) -> None:
    save(tmp_path / "a.webp")
    options = "--resume", "--segment", "0.3", "--codec", "ffv1"
    assert upscale(tmp_path / "a.webp", tmp_path / "out.mkv", *options).status == 0
    assert upscale(tmp_path / "a.webp", tmp_path / "whole.mkv", "--codec", "ffv1").status == 0
    for (*times, pixels, _), (*others, expected, _) in zip(
        film(tmp_path / "out.mkv"), film(tmp_path / "whole.mkv"), strict=True
    ):
        assert times == others
        np.testing.assert_array_equal(pixels, expected)


def test_a_part_of_an_animation(upscale: Command, tmp_path: Path) -> None:
    save(tmp_path / "a.webp")
    span = "--start", "0.1", "--duration", "0.3"
    assert upscale(tmp_path / "a.webp", tmp_path / "out.mkv", *span).status == 0
    assert len(film(tmp_path / "out.mkv")) == 2


def test_an_animation_longer_than_allowed_is_refused(upscale: Command, tmp_path: Path) -> None:
    save(tmp_path / "a.webp")
    result = upscale(tmp_path / "a.webp", tmp_path / "out.mkv", "--max-duration", "0.5")
    assert (result.status, len(result.lines)) == (1, 1)
    assert "(--max-duration)" in result.err


def test_one_picture_makes_no_film(upscale: Command, tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "a.webp")
    result = upscale(tmp_path / "a.webp", tmp_path / "out.mkv")
    assert (result.status, len(result.lines)) == (1, 1)
    assert "the output of a picture is a picture" in result.err


def test_names_of_outputs_in_a_directory(tmp_path: Path) -> None:
    save(tmp_path / "several.webp")
    Image.fromarray(picture(0)).save(tmp_path / "one.webp")
    Image.fromarray(picture(0)).save(tmp_path / "one.avif")
    names = {
        name: output_name(tmp_path / name)
        for name in ("several.webp", "one.webp", "one.avif", "gone.webp", "a.gif", "a.mp4")
    }
    assert names == {
        "several.webp": "several.mkv",
        "one.webp": "one.webp",
        "one.avif": "one.png",
        "gone.webp": "gone.webp",
        "a.gif": "a.mkv",
        "a.mp4": "a.mp4",
    }


@pytest.mark.parametrize(("name", "bound"), [("a.gif", 4), ("a.avif", 6)])
def test_still_pictures_of_other_kinds_are_read(
    upscale: Command, tmp_path: Path, name: str, bound: int
) -> None:
    Image.fromarray(picture(0)).save(tmp_path / name)
    assert upscale(tmp_path / name, tmp_path / "out.png").status == 0
    got = np.asarray(Image.open(tmp_path / "out.png"), float)
    assert np.abs(got.reshape(48, 3, 64, 3, 3).mean(axis=(1, 3)) - picture(0)).mean() < bound


def test_a_heic_is_read(upscale: Command, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    made = heif.from_pillow(Image.fromarray(picture(0)))
    made.save(tmp_path / "a.heic", quality=95)
    assert upscale(tmp_path / "a.heic", tmp_path / "out.png").status == 0
    got = np.asarray(Image.open(tmp_path / "out.png"), float)
    assert np.abs(got.reshape(48, 3, 64, 3, 3).mean(axis=(1, 3)) - picture(0)).mean() < 6
    result = upscale(tmp_path / "a.heic", tmp_path / "o.png", "--max-pixels", 64 * 48 - 1)
    assert "is larger than 3071 pixels (--max-pixels)" in result.err


def test_bits_and_colours_of_an_hdr_avif_are_named(upscale: Command, tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(picture(0)).save(content, "AVIF")
    changed = bytearray(content.getvalue())
    colours = changed.find(b"colrnclx") + 8
    struct.pack_into(">HH", changed, colours, 9, 16)  # BT.2020, PQ
    (tmp_path / "a.avif").write_bytes(changed)
    result = upscale(tmp_path / "a.avif", tmp_path / "out.tif")
    assert result.lines[0].endswith("out.tif: TIFF cannot hold its colours (cICP)")
    assert upscale(tmp_path / "a.avif", tmp_path / "out.png").status == 0
    assert b"cICP\x09\x10\0\1" in (tmp_path / "out.png").read_bytes()[:64]


def test_ten_bits_of_an_avif_are_named(upscale: Command, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avif"), "w", format="avif") as output:
        stream = output.add_stream("libsvtav1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        frame = av.VideoFrame.from_ndarray(picture(0), format="rgb24")
        with system.ordinary_threads():
            output.start_encoding()
        output.mux([*stream.encode(frame.reformat(format="yuv420p10le")), *stream.encode(None)])
    source = tmp_path / "a.avif"
    result = upscale(source, tmp_path / "out.png")
    assert result.lines[0] == f"streamsr: {source}: is read without 2 of its 10 bits"
    assert result.status == 0
    refused = upscale(source, tmp_path / "out.png", "--strict", "--overwrite")
    assert refused.status == 1
    assert refused.err.endswith("2 of its 10 bits; refused by --strict\n")


def test_a_heic_without_its_library_is_one_line(
    upscale: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ispe = struct.pack(">I4sIII", 20, b"ispe", 0, 64, 48)
    boxes = ispe
    for kind in (b"ipco", b"iprp"):
        boxes = struct.pack(">I4s", 8 + len(boxes), kind) + boxes
    meta = struct.pack(">I4sI", 12 + len(boxes), b"meta", 0) + boxes
    (tmp_path / "a.heic").write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"heic", 0) + meta)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    result = upscale(tmp_path / "a.heic", tmp_path / "out.png")
    assert result.status == 1
    expected = "HEIC pictures need pillow-heif: pip install 'streamsr[heic]'"
    assert result.err == f"streamsr: {tmp_path / 'a.heic'}: {expected}\n"


def test_the_size_of_other_kinds_is_read_from_the_header() -> None:
    for kind in ("GIF", "AVIF"):
        content = io.BytesIO()
        Image.fromarray(picture(0, 51, 33)).save(content, kind)
        whole = content.getvalue()
        assert picture_size(io.BytesIO(whole)) == (51, 33)
        for cut in range(0, len(whole), 7):
            assert picture_size(io.BytesIO(whole[:cut])) in (None, (51, 33))


@pytest.mark.parametrize("name", ["a.gif", "a.avif", "a.webp", "a.tif", "a.png"])
def test_damaged_animations_are_one_line_or_a_film(
    upscale: Command, tmp_path: Path, name: str
) -> None:
    save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    random = np.random.default_rng(5)
    for number in range(12):
        damaged = bytearray(content)
        for at in random.integers(0, len(content), 5):
            damaged[at] = random.integers(256)
        (tmp_path / name).write_bytes(damaged)
        for target in ("out.png", "out.mkv"):
            result = upscale(
                tmp_path / name, tmp_path / target, "--overwrite", "--max-pixels", 1 << 16
            )
            assert result.status in (0, 1)
            assert "internal error" not in result.err, (number, result.err)
            assert result.status == 0 or len(result.lines) <= 4, result.err


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.avif", "a.png"])
def test_animations_obey_max_pixels(upscale: Command, tmp_path: Path, name: str) -> None:
    save(tmp_path / name)
    for target in ("out.png", "out.mkv"):
        result = upscale(tmp_path / name, tmp_path / target, "--max-pixels", 64 * 48 - 1)
        assert (result.status, len(result.lines)) == (1, 1)
        assert "64x48 is larger than 3071 pixels (--max-pixels)" in result.err


@pytest.mark.parametrize("kind", ["AVIF", "GIF", "WEBP"])
def test_a_header_that_claims_too_much_is_refused(
    upscale: Command, tmp_path: Path, kind: str
) -> None:
    content = io.BytesIO()
    Image.fromarray(picture(0)).save(content, kind, **({"exif": b"x"} if kind == "WEBP" else {}))
    damaged = bytearray(content.getvalue())
    at = {"AVIF": damaged.find(b"ispe") + 8, "GIF": 6, "WEBP": 24}[kind]
    claimed = {"AVIF": b"\0\0\xff\xff" * 2, "GIF": b"\xff" * 4, "WEBP": b"\xfe\xff\0" * 2}[kind]
    damaged[at : at + len(claimed)] = claimed
    (tmp_path / f"a.{kind.lower()}").write_bytes(damaged)
    result = upscale(tmp_path / f"a.{kind.lower()}", tmp_path / "out.png")
    assert (result.status, len(result.lines)) == (1, 1)
    assert "65535x65535 is larger than" in result.err


def test_every_page_obeys_max_pixels_before_it_is_decoded(
    upscale: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = np.full((24, 32, 3), 30_000)
    content = bytearray(tiff_of_pages([page, page], [0, 0]))
    wide = struct.pack(">HHII", 256, 4, 1, 32)
    at = content.rfind(wide)
    content[at : at + 12] = struct.pack(">HHII", 256, 4, 1, 1 << 24)
    (tmp_path / "a.tif").write_bytes(content)
    sizes = []

    def decode(pixels: np.ndarray, flags: int) -> np.ndarray:
        sizes.append(picture_size(io.BytesIO(pixels.tobytes())))
        return original(pixels, flags)

    original = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", decode)
    result = upscale(tmp_path / "a.tif", tmp_path / "out.mkv")
    assert (result.status, len(result.lines)) == (1, 1)
    assert "16777216x24 is larger than" in result.err
    assert sizes == [(32, 24)]


def test_a_directory_that_claims_gigabytes_costs_nothing(upscale: Command, tmp_path: Path) -> None:
    """4000 tags of a TIFF that all have the same megabyte as their value."""
    size = 1 << 20
    content = bytearray(tiff_of_pages([np.full((24, 32, 3), 30_000)], [0]) + bytes(size))
    (at,) = struct.unpack_from(">I", content, 4)
    (count,) = struct.unpack_from(">H", content, at)
    old = bytes(content[at + 2 : at + 2 + 12 * count])
    many = b"".join(
        struct.pack(">HHII", tag, 7, size, len(content) - size) for tag in range(33432, 33434)
    )
    exif_at = len(content) + 2 + len(old) + len(many) + 12 + 4
    pointer = struct.pack(">HHII", 34665, 4, 1, exif_at)
    struct.pack_into(">I", content, 4, len(content))
    content += struct.pack(">H", count + 3) + old + many + pointer + bytes(4)
    tags = b"".join(struct.pack(">HHII", tag, 7, size, 8) for tag in range(1, 4001))
    content += struct.pack(">H", 4000) + tags + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    result = upscale(tmp_path / "a.tif", tmp_path / "out.png")
    assert result.status == 0
    assert "is read without damaged EXIF data" in result.err
    assert (tmp_path / "out.png").stat().st_size < 1 << 20
