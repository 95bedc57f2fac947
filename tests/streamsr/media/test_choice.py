"""Which model `auto` takes: what is read from a film, and the rule."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsr.frame import Coded, StreamInfo
from streamsr.media.choice import MIDDLE, choose, equivalent
from streamsr.sources.file import FileSource
from tests.support.media import make_video, noise

SIZE = 160, 96


def coded(path: Path) -> Coded:
    with FileSource(path) as source:
        found = source.info.coded
    assert found is not None
    return found


def kind(seen: Coded | None, *, lossy: bool = True) -> str:
    return choose(StreamInfo(640, 360, Fraction(1, 25), lossy=lossy, coded=seen)).kind


CODECS = st.sampled_from(["h264", "vp9", "mpeg2video", "jpeg"])
SHARPNESS = st.floats(-0.1, 0.4)


@given(CODECS, st.floats(1, 200), st.floats(1, 200), SHARPNESS)
def test_what_is_coded_more_coarsely_does_not_need_the_clean_model(
    codec: str, one: float, other: float, sharpness: float
) -> None:
    fine, coarse = (
        kind(Coded(codec, quantiser=q, sharpness=sharpness)) for q in sorted((one, other))
    )
    assert (fine, coarse) != ("video", "clean")


@given(st.sampled_from(["hevc", "av1", "svq3"]), st.floats(0.01, 9), st.floats(0.01, 9), SHARPNESS)
def test_fewer_bits_do_not_need_the_clean_model(
    codec: str, one: float, other: float, sharpness: float
) -> None:
    few, many = (
        kind(Coded(codec, bits=b, sharpness=sharpness, detail=2.0)) for b in sorted((one, other))
    )
    assert (few, many) != ("clean", "video")


@given(CODECS, st.floats(1, 200), SHARPNESS, SHARPNESS)
def test_pictures_less_like_those_of_the_clean_model_do_not_need_it(
    codec: str, quantiser: float, one: float, other: float
) -> None:
    like, unlike = (
        kind(Coded(codec, quantiser=quantiser, sharpness=s))
        for s in sorted((one, other), key=lambda sharpness: abs(sharpness - MIDDLE))
    )
    assert (like, unlike) != ("video", "clean")


@pytest.mark.parametrize(
    ("seen", "lossy", "taken"),
    [
        (None, True, "video"),
        (None, False, "clean"),
        (Coded("ffv1", lossy=False, bits=9.0, sharpness=0.0, detail=2.0), False, "clean"),
        (Coded("h264", quantiser=0.0, sharpness=0.0), True, "clean"),
        (Coded("h264", quantiser=6.0, sharpness=0.2), True, "clean"),
        (Coded("h264", quantiser=28.0, sharpness=0.2), True, "video"),
        (Coded("hevc", bits=0.3, sharpness=0.2, detail=2.0), True, "video"),
        (Coded("hevc", bits=8.0, sharpness=0.2, detail=1.0), True, "clean"),
        (Coded("rv40"), True, "video"),
        (Coded("h264", quantiser=28.0), True, "video"),
    ],
)
def test_the_rule(seen: Coded | None, lossy: bool, taken: str) -> None:
    assert kind(seen, lossy=lossy) == taken


def test_scales_of_codecs_meet_in_that_of_h264() -> None:
    assert equivalent(Coded("h264", quantiser=23.0)) == 23
    fine, coarse = (equivalent(Coded("mpeg4", quantiser=q)) for q in (4.0, 8.0))
    many, few = (equivalent(Coded("hevc", bits=b, detail=2.0)) for b in (2.0, 1.0))
    assert None not in (fine, coarse, many, few)
    assert coarse == pytest.approx(fine + 6)  # type: ignore[operator]  # as with H.264's steps
    assert few == pytest.approx(many + 9)  # type: ignore[operator]
    assert equivalent(Coded("hevc")) is None


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "options", "quantiser"),
    [
        ("libx264", "yuv420p", {"qp": "30", "x264-params": "ipratio=1"}, 30),
        ("libx264", "yuv420p10le", {"qp": "42", "x264-params": "ipratio=1"}, 30),  # 6 a bit more
        ("libx264", "yuv420p", {"qp": "0"}, 0),
        ("mpeg2video", "yuv420p", {"qmin": "5", "qmax": "5", "b": "100M"}, 10),
        ("mpeg4", "yuv420p", {"qmin": "5", "qmax": "5", "b": "100M"}, 10),
        ("libvpx-vp9", "yuv420p", {"lossless": "1", "cpu-used": "8"}, 0),
    ],
)
def test_the_decoder_gives_the_quantiser(
    tmp_path: Path, codec: str, pix_fmt: str, options: dict[str, str], quantiser: float
) -> None:
    film = make_video(tmp_path / "in.mkv", size=SIZE, codec=codec, pix_fmt=pix_fmt, options=options)
    assert coded(film).quantiser == pytest.approx(quantiser, abs=0.01)


def test_bits_are_those_of_key_frames(tmp_path: Path) -> None:
    film = make_video(tmp_path / "in.mp4", size=SIZE, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(film)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    found = coded(film)
    assert (found.codec, found.lossy, found.quantiser) == ("mjpeg", True, None)
    assert found.bits is not None
    assert 8 * min(sizes) <= found.bits * SIZE[0] * SIZE[1] <= 8 * max(sizes)


def noisy(path: Path, codec: str, pix_fmt: str, *, black: int = 0) -> Path:
    """A film of noise, a key frame every ten frames, behind so many black frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "10"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = pix_fmt
        for index in range(black + 40):
            rgb = noise(*SIZE, seed=index)
            if index < black:
                rgb[:] = 0
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_black_beginning_tells_nothing(tmp_path: Path) -> None:
    found = coded(noisy(tmp_path / "in.mkv", "libx264", "yuv420p", black=20))
    assert found.detail is not None
    assert found.detail > 1


def test_lossless_films_say_so(tmp_path: Path) -> None:
    found = coded(make_video(tmp_path / "in.mkv", size=SIZE, codec="ffv1"))
    assert (found.codec, found.lossy) == ("ffv1", False)


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p10le", "gray", "bgr0"])
def test_pictures_of_every_format_show_the_same_sampling(tmp_path: Path, pix_fmt: str) -> None:
    usual = coded(noisy(tmp_path / "a.mkv", "ffv1", "yuv420p"))
    other = coded(noisy(tmp_path / "b.mkv", "ffv1", pix_fmt))
    assert other.sharpness == pytest.approx(usual.sharpness, abs=0.01)
    assert other.detail == pytest.approx(usual.detail, rel=0.1)  # full range has larger steps
