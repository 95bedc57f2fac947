"""Depth, dynamic range, opacity, interlacing and pixel formats of the picture itself."""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.color import (
    BT470BG,
    BT709,
    BT2020_NCL,
    FCC,
    FULL,
    LIMITED,
    SMPTE170M,
    SMPTE240M,
    ColorTags,
)
from streamsr.frame import HdrMetadata
from streamsr.media.frames import FrameReader, FrameWriter, depth_of, has_alpha
from streamsr.media.hdr import hdr_of
from streamsr.picture.high_depth import Image16, add_detail
from streamsr.sources.file import FileSource
from tests.support.command import Command
from tests.support.media import make_video, picture
from tests.support.processes import run

HDR10 = HdrMetadata(
    (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 1, 10000000), (1000, 400)
)
AS_X265_SAYS_IT = (
    ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    ":max-cll=1000,400"
)


def to_8_bits(deep: Image16) -> NDArray[np.uint8]:
    """The nearest 8-bit picture."""
    return ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)


def first_frame(path: Path) -> Any:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def plane(frame: Any, index: int = 0) -> NDArray[Any]:
    dtype = np.uint8 if depth_of(frame.format.name) == 8 else np.uint16
    rows = np.frombuffer(frame.planes[index], dtype).reshape(frame.planes[index].height, -1)
    return rows[:, : frame.planes[index].width]


@pytest.mark.parametrize(
    ("pixel_format", "codec", "expected"),
    [
        ("yuv420p10le", "h264", "yuv420p10le"),
        ("yuv422p10le", "h264", "yuv422p10le"),
        ("yuv444p10le", "h264", "yuv444p10le"),
        ("yuv420p10le", "hevc", "yuv420p10le"),
        ("yuv420p12le", "hevc", "yuv420p12le"),
        ("yuv420p10le", "av1", "yuv420p10le"),
        ("yuv420p12le", "ffv1", "yuv420p12le"),
        ("yuv420p16le", "ffv1", "yuv420p16le"),
        ("gray10le", "ffv1", "yuv444p10le"),
        ("gbrp10le", "ffv1", "yuv444p10le"),
    ],
)
def test_depth_is_kept(
    tmp_path: Path, upscale: Command, pixel_format: str, codec: str, expected: str
) -> None:
    film = make_video(tmp_path / "in.mkv", pts=range(3), codec="ffv1", pix_fmt=pixel_format)
    done = upscale(film, tmp_path / "out.mkv", "--codec", codec, "--audit")
    assert done.status == 0, done.out + done.err
    assert depth_of(first_frame(tmp_path / "out.mkv").format.name) == depth_of(expected)


def test_depth_that_a_codec_lacks_is_said_and_refused_by_strict(
    tmp_path: Path, upscale: Command
) -> None:
    film = make_video(tmp_path / "in.mkv", pts=range(3), codec="ffv1", pix_fmt="yuv420p12le")
    done = upscale(film, tmp_path / "out.mkv")
    assert done.status == 0
    assert "h264 holds 10 of the picture's 12 bits; hevc would hold all" in done.err
    assert upscale(film, tmp_path / "strict.mkv", "--strict").status == 1
    assert not (tmp_path / "strict.mkv").exists()


