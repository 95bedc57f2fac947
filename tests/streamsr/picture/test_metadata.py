"""What a picture file says beside its pixels reaches the output, judged by Pillow and FFmpeg."""

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from streamsr.errors import SinkError
from streamsr.jobs.files import FileJob
from streamsr.jobs.observer import Unobserved
from streamsr.jobs.options import FileOptions
from streamsr.options import EngineChoice
from streamsr.picture.files import read_image
from tests.support.command import Command
from tests.support.engine import EXACT
from tests.support.media import picture

WIDTH, HEIGHT = 24, 16
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # type: ignore[no-untyped-call]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="%d"/>caf\xc3\xa9</x:xmpmeta>'
MAKER, ARTIST, TAKEN, LATITUDE = "Maker & Co", "somebody", "2020:02:29 23:59:58", (48.0, 12.0, 30.5)

WRITE: dict[str, dict[str, Any]] = {
    "png": {},
    "jpg": {"quality": 98, "subsampling": 0},
    "webp": {"lossless": True, "exact": True},
    "tif": {},
    "avif": {"quality": 95, "subsampling": "4:4:4"},
}
MODES = {
    "png": ("L", "LA", "RGB", "RGBA", "P", "1"),
    "jpg": ("L", "RGB"),
    "webp": ("RGB", "RGBA"),
    "tif": ("L", "LA", "RGB", "RGBA", "P"),
    "avif": ("RGB", "RGBA"),
}
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: np.rot90(a, -1)[:, ::-1],
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 1)[:, ::-1],
    8: lambda a: np.rot90(a, 1),
}
"""What shows a picture upright, by EXIF's words: 6 is to be turned clockwise."""


def profile(space: bytes) -> bytes:
    """A profile's header for this colour space: nobody looks further."""
    body = bytearray(SRGB)
    body[16:20] = space
    return bytes(body)


def exif(turned: int) -> Image.Exif:
    found = Image.Exif()
    found[271], found[315], found[274] = MAKER, ARTIST, turned
    found.get_ifd(0x8769)[0x9003] = TAKEN
    found.get_ifd(0x8769)[0xA002] = WIDTH
    found.get_ifd(0x8769)[0x927C] = b"secret notes of the maker"
    found.get_ifd(0x8825)[2] = LATITUDE
    return found


def shades() -> np.ndarray:
    """[H, W, 4] uint8: smooth, with a corner that tells each turn from the others, and alpha."""
    rgb = picture(0, WIDTH, HEIGHT)
    alpha = np.linspace(0, 255, WIDTH).astype(np.uint8)
    return np.dstack((rgb, np.broadcast_to(alpha, (HEIGHT, WIDTH))))


def png_16(pixels: np.ndarray, chunks: dict[bytes, bytes]) -> bytes:
    """A PNG of 16 bits, from the standard: [H, W, C] uint16, C of 1, 3 and 4."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = {b"IHDR": head, **chunks, b"IDAT": zlib.compress(rows), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in parts.items())


def tiff_16(pixels: np.ndarray, tags: dict[int, tuple[int, bytes]], order: str) -> bytes:
    """A TIFF of 16 bits, one strip, from the standard; ``tags`` by (type, bytes)."""
    height, width, channels = pixels.shape

    def short(*numbers: int) -> tuple[int, bytes]:
        return 3, struct.pack(f"{order}{len(numbers)}H", *numbers)

    body = pixels.astype(order + "u2").tobytes()
    given = {
        256: short(width),
        257: short(height),
        258: short(*[16] * channels),
        259: short(1),
        262: short(1 if channels == 1 else 2),
        273: (4, struct.pack(order + "I", 8)),
        277: short(channels),
        278: short(height),
        279: (4, struct.pack(order + "I", len(body))),
        **({338: short(2)} if channels == 4 else {}),
        **tags,
    }
    at = 8 + len(body)
    head = struct.pack(order + "H", len(given))
    data = b""
    for tag in sorted(given):
        kind, value = given[tag]
        count = len(value) // {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}[kind]
        head += struct.pack(order + "HHI", tag, kind, count)
        place = at + 2 + 12 * len(given) + 4 + len(data)
        head += struct.pack(order + "I", place) if len(value) > 4 else value.ljust(4, b"\0")
        data += value if len(value) > 4 else b""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", at) + body + head + bytes(4) + data


@pytest.fixture(scope="module")
def job(model: Path) -> Iterator[FileJob]:
    options = FileOptions(model=str(model), overwrite=True, choice=EngineChoice(EXACT))
    with FileJob(options) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


class Said(logging.Handler):
    """The lines that were logged while it is entered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> "Said":
        logging.getLogger("streamsr").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("streamsr").removeHandler(self)


