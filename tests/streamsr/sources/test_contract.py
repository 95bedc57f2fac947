"""The source contract, held by every source: frames in order with their times, errors in words,
leaving harmless."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamsr import FileSource, SourceError
from streamsr.sources import Source
from tests.support.media import look, make_video, picture

Maker = Callable[..., Source]


def file_source(path: Path, **how: object) -> Source:
    """A file of ten frames, whose times are not even."""
    make_video(path.with_suffix(".mkv"), pts=[2, 3, 4, 7, 8, 12, 13, 14, 15, 20], **how)  # type: ignore[arg-type]
    return FileSource(path.with_suffix(".mkv"))


def missing_file(path: Path) -> Source:
    return FileSource(path)


SOURCES: dict[str, Maker] = {"file": file_source}
NOTHING_TO_READ: dict[str, Maker] = {"file": missing_file}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return SOURCES[request.param](tmp_path / "source")


class TestEverySource:
    def test_the_info_is_that_of_the_frames(self, source: Source) -> None:
        with source:
            info = source.info
            for frame in source:
                assert frame.rgb.shape == (info.height, info.width, 3)
                assert frame.rgb.dtype == np.uint8
                assert frame.rgb.flags.c_contiguous
                assert frame.time_base == info.time_base
            assert info.color == info.color.resolved(info.width, info.height)
            assert info.sar > 0

    def test_times_and_indices_rise(self, source: Source) -> None:
        with source:
            frames = list(source)
        assert len(frames) == 10
        assert [frame.index for frame in frames] == list(range(10))
        times = [frame.pts for frame in frames]
        assert times == sorted(set(times))
        arrivals = [frame.arrival_s for frame in frames]
        assert arrivals == sorted(arrivals)
        assert arrivals[0] > 0

    def test_a_frame_keeps_its_pixels_while_others_are_read(self, source: Source) -> None:
        with source:
            frames = list(source)
        means = [float(frame.rgb.mean()) for frame in frames]
        assert len({round(mean, 3) for mean in means}) > 5
        for i, frame in enumerate(frames):
            difference = np.abs(frame.rgb.astype(int) - picture(i))
            assert difference.mean() < 12, i

    def test_entering_twice_and_leaving_twice_is_harmless(self, source: Source) -> None:
        with source, source:
            assert len(list(source)) == 10
        source.__exit__(None, None, None)

    def test_leaving_in_the_middle_is_harmless(self, source: Source) -> None:
        with source:
            next(iter(source))

    @pytest.mark.parametrize("name", NOTHING_TO_READ)
    def test_nothing_to_read_is_said_on_entry(self, name: str, tmp_path: Path) -> None:
        source = NOTHING_TO_READ[name](tmp_path / "nowhere")
        with pytest.raises(SourceError, match="nowhere") as raised, source:
            pass
        assert "\n" not in str(raised.value)
        source.__exit__(None, None, None)


def test_a_file_gives_the_very_times_it_holds(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mp4", pts=[5, 6, 9, 11, 12, 20])
    with FileSource(path) as source:
        assert [frame.pts * frame.time_base for frame in source] == look(path).times


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [
        (0.0, None, range(25)),
        (0.2, None, range(5, 25)),
        (0.0, 0.2, range(5)),
        (0.21, 0.2, range(6, 11)),
        (0.96, None, [24]),
        (0.5, 100, range(13, 25)),
    ],
)
@pytest.mark.parametrize("first", [0, 9])
def test_a_span_holds_the_frames_that_begin_in_it(
    tmp_path: Path, start: float, duration: float | None, expected: range, first: int
) -> None:
    path = make_video(tmp_path / "in.mp4", pts=range(first, first + 25), options={"g": "8"})
    with FileSource(path, start_s=start, duration_s=duration) as source:
        got = [frame.pts * frame.time_base * 25 - first for frame in source]
    assert got == list(expected)


@pytest.mark.parametrize(("start", "duration"), [(-1, None), (0, 0), (0, -5)])
def test_a_span_that_is_none_is_refused(start: float, duration: float | None) -> None:
    with pytest.raises(ValueError, match="expected a start"):
        FileSource("any.mp4", start_s=start, duration_s=duration)


def test_the_cover_picture_of_a_song_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000, layout="mono")
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(0, 16, 16), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1)
        container.mux(cover.encode(frame))
        heard = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        heard.sample_rate = 48000
        container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    with pytest.raises(SourceError, match="has no video stream"), FileSource(tmp_path / "song.m4a"):
        pass


def test_a_video_that_changes_its_size_says_how_its_pictures_are_shown(tmp_path: Path) -> None:
    """MPEG-TS files joined by cat, as recorders make them."""
    a = make_video(tmp_path / "a.ts", pts=range(10))
    b = make_video(tmp_path / "b.ts", pts=range(10, 20), size=(96, 80))
    (tmp_path / "both.ts").write_bytes(a.read_bytes() + b.read_bytes())
    with FileSource(tmp_path / "both.ts") as source:
        frames = list(source)
        info = source.info
    assert (info.width, info.height) == (96, 80), "the largest"
    assert {frame.rgb.shape for frame in frames} == {(48, 64, 3), (80, 96, 3)}
    assert all((frame.fit is None) == (frame.rgb.shape == (80, 96, 3)) for frame in frames)
    assert len(frames) > 12


def test_a_file_name_is_never_taken_for_an_address(tmp_path: Path) -> None:
    for name in (
        "http://127.0.0.1:1/x.mp4",
        "concat:/etc/passwd",
        "pipe:0",
        "data:video/mp4;base64,AAAA",
    ):
        with pytest.raises(SourceError), FileSource(name):
            pass
    odd = tmp_path / "100%: a #film? [1].mkv"
    make_video(tmp_path / "plain.mkv", pts=range(2)).rename(odd)
    with FileSource(odd) as source:
        assert len(list(source)) == 2