def ramp(path: Path) -> Path:
    """Lossless 10 bits: luma rises by one level every second pixel, a quarter of a level of 8
    bits."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 32, "yuv420p10le"
        frame = av.VideoFrame(256, 32, "yuv420p10le")
        for index, value in ((0, None), (1, 512), (2, 512)):
            rows = np.frombuffer(frame.planes[index], np.uint16).reshape(
                frame.planes[index].height, -1
            )
            rows[:] = value if value is not None else (400 + np.arange(rows.shape[1]) // 2)[None, :]
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", ["clean", "video"])
def test_a_smooth_gradient_of_10_bits_stays_without_bands(
    tmp_path: Path, upscale: Command, kind: str
) -> None:
    film = ramp(tmp_path / "in.mkv")
    assert upscale(film, tmp_path / "out.mkv", "--codec", "ffv1", "--model", kind).status == 0
    luma = plane(first_frame(tmp_path / "out.mkv")).astype(int)[40:56, 30:-30]
    assert len(np.unique(luma)) >= 110, "8 bits would leave about 32 levels"
    assert np.abs(np.diff(luma, axis=1)).max() <= 2, "a band would be a step of four levels"


def enlarged_rgb(deep: NDArray[np.uint16]) -> NDArray[np.uint16]:
    import cv2

    size = deep.shape[1] * 3, deep.shape[0] * 3
    return np.asarray(cv2.resize(deep, size, interpolation=cv2.INTER_CUBIC), np.uint16)


def test_detail_of_the_network_reaches_the_deep_picture() -> None:
    lr = picture(0)
    deep = lr.astype(np.uint16) * 257
    hr = np.repeat(np.repeat(lr, 3, axis=0), 3, axis=1)
    smooth = to_8_bits(enlarged_rgb(deep)).astype(int)
    combined = to_8_bits(add_detail(deep, lr, hr)).astype(int)
    assert np.abs(combined - hr).max() <= 2, "what rounding can make is left out"
    edges = np.abs(hr - smooth) > 4
    assert edges.any()
    assert np.array_equal(combined[edges], hr[edges]), "edges come out as the network has them"


def test_deepening_without_detail_is_the_bicubic_of_the_full_depth() -> None:
    import cv2

    deep = (
        (np.arange(64 * 48 * 3, dtype=np.uint32) * 7 % 65536).astype(np.uint16).reshape(48, 64, 3)
    )
    smooth = cv2.GaussianBlur(deep, (0, 0), 4)
    lr = to_8_bits(np.asarray(smooth, np.uint16))
    hr = to_8_bits(
        np.asarray(
            cv2.resize(lr.astype(np.uint16) * 257, (192, 144), interpolation=cv2.INTER_CUBIC)
        )
    )
    expected = cv2.resize(smooth, (192, 144), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(add_detail(np.asarray(smooth, np.uint16), lr, hr), expected)


@pytest.mark.parametrize(
    ("codec", "name"), [("hevc", "mkv"), ("hevc", "mp4"), ("h264", "mkv"), ("av1", "mp4")]
)
def test_hdr10_keeps_its_tags_and_metadata(
    tmp_path: Path, upscale: Command, codec: str, name: str
) -> None:
    def prepare(_container: Any, video: Any) -> None:
        video.color_primaries, video.color_trc, video.colorspace, video.color_range = 9, 16, 9, 1

    options = {"x265-params": "log-level=error:hdr10=1" + AS_X265_SAYS_IT}
    film = make_video(
        tmp_path / "in.mkv",
        pts=range(5),
        codec="libx265",
        pix_fmt="yuv420p10le",
        options=options,
        prepare=prepare,
    )
    assert hdr_of(first_frame(film)) == HDR10
    done = upscale(
        film,
        tmp_path / f"out.{name}",
        "--codec",
        codec,
        "--preset",
        "10" if codec == "av1" else "fast",
    )
    assert done.status == 0, done.err
    frame = first_frame(tmp_path / f"out.{name}")
    assert (int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)) == (9, 16, 9)
    assert hdr_of(frame).light == HDR10.light
    found = hdr_of(frame).mastering
    assert found is not None
    # AV1 stores these as binary fractions of 16 and 8 or 14 bits.
    assert HDR10.mastering is not None
    assert all(
        abs(a - b) <= max(2, b // 10000, 40 * (b == 1))
        for a, b in zip(found, HDR10.mastering, strict=True)
    )


MATRICES = (BT709, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020_NCL)
FORMATS = [
    f"yuv{chroma}p{depth}" for chroma in ("420", "422", "444") for depth in ("", "10le", "12le")
]


def round_trip(
    rgb: NDArray[np.uint8], matrix: int, full: int, pixel_format: str
) -> NDArray[np.int64]:
    """How far each sample is off once it was written and read again."""
    tags = ColorTags(matrix, 1, 1, full)
    back = np.empty_like(rgb)
    FrameReader(tags).read(
        FrameWriter(tags, pixel_format, rgb.shape[1], rgb.shape[0]).frame(rgb), back
    )
    return np.abs(back.astype(np.int64) - rgb)


@pytest.mark.parametrize("level", [255, 191], ids=["100 percent", "75 percent"])
@pytest.mark.parametrize("full", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colour_bars_survive_a_round_trip_within_one_level(
    level: int, full: int, matrix: int
) -> None:
    bars = np.zeros((32, 128, 3), np.uint8)
    for i in range(8):
        bars[:, i * 16 : (i + 1) * 16] = [
            level * (i >> 2 & 1),
            level * (i >> 1 & 1),
            level * (i & 1),
        ]
    inside = np.zeros(bars.shape[:2], bool)
    inside.reshape(32, 8, 16)[:, :, 3:-3] = True  # coarse chroma blurs where bars meet
    for pixel_format in FORMATS:
        off = round_trip(bars, matrix, full, pixel_format)[inside].max()
        assert off <= (1 if depth_of(pixel_format) == 8 else 0), pixel_format


@pytest.mark.parametrize("full", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_any_colour_survives_a_round_trip(full: int, matrix: int) -> None:
    """Limited range in 8 bits has 219 levels for 255: a third of a per cent of the samples is off
    by two there."""
    steps = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.ascontiguousarray(
        np.stack(np.meshgrid(steps, steps, steps), -1).reshape(52, -1, 3)
    )
    off = round_trip(colours, matrix, full, "yuv444p")
    assert off.max() <= (2 if full == LIMITED else 1)
    assert (off > 1).mean() < 0.005
    assert round_trip(colours, matrix, full, "yuv444p10le").max() == 0


@pytest.mark.parametrize("pixel_format", ["yuva420p", "bgra", "yuva444p10le"])
def test_opacity_is_kept_by_a_codec_that_can(
    tmp_path: Path, upscale: Command, pixel_format: str
) -> None:
    film = tmp_path / "in.mkv"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        rgba = np.dstack((picture(0), np.broadcast_to(np.arange(64, dtype=np.uint8) * 4, (48, 64))))
        frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pixel_format)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert has_alpha(pixel_format)
    done = upscale(film, tmp_path / "out.mkv", "--codec", "ffv1", "--audit")
    assert done.status == 0, done.out + done.err
    kept = first_frame(tmp_path / "out.mkv")
    alpha = plane(kept, 3).astype(float) / ((1 << depth_of(kept.format.name)) - 1)
    assert np.abs(alpha[70, 1:-1:3] - np.arange(64) * 4 / 255).max() < 0.01
    said = upscale(film, tmp_path / "h264.mkv")
    assert said.status == 0
    assert "h264 has no alpha" in said.err


@pytest.mark.parametrize(
    "pixel_format",
    [
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuv411p",
        "yuv410p",
        "gray",
        "bgr0",
        "gbrp10le",
        "yuv422p16le",
    ],
)
def test_every_pixel_format_keeps_its_colours(
    tmp_path: Path, upscale: Command, pixel_format: str
) -> None:
    film = make_video(tmp_path / "in.mkv", pts=range(2), codec="ffv1", pix_fmt=pixel_format)
    done = upscale(film, tmp_path / "out.mkv", "--codec", "ffv1", "--audit")
    assert done.status == 0, done.out + done.err


def test_plain_rgb_keeps_its_colours(tmp_path: Path, upscale: Command) -> None:
    for codec, pixel_format in (("png", "rgb24"), ("qtrle", "rgb24")):
        film = make_video(
            tmp_path / f"{codec}-{pixel_format}.mov",
            pts=range(2),
            codec=codec,
            pix_fmt=pixel_format,
        )
        done = upscale(film, tmp_path / f"out-{codec}-{pixel_format}.mp4", "--audit")
        assert done.status == 0, done.out + done.err


@pytest.mark.parametrize("size", [(17, 33), (63, 47), (2, 2), (640, 8)])
def test_odd_sizes_keep_their_shape(
    tmp_path: Path, upscale: Command, size: tuple[int, int]
) -> None:
    film = make_video(tmp_path / "in.mkv", size=size, pts=range(2), codec="ffv1", pix_fmt="yuv420p")
    done = upscale(film, tmp_path / "out.mkv", "--codec", "ffv1")
    assert done.status == 0, done.err
    frame = first_frame(tmp_path / "out.mkv")
    assert (frame.width, frame.height) == (size[0] * 3 + size[0] % 2, size[1] * 3 + size[1] % 2)


@pytest.fixture
def interlaced(tmp_path: Path) -> Path:
    """A bar that moves 8 pixels from one half picture to the next."""
    film = tmp_path / "interlaced.mp4"
    with av.open(str(film), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"x264-params": "tff=1", "crf": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(6):
            rgb = np.full((64, 96, 3), 40, np.uint8)
            rgb[0::2, 16 * i % 96 :][:, :16] = 220
            rgb[1::2, (16 * i + 8) % 96 :][:, :16] = 220
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert first_frame(film).interlaced_frame
    return film


def combs(path: Path) -> float:
    """How much neighbouring lines of the third frame differ, which a moving edge in half pictures
    makes large."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    luma = frames[2].to_ndarray(format="gray").astype(float)[::3]
    return float(np.abs(np.diff(luma, axis=0)).mean())