def opened(path: Path) -> Image.Image:
    """Opened by Pillow; not decoded where the metadata come first, because it turns a TIFF then."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    if image.format == "PNG":
        image.load()
    return image


def decoded(path: Path) -> tuple[str, np.ndarray]:
    """FFmpeg's name for the pixels, and these as [H, W, 4] of 0 to 1."""
    with av.open(str(path)) as film:
        frame = next(film.decode(video=0))
    name = frame.format.name
    return name, frame.reformat(format="rgba64le").to_ndarray().astype(float) / 65535


def small(pixels: np.ndarray) -> np.ndarray:
    """Averages of 3 x 3 pixels, colours by their opacity: what is hidden may differ."""
    seen = np.dstack((pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]))
    height, width = seen.shape[0] // 3, seen.shape[1] // 3
    return seen.reshape(height, 3, width, 3, 4).mean(axis=(1, 3))


def check_turned(source: np.ndarray, turned: int, path: Path, *, opaque: bool) -> None:
    """Compare pixels [H, W, 4] of 0 to 1 as stored with those of the output."""
    expected = TURNS[turned](source.copy())
    if opaque:
        expected = np.dstack((expected[..., :3], np.ones(expected.shape[:2])))
    seen = np.dstack((expected[..., :3] * expected[..., 3:], expected[..., 3:]))
    got = small(decoded(path)[1])
    assert got.shape == seen.shape
    assert np.abs(got - seen).mean() < 0.03


@hypothesis_settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_everything_that_both_formats_hold_is_kept(
    job: FileJob, folder: Path, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(WRITE)))
    mode = data.draw(st.sampled_from(MODES[kind]))
    turned = data.draw(st.integers(1, 8))
    icc, xmp, has_exif, dpi = (data.draw(st.booleans()) for _ in range(4))
    dpi = dpi and kind in ("png", "jpg", "tif")
    target = folder / f"out.{data.draw(st.sampled_from(['png', 'jpg', 'webp', 'tiff', 'bmp']))}"
    source = folder / f"in.{kind}"
    image = Image.fromarray(shades()).convert("RGBA" if mode in ("LA", "RGBA") else "RGB")
    image = image.convert(mode, dither=Image.Dither.NONE)
    with_xmp = xmp and kind != "tif"
    image.save(
        source,
        **WRITE[kind],
        **({"icc_profile": SRGB} if icc else {}),
        **({"exif": exif(turned)} if has_exif and kind != "tif" else {}),
        **({"exif": {271: MAKER, 315: ARTIST, 274: turned}} if has_exif and kind == "tif" else {}),
        **({"xmp": XMP % turned} if with_xmp and kind != "png" else {}),
        **({"pnginfo": xmp_text(turned)} if with_xmp and kind == "png" else {}),
        **({"dpi": (300, 150)} if dpi else {}),
    )
    with Said() as said:
        job.run(source, target, observer=Unobserved())
    alpha = mode in ("LA", "RGBA")
    stored = np.asarray(image.convert("RGBA"), float) / 255
    in_xmp, turned = turned, turned if has_exif else 1
    check_turned(stored, turned, target, opaque=target.suffix in (".jpg", ".bmp"))
    got = opened(target)
    missing = []
    if alpha and target.suffix in (".jpg", ".bmp"):
        missing.append("transparency")
    if target.suffix == ".bmp":
        missing += ["its colour profile"] * icc
        missing += ["EXIF data"] * has_exif
        missing += ["XMP data"] * with_xmp
        assert said.lines == (
            [f"{target}: BMP cannot hold {', '.join(missing)}"] if missing else []
        )
        return
    assert said.lines == ([f"{target}: JPEG cannot hold {missing[0]}"] if missing else [])
    assert got.info.get("icc_profile") == (SRGB if icc else None)
    found = got.getexif()
    if with_xmp:  # one beside EXIF data is reset with these, one alone is kept with the pixels
        left = 1 if has_exif else in_xmp
        assert xmp_of(target) == XMP % left
        assert found.get(274, 1) == left
    else:
        assert xmp_of(target) is None
        assert found.get(274, 1) == 1
    assert (found.get(271), found.get(315)) == ((MAKER, ARTIST) if has_exif else (None, None))
    if has_exif and kind != "tif":
        settings = found.get_ifd(0x8769)
        assert settings[0x9003] == TAKEN
        assert settings[0x927C] == b"secret notes of the maker"
        assert settings[0xA002] == got.width or target.suffix == ".tiff"
        assert tuple(float(part) for part in found.get_ifd(0x8825)[2]) == LATITUDE
    if dpi:
        across, down = (150, 300) if turned > 4 else (300, 150)
        seen = got.info.get("dpi") or (found[282], found[283])
        assert tuple(round(float(dots)) for dots in seen) == (across, down)


