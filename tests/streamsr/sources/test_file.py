"""Video files as a source: times, spans, sizes, and which names and streams are none."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamsr import FileSource, SourceError
from streamsr.frame import Fit, Span, StreamInfo
from streamsr.options import DecodeOptions
from tests.support.media import look, make_video, picture


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


def test_pictures_of_another_size_than_the_films_say_how_they_fit(tmp_path: Path) -> None:
    """MPEG-TS files joined by cat, as recorders make them."""
    a = make_video(tmp_path / "a.ts", pts=range(10))
    b = make_video(tmp_path / "b.ts", pts=range(10, 20), size=(96, 80))
    (tmp_path / "both.ts").write_bytes(a.read_bytes() + b.read_bytes())
    with FileSource(tmp_path / "both.ts") as source:
        info, frames = source.info, list(source)
    assert (info.width, info.height) == (96, 80), "the largest"
    assert {frame.rgb.shape for frame in frames} == {(48, 64, 3), (80, 96, 3)}
    assert len(frames) > 12
    for frame in frames:
        assert (frame.fit is None) == (frame.rgb.shape[1::-1] == (info.width, info.height))
        assert frame.fit in (None, Fit(info.width, info.height))


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


INFO = StreamInfo(64, 48, Fraction(1, 25))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"span": Span(), "info": INFO, "start_s": 1.0}, "either a span, or start_s"),
        ({"span": Span(), "info": INFO, "duration_s": 1.0}, "either a span, or start_s"),
        ({"span": Span()}, "together"),
        ({"info": INFO}, "together"),
        ({"start_s": -1.0}, "a start of at least 0"),
        ({"interlaced": "weave"}, "interlaced to be one of"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_arguments_that_do_not_go_together_are_refused(
    arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        FileSource("film.mkv", **arguments)  # type: ignore[arg-type]


def test_limits_given_whole_hold_like_those_given_alone(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mkv", size=(64, 48), pts=range(3))
    for source in (
        FileSource(film, max_pixels=64 * 48 - 1),
        FileSource(film, decode=DecodeOptions(max_pixels=64 * 48 - 1)),
    ):
        with pytest.raises(SourceError, match="64x48 is larger than 3071 pixels"):
            source.__enter__()