def test_an_interlaced_film_is_deinterlaced_unless_kept_or_refused(
    tmp_path: Path, upscale: Command, interlaced: Path
) -> None:
    done = upscale(interlaced, tmp_path / "whole.mkv", "--audit")
    assert done.status == 0, done.out + done.err
    assert "6 in, 6 out" in done.out
    kept = upscale(interlaced, tmp_path / "kept.mkv", "--interlaced", "keep")
    assert kept.status == 0, kept.err
    assert combs(tmp_path / "kept.mkv") > 4 * combs(tmp_path / "whole.mkv")
    refused = upscale(interlaced, tmp_path / "refused.mkv", "--interlaced", "error")
    assert refused.status == 1
    assert refused.err.strip().endswith("is interlaced")
    assert not (tmp_path / "refused.mkv").exists()


def test_an_interlaced_film_resumes_by_segments(
    tmp_path: Path, upscale: Command, interlaced: Path
) -> None:
    done = upscale(interlaced, tmp_path / "out.mkv", "--resume", "--segment", "0.1", "--audit")
    assert done.status == 0, done.out + done.err


@pytest.mark.parametrize(
    ("name", "depth"), [("yuv420p", 8), ("p010le", 10), ("gbrp12le", 12), ("rgb48le", 16)]
)
def test_depth_of_a_format(name: str, depth: int) -> None:
    assert depth_of(name) == depth