def xmp_text(turned: int) -> Any:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", (XMP % turned).decode())
    return text


def xmp_of(path: Path) -> bytes | None:
    found = opened(path).info.get("xmp")
    return found.encode() if isinstance(found, str) else found


@hypothesis_settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(["png", "<tif", ">tif"]),
    channels=st.sampled_from([1, 3, 4]),
    target=st.sampled_from(["png", "tif", "jpg", "webp", "bmp"]),
    turned=st.integers(1, 8),
    metadata=st.booleans(),
)
def test_sixteen_bits_stay_with_all_that_is_beside_them(
    job: FileJob,
    folder: Path,
    kind: str,
    channels: int,
    target: str,
    turned: int,
    metadata: bool,
) -> None:
    steps = np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH, 1) * 150
    pixels = np.concatenate((steps, steps[::-1], steps[:, ::-1], 65535 - steps), axis=2)
    pixels = pixels[..., :channels].astype(np.uint16)
    icc = profile(b"GRAY" if channels == 1 else b"RGB ")
    order = "<" if kind == "<tif" else ">"
    upright = struct.pack(order + "H", turned)
    if kind == "png":
        blob = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 274, 3, 1, turned, 0, 0)
        chunks = {b"iCCP": b"x\0\0" + zlib.compress(icc), b"eXIf": blob}
        chunks[b"pHYs"] = struct.pack(">IIB", 11811, 11811, 1)
        content = png_16(pixels, chunks if metadata else {b"eXIf": blob})
    else:
        tags = {34675: (7, icc), 282: (5, struct.pack(order + "II", 300, 1))}
        tags |= {283: tags[282], 296: (3, struct.pack(order + "H", 2))}
        content = tiff_16(pixels, {274: (3, upright), **(tags if metadata else {})}, order)
    source, output = folder / f"deep.{kind.strip('<>')}", folder / f"deep_out.{target}"
    source.write_bytes(content)
    with Said() as said:
        job.run(source, output, observer=Unobserved())
    missing = ["transparency"] * (channels == 4 and target in ("jpg", "bmp"))
    missing += ["more than 8 bits"] * (target in ("jpg", "webp", "bmp"))
    missing += ["its colour profile"] * (metadata and target == "bmp")
    missing += ["EXIF data"] * (kind == "png" and target == "bmp")
    assert said.lines == (
        [
            f"{output}: {'JPEG' if target == 'jpg' else 'WebP' if target == 'webp' else 'BMP'} "
            f"cannot hold {', '.join(missing)}"
        ]
        if missing
        else []
    )
    name, got = decoded(output)
    if target in ("png", "tif"):
        assert name[:-2] in {1: ("gray16",), 3: ("rgb48",), 4: ("rgba64",)}[channels]
        assert len(np.unique(np.round(got * 65535))) > 1000
    rgba = np.repeat(pixels, 3, axis=2) if channels == 1 else pixels
    if channels < 4:
        rgba = np.dstack((rgba, np.full(rgba.shape[:2], 65535)))
    check_turned(rgba / 65535, turned, output, opaque=target in ("jpg", "bmp"))
    if metadata and target != "bmp":
        found = opened(output)
        assert found.info["icc_profile"] == icc
        dots = found.info.get("dpi") or (found.getexif()[282],)
        assert round(float(dots[0])) == 300


