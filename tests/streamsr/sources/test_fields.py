"""Half pictures taken at different times: of streams, of y4m, of captures that do not say so."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streamsr.errors import SourceError
from streamsr.media.y4m import Y4mFormat, output_format
from streamsr.media.y4m_frames import frame_of, read_frame
from streamsr.sources.file import FileSource
from streamsr.sources.network import network
from streamsr.sources.y4m import Y4mSource
from tests.support.streams import tcp_server

SIZE = 96, 64
COUNT = 12


def woven(index: int, *, top_first: bool = True) -> NDArray[np.uint8]:
    """A bar that moves 8 pixels from one half picture to the next, [H, W] luma."""
    luma = np.full(SIZE[::-1], 40, np.uint8)
    early, late = (0, 1) if top_first else (1, 0)
    luma[early::2, 16 * index % SIZE[0] :][:, :16] = 220
    luma[late::2, (16 * index + 8) % SIZE[0] :][:, :16] = 220
    return luma


def combs(picture: NDArray[np.uint8]) -> float:
    """How much neighbouring lines differ, which a moving edge in half pictures makes large."""
    return float(np.abs(np.diff(picture[..., 1].astype(float), axis=0)).mean())


def film(path: Path, *, flagged: bool, top_first: bool = True) -> Path:
    options = {"crf": "1", "g": "6"}
    if flagged:
        options["x264-params"] = "tff=1" if top_first else "bff=1"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(COUNT):
            luma = woven(index, top_first=top_first)
            frame = av.VideoFrame.from_ndarray(luma, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def y4m(fields: str, *, chroma: str = "420mpeg2", top_first: bool = True) -> io.BytesIO:
    layout = Y4mFormat.parse(f"YUV4MPEG2 W{SIZE[0]} H{SIZE[1]} F25:1 I{fields} A1:1 C{chroma}")
    content = str(layout).encode() + b"\n"
    for index in range(COUNT):
        planes = [woven(index, top_first=top_first)]
        planes += [np.full(shape, 128, np.uint8) for shape in layout.shapes[1:]]
        raw = np.concatenate([plane.ravel() for plane in planes])
        if layout.depth > 8:
            raw = (raw.astype("<u2") << (layout.depth - 8)).view(np.uint8)
        content += b"FRAME\n" + raw.tobytes()
    return io.BytesIO(content)


WOVEN = combs(np.repeat(woven(3)[..., None], 3, axis=2))


def test_an_interlaced_stream_is_deinterlaced(tmp_path: Path) -> None:
    content = film(tmp_path / "dvb.ts", flagged=True).read_bytes()
    with tcp_server([content]) as url, network(url) as source:
        frames = [frame for frame, _ in zip(source, range(8), strict=False)]
    assert combs(frames[4].rgb) < WOVEN / 3
    with tcp_server([content]) as url, network(url, interlaced="keep") as source:
        frames = [frame for frame, _ in zip(source, range(8), strict=False)]
    assert combs(frames[4].rgb) > WOVEN / 2


@pytest.mark.parametrize("top_first", [True, False])
def test_a_capture_that_does_not_say_so_is_deinterlaced_when_told(
    tmp_path: Path, top_first: bool
) -> None:
    capture = film(tmp_path / "vhs.mkv", flagged=False, top_first=top_first)
    with FileSource(capture) as source:
        assert combs(list(source)[4].rgb) > WOVEN / 2
    right, wrong = ("force-tff", "force-bff") if top_first else ("force-bff", "force-tff")
    made = {}
    for word in (right, wrong):
        with FileSource(capture, interlaced=word) as source:
            frames = list(source)
        assert [frame.pts for frame in frames] == [frames[0].pts + 40 * i for i in range(COUNT)]
        made[word] = frames[4].rgb
    assert combs(made[right]) < WOVEN / 3
    assert (made[right] != made[wrong]).any()


@pytest.mark.parametrize(("fields", "top_first"), [("t", True), ("b", False)])
@pytest.mark.parametrize("chroma", ["420mpeg2", "422", "444", "mono", "420p10"])
def test_interlaced_y4m_is_deinterlaced_and_says_so(
    fields: str, top_first: bool, chroma: str
) -> None:
    with Y4mSource(y4m(fields, chroma=chroma, top_first=top_first)) as source:
        frames = list(source)
        made = output_format(source.format, (288, 192), fields=source.fields)
    assert len(frames) == COUNT
    assert [frame.pts for frame in frames] == list(range(COUNT))
    assert combs(frames[4].rgb) < WOVEN / 3
    assert " Ip " in str(made)


def test_y4m_that_is_kept_says_what_it_is() -> None:
    with Y4mSource(y4m("t"), interlaced="keep") as source:
        assert combs(list(source)[4].rgb) == pytest.approx(WOVEN, rel=0.2)
        assert " It " in str(output_format(source.format, (288, 192), fields=source.fields))


def test_y4m_without_the_flag_is_deinterlaced_when_told() -> None:
    with Y4mSource(y4m("p"), interlaced="force-tff") as source:
        assert combs(list(source)[4].rgb) < WOVEN / 3
        assert source.fields == "p"


def test_interlaced_y4m_is_refused_when_it_is_to_be() -> None:
    with (
        pytest.raises(SourceError, match="is interlaced"),
        Y4mSource(y4m("b"), interlaced="error"),
    ):
        pass


def test_progressive_y4m_keeps_its_bytes() -> None:
    with Y4mSource(y4m("p")) as source:
        kept = [frame.rgb.copy() for frame in source]
    with Y4mSource(y4m("p"), interlaced="keep") as source:
        for frame, expected in zip(source, kept, strict=True):
            np.testing.assert_array_equal(frame.rgb, expected)


@pytest.mark.parametrize("chroma", ["420", "422", "444", "mono", "420p10", "444p12"])
@pytest.mark.parametrize("size", [(7, 5), (96, 64), (33, 18)])
def test_raw_frames_are_ffmpegs_and_back(chroma: str, size: tuple[int, int]) -> None:
    layout = Y4mFormat.parse(f"YUV4MPEG2 W{size[0]} H{size[1]} F25:1 C{chroma}")
    raw = np.random.default_rng(1).integers(0, 256, layout.frame_bytes, np.uint8)
    out = np.zeros_like(raw)
    read_frame(frame_of(raw, layout, 3), layout, out)
    np.testing.assert_array_equal(out, raw)


def test_packed_pictures_are_deinterlaced_too() -> None:
    rgb = b"".join(np.repeat(woven(i)[..., None], 3, axis=2).tobytes() for i in range(COUNT))
    layout = Y4mFormat.raw(SIZE, "rgb24", Fraction(25))
    with Y4mSource(io.BytesIO(rgb), format=layout, interlaced="force-tff") as source:
        frames = list(source)
    assert len(frames) == COUNT
    assert combs(frames[4].rgb) < WOVEN / 3


def test_what_is_too_small_to_be_deinterlaced_is_one_clear_error() -> None:
    layout = Y4mFormat.raw((2, 2), "yuv420p", Fraction(25))
    raw = io.BytesIO(bytes(layout.frame_bytes))
    with (
        pytest.raises(SourceError, match="2x2 is too small"),
        Y4mSource(raw, format=layout, interlaced="force-tff") as source,
    ):
        list(source)