@pytest.mark.parametrize(("codec", "decoder"), [("libvpx", "vp8"), ("libvpx-vp9", "vp9")])
def test_opacity_of_webm_is_kept_or_named(
    tmp_path: Path, upscale: Command, codec: str, decoder: str
) -> None:
    """It is a second picture in each packet, which FFmpeg's own decoders pass over."""
    film, ramp = tmp_path / "in.webm", np.broadcast_to(np.arange(64, dtype=np.uint8) * 4, (48, 64))
    raw = tmp_path / "raw.rgba"
    raw.write_bytes(b"".join(np.dstack((picture(i), ramp)).tobytes() for i in range(3)))
    words = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgba",
        "-s",
        "64x48",
        "-r",
        "25",
        "-i",
        raw,
    ]
    made = ["-c:v", codec, "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-b:v", "2M", film]
    if shutil.which("ffmpeg") is None or run([*words, *made]).returncode:
        pytest.skip(f"no ffmpeg that encodes {decoder} with opacity")
    done = upscale(film, tmp_path / "out.mkv", "--codec", "ffv1", "--audit")
    assert done.status == 0, done.out + done.err
    assert "kept  opacity" in done.out
    alpha = plane(first_frame(tmp_path / "out.mkv"), 3)[70, 1:-1:3].astype(int)
    assert np.abs(alpha - np.arange(64) * 4).max() < 16, "as far as the lossy codec kept it"
    said = upscale(film, tmp_path / "h264.mkv", "--audit")
    assert said.status == 1
    assert "h264 has no alpha" in said.err
    assert "LOST  opacity" in said.out
    assert upscale(film, tmp_path / "strict.mkv", "--strict").status == 1


def test_dolby_vision_without_a_base_layer_is_refused(
    tmp_path: Path, upscale: Command, shared_data: Path
) -> None:
    odd = shared_data / "video" / "odd"
    refused = upscale(odd / "media-b6b2-dvhe_05_05.mkv", tmp_path / "out.mkv")
    assert refused.status == 1
    assert refused.lines[0].endswith(
        "Dolby Vision profile 5, which has no base layer whose colours can be read"
    )
    assert not list(tmp_path.iterdir())
    with FileSource(odd / "fate-suite-5bde-dovi-p81.mp4") as source:
        assert source.info.hdr.dynamic == ("Dolby Vision",)


def test_a_picture_of_another_size_is_refused() -> None:
    writer = FrameWriter(ColorTags(1, 1, 1, 1), "yuv420p10le", 64, 48)
    for height, width in ((16, 21), (49, 64), (48, 62)):
        with pytest.raises(ValueError, match="expected a picture of 64x48"):
            writer.frame(np.zeros((height, width, 3), np.uint8))
    writer.frame(np.zeros((47, 63, 3), np.uint8))