def test_sixteen_bits_are_closer_to_the_truth_than_eight(job: FileJob, folder: Path) -> None:
    ramp = np.linspace(20_000, 21_000, WIDTH).astype(np.uint16)  # four levels of 8 bits
    pixels = np.broadcast_to(ramp[None, :, None], (HEIGHT, WIDTH, 3))
    (folder / "ramp.png").write_bytes(png_16(pixels, {}))
    job.run(folder / "ramp.png", folder / "ramp.tif", observer=Unobserved())
    got = decoded(folder / "ramp.tif")[1][..., 0] * 65535
    row = got.mean(axis=0)
    assert len(np.unique(got[HEIGHT])) > 50  # 8 bits have 5
    assert np.abs(row.reshape(WIDTH, 3).mean(axis=1) - ramp)[6:-6].max() < 20


@pytest.mark.parametrize(
    ("space", "mode", "kept"),
    [(b"GRAY", "L", True), (b"GRAY", "RGB", True), (b"CMYK", "CMYK", False)],
)
def test_a_profile_for_other_pixels_is_said(
    upscale: Command, tmp_path: Path, space: bytes, mode: str, kept: bool
) -> None:
    image = Image.fromarray(picture(0)).convert(mode)
    image.save(tmp_path / "in.jpg", icc_profile=profile(space))
    result = upscale(tmp_path / "in.jpg", tmp_path / "out.jpg")
    assert result.status == 0
    said = "JPEG cannot hold its colour profile, which is for CMYK" in result.err
    assert said == (not kept)
    got = opened(tmp_path / "out.jpg")
    assert got.info.get("icc_profile") == (profile(space) if kept else None)
    assert got.mode == ("L" if mode == "L" else "RGB")
    refused = upscale(tmp_path / "in.jpg", tmp_path / "strict.jpg", "--strict")
    assert (refused.status, (tmp_path / "strict.jpg").exists()) == (
        (0, True) if kept else (1, False)
    )
    assert kept or refused.err.endswith("; refused by --strict\n")


def test_a_large_profile_goes_through_every_format(job: FileJob, folder: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
    large = profile(b"RGB ")[:128] + random
    source = folder / "large.jpg"
    Image.fromarray(picture(0)).save(source, icc_profile=large)
    for suffix in (".png", ".webp", ".tif", ".jpg"):
        target = source.with_name(f"large_out{suffix}")
        job.run(source, target, observer=Unobserved())
        if suffix == ".png":
            assert read_image(target).metadata.icc == large  # Pillow refuses more than 1 MB
        else:
            assert opened(target).info["icc_profile"] == large
        source = target


def test_a_small_copy_of_a_turned_picture_is_left_out(job: FileJob, folder: Path) -> None:
    head = struct.pack("<HHHIHHI", 1, 274, 3, 1, 8, 0, 26)
    blob = b"II*\0\x08\0\0\0" + head + struct.pack("<HHHIII", 1, 0x103, 3, 1, 6, 0)
    Image.fromarray(picture(0)).save(folder / "thumb.jpg", exif=b"Exif\0\0" + blob)
    job.run(folder / "thumb.jpg", folder / "thumb.png", observer=Unobserved())
    found = opened(folder / "thumb.png").getexif()
    assert found[274] == 1
    assert not found.get_ifd(1)


def test_hdr_colours_of_a_png_stay_and_are_said_elsewhere(job: FileJob, folder: Path) -> None:
    pixels = np.full((8, 8, 3), 30_000, np.uint16)
    (folder / "hdr.png").write_bytes(png_16(pixels, {b"cICP": b"\x09\x10\0\1"}))
    job.run(folder / "hdr.png", folder / "hdr_out.png", observer=Unobserved())
    assert b"cICP\x09\x10\0\1" in (folder / "hdr_out.png").read_bytes()[:80]
    with Said() as said:
        job.run(folder / "hdr.png", folder / "hdr_out.tif", observer=Unobserved())
    assert said.lines == [f"{folder / 'hdr_out.tif'}: TIFF cannot hold its colours (cICP)"]


def test_comments_stay_in_a_png_and_are_said_elsewhere(job: FileJob, folder: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Title", "of the picture")
    text.add_itxt("Comment", "日本", zip=True)
    Image.fromarray(picture(0)).save(folder / "text.png", pnginfo=text)
    job.run(folder / "text.png", folder / "text_out.png", observer=Unobserved())
    assert opened(folder / "text_out.png").info["Title"] == "of the picture"
    assert opened(folder / "text_out.png").info["Comment"] == "日本"
    with Said() as said:
        job.run(folder / "text.png", folder / "text_out.jpg", observer=Unobserved())
    assert said.lines == [f"{folder / 'text_out.jpg'}: JPEG cannot hold comments"]


def test_the_gain_map_of_a_phones_jpeg_is_named(job: FileJob, folder: Path) -> None:
    entries = b"".join(struct.pack("<IIIHH", kind, 9, 0, 0, 0) for kind in (0x030000, 0, 0x010001))
    index = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0xB002, 7, len(entries), 26, 0) + entries
    content = io.BytesIO()
    Image.fromarray(picture(0)).save(content, "JPEG")
    segment = b"\xff\xe2" + struct.pack(">H", 6 + len(index)) + b"MPF\0" + index
    jpeg = content.getvalue()
    (folder / "phone.jpg").write_bytes(jpeg[:20] + segment + jpeg[20:])
    with Said() as said:
        job.run(folder / "phone.jpg", folder / "phone.png", observer=Unobserved())
    source = folder / "phone.jpg"
    assert said.lines == [f"{source}: is read without 1 further picture, such as a gain map"]


@pytest.mark.parametrize("associated", [False, True])
def test_transparent_colours_of_a_tiff_are_not_darkened(
    job: FileJob, folder: Path, associated: bool
) -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[...] = (200, 100, 50, 128)
    if associated:
        rgba[..., :3] //= 2
    Image.fromarray(rgba).save(folder / "clear.tif")
    content = (folder / "clear.tif").read_bytes()
    extra = struct.pack("<HHI", 338, 3, 1)
    assert content.count(extra + b"\2\0") == 1
    if associated:
        (folder / "clear.tif").write_bytes(content.replace(extra + b"\2\0", extra + b"\1\0"))
    job.run(folder / "clear.tif", folder / "clear.png", observer=Unobserved())
    got = np.asarray(opened(folder / "clear.png"), int)
    assert np.abs(got - (200, 100, 50, 128))[8:-8, 8:-8].max() <= 8


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif", "avif"])
def test_damaged_metadata_never_end_in_more_than_a_line(
    upscale: Command, tmp_path: Path, kind: str
) -> None:
    content = io.BytesIO()
    image = Image.fromarray(picture(0, WIDTH, HEIGHT))
    data = {"icc_profile": SRGB, "exif": exif(6), "dpi": (300, 300)}
    image.save(content, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **data)
    random = np.random.default_rng(3)
    for _ in range(25):
        damaged = bytearray(content.getvalue())
        for at in random.integers(0, min(len(damaged), 4000), 8):
            damaged[at] = random.integers(256)
        (tmp_path / f"in.{kind}").write_bytes(damaged)
        result = upscale(
            tmp_path / f"in.{kind}", tmp_path / "o.tif", "--overwrite", "--max-pixels", 1 << 16
        )
        assert result.status in (0, 1)
        assert "internal error" not in result.err
        assert len(result.lines) <= (1 if result.status else 4), result.err


def test_a_read_only_look_says_what_would_be_lost(upscale: Command, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.full((8, 8, 3), 30_000, np.uint16))
    result = upscale(tmp_path / "in.png", tmp_path / "out.jpg", "--dry-run")
    assert "JPEG cannot hold more than 8 bits" in result.err
    assert result.status == 0


def test_strict_refuses_before_anything_is_made(folder: Path, model: Path) -> None:
    (folder / "strict.png").write_bytes(png_16(np.full((8, 8, 3), 1, np.uint16), {}))
    options = FileOptions(model=str(model), strict=True, choice=EngineChoice(EXACT))
    with (
        FileJob(options) as strict,
        pytest.raises(SinkError, match="more than 8 bits; refused by --strict"),
    ):
        strict.run(folder / "strict.png", folder / "strict.webp", observer=Unobserved())
    assert not (folder / "strict.webp").exists()


def test_pillow_sees_the_picture_as_upright_as_we_do(folder: Path) -> None:
    """The judge of the judge: Pillow's own idea of the eight orientations."""
    for turned in TURNS:
        image = Image.fromarray(shades()[..., :3])
        seen = Image.Exif()
        seen[274] = turned
        image.save(folder / "turn.png", exif=seen)
        expected = np.asarray(ImageOps.exif_transpose(opened(folder / "turn.png")))
        np.testing.assert_array_equal(expected, TURNS[turned](np.asarray(image)))
        np.testing.assert_array_equal(expected, read_image(folder / "turn.png").rgb)
