"""Sources that live in real time, most of them on a virtual clock."""

import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.errors import SourceError
from streamsr.frame import Fit, Frame, StreamInfo
from streamsr.interrupt import LONGEST_WAIT_S, wait_before
from streamsr.media.y4m import Y4mFormat
from streamsr.picture.resize import resized
from streamsr.sources import camera as camera_module
from streamsr.sources.camera import camera, is_camera
from streamsr.sources.network import is_network
from streamsr.sources.paced import PacedSource
from streamsr.sources.pattern import PatternSource, read_time, write_time
from streamsr.sources.reconnect import Picture, ReconnectingSource
from streamsr.sources.y4m import Y4mSource
from streamsr.stats import Event, Recorder
from tests.support.fakes import Clock, Hurried
from tests.support.media import look, make_video, picture


class Film:
    """A source with frames at these seconds."""

    def __init__(
        self, *times: float, slow: dict[int, float] | None = None, clock: Clock | None = None
    ) -> None:
        self.info = StreamInfo(4, 4, Fraction(1, 1000))
        self.times, self.slow, self.clock = times, slow or {}, clock
        self.open = 0

    def __enter__(self) -> "Film":
        self.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.open -= 1

    def __iter__(self) -> Iterator[Frame]:
        for i, when in enumerate(self.times):
            if self.clock is not None:
                self.clock.now += self.slow.get(i, 0.0)
            yield Frame(
                np.zeros((4, 4, 3), np.uint8), round(when * 1000), Fraction(1, 1000), index=i
            )


def test_a_paced_film_keeps_its_own_times() -> None:
    time = Clock()
    with PacedSource(Film(3.0, 3.04, 3.1, 4.0), clock=time, pause=time) as source:
        assert source.info.live
        assert [frame.arrival_s for frame in source] == pytest.approx([100.0, 100.04, 100.1, 101.0])


def test_a_frame_decoded_too_late_delays_no_other() -> None:
    time = Clock()
    film = Film(0.0, 0.1, 0.2, 0.3, slow={1: 0.15}, clock=time)
    arrivals = [frame.arrival_s - 100 for frame in PacedSource(film, clock=time, pause=time)]
    assert arrivals == pytest.approx([0.0, 0.15, 0.2, 0.3])


def test_a_paced_film_stops_while_it_waits() -> None:
    time = Clock()
    source = PacedSource(Film(0.0, 100.0), clock=time, pause=time)
    frames = iter(source)
    next(frames)
    source.stop()
    assert list(frames) == []


@pytest.mark.parametrize("size", [(112, 64), (640, 360), (333, 187)])
def test_the_time_in_the_picture_is_read_back_also_when_enlarged(size: tuple[int, int]) -> None:
    for seconds in (0.0, 1.5, 12345.678, 2.0**38):
        rgb = picture(1, *size)
        write_time(rgb, seconds)
        assert read_time(rgb) == pytest.approx(seconds, abs=1e-3)
        assert read_time(resized(rgb, (size[0] * 3, size[1] * 3))) == pytest.approx(
            seconds, abs=1e-3
        )


def test_pictures_without_a_time_have_none() -> None:
    rng = np.random.default_rng(1)
    for image in (
        np.zeros((90, 160, 3), np.uint8),
        np.full((90, 160, 3), 255, np.uint8),
        picture(1, 160, 90),
    ):
        assert read_time(image) is None
    assert (
        sum(read_time(rng.integers(0, 256, (90, 160, 3), np.uint8)) is not None for _ in range(50))
        < 5
    )


def test_the_pattern_comes_at_its_rate_and_skips_what_it_is_late_for() -> None:
    time = Clock()
    source = PatternSource("test:160x96@10", clock=time, pause=time)
    frames = iter(source)
    first, second = next(frames), next(frames)
    time.now += 0.35
    third = next(frames)
    assert [f.index for f in (first, second, third)] == [0, 1, 4]
    assert third.time_s == pytest.approx(0.4)
    assert [read_time(f.rgb) for f in (first, second)] == pytest.approx([100.0, 100.1], abs=2e-3)
    assert first.rgb.shape == (96, 160, 3)
    source.stop()
    assert list(frames) == []


@pytest.mark.parametrize("spec", ["test", "test:1x1", "test:640", "test:640x360@0", "test:a"])
def test_an_unknown_pattern_is_refused(spec: str) -> None:
    with pytest.raises(SourceError, match="test"):
        PatternSource(spec)


class Line:
    """A session of so many pictures that then breaks, or ends."""

    fetched = False

    def __init__(
        self, count: int, *, size: int = 8, ends: bool = False, step_s: float | None = None
    ) -> None:
        self.info = StreamInfo(size, size, Fraction(1, 1000))
        self.count, self.size, self.ends, self.step_s = count, size, ends, step_s
        self.closed = 0

    def pictures(self) -> Iterator[Picture]:
        for i in range(self.count):
            yield Picture(
                np.zeros((self.size, self.size, 3), np.uint8),
                None if self.step_s is None else 7 + i * self.step_s,
            )
        if not self.ends:
            raise SourceError("line: broke off")

    def close(self) -> None:
        self.closed += 1


def test_a_source_that_breaks_is_connected_to_again_and_again() -> None:
    time = Clock()
    lines: list[Line | SourceError] = [
        Line(2),
        *[SourceError("nobody there")] * 8,
        Line(3, size=9),
        Line(1, ends=True),
    ]
    opened = iter(list(lines))

    def connect() -> Line:
        line = next(opened)
        if isinstance(line, SourceError):
            raise line
        return line

    record = Recorder()
    with ReconnectingSource("line", connect, record=record, clock=time, pause=time) as source:
        frames = list(source)
    assert len(frames) == 6
    assert source.connections == 3
    assert record.counted(Event.RECONNECT) == 2
    shown = {frame.rgb.shape[1::-1] if frame.fit is None else frame.fit for frame in frames}
    assert shown == {(8, 8), Fit(8, 8)}, "in the size of the first session"
    assert [frame.index for frame in frames] == list(range(6))
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))
    assert max(time.waits) == LONGEST_WAIT_S
    assert all(line.closed for line in lines if isinstance(line, Line))


def test_the_first_failure_to_connect_is_the_callers() -> None:
    def connect() -> Line:
        raise SourceError("nobody there")

    with pytest.raises(SourceError, match="nobody"):
        ReconnectingSource("line", connect).__enter__()


def test_a_lost_source_says_so_and_stops_when_told() -> None:
    time = Clock()
    states: list[str] = []

    class Watching(Clock):
        def wait(self, seconds: float) -> bool:
            self.waits.append(seconds)
            states.append(source.state)
            source.stop()
            return True

    source = ReconnectingSource("line", lambda: Line(2), clock=time, pause=Watching())
    with source:
        assert len(list(source)) == 2
    assert states == ["lost: line: broke off; next try in 0.2 s"]


def test_a_streams_own_clock_is_kept_within_a_connection() -> None:
    time = Clock()
    with ReconnectingSource(
        "line", lambda: Line(4, step_s=0.04, ends=True), clock=time, pause=time
    ) as source:
        assert [frame.time_s for frame in source] == pytest.approx(
            [0.0, 0.04, 0.08, 0.12], abs=1e-4
        )


def test_waits_grow_to_a_limit() -> None:
    waits = [wait_before(i) for i in range(100)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S


def test_opencv_reads_pictures_and_is_opened_again_when_they_end(tmp_path: Path) -> None:
    """A file stands in for the device: the same calls, and it vanishes after its last frame."""
    film = make_video(tmp_path / "camera.avi", codec="mjpeg", pix_fmt="yuvj420p", pts=range(5))
    expected = look(film, keep_frames=True).frames
    with camera(str(film), pause=Hurried()) as source:
        frames = iter(source)
        seen = [next(frames) for _ in range(12)]
    assert source.connections == 3
    assert abs(seen[0].rgb.astype(int) - expected[0].astype(int)).mean() < 3
    assert source.info.rate == 25


def test_a_camera_whose_pictures_are_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_video(tmp_path / "camera.avi", codec="mjpeg", pix_fmt="yuvj420p", pts=range(5))
    monkeypatch.setattr(camera_module, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(SourceError, match="a picture of 64x48 is too large"):
        camera(str(film)).__enter__()


def test_a_camera_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(SourceError, match="camera 63: cannot be opened"):
        camera("63").__enter__()


def test_what_is_a_camera_and_what_an_address() -> None:
    assert [is_camera(s) for s in ("0", "/dev/video2", "film.mp4", "100")] == [
        True,
        True,
        False,
        False,
    ]
    assert [is_network(s) for s in ("rtsp://a/b", "file:///etc/passwd", "a.mp4")] == [
        True,
        False,
        False,
    ]


def y4m(frames: int, line: str = "YUV4MPEG2 W6 H4 F30000:1001 Ip A1:1 C420mpeg2") -> bytes:
    size = Y4mFormat.parse(line).frame_bytes
    rng = np.random.default_rng(0)
    return line.encode() + b"\n" + b"".join(b"FRAME\n" + rng.bytes(size) for _ in range(frames))


def test_y4m_frames_come_with_exact_times() -> None:
    with Y4mSource(io.BytesIO(y4m(3))) as source:
        frames = list(source)
        assert source.info.rate == Fraction(30000, 1001)
    assert [frame.pts * frame.time_base for frame in frames] == [
        Fraction(1001 * i, 30000) for i in range(3)
    ]
    assert frames[0].rgb.shape == (4, 6, 3)


@pytest.mark.parametrize(
    "chroma", ["420", "420jpeg", "420mpeg2", "420paldv", "422", "444", "mono", "422p10", "444p12"]
)
@pytest.mark.parametrize("full", ["", " XCOLORRANGE=FULL", " XCOLORRANGE=LIMITED"])
def test_y4m_headers_are_written_as_they_were_read(chroma: str, full: str) -> None:
    line = f"YUV4MPEG2 W7 H5 F25:1 Ip A1:1 C{chroma}{full}"
    assert str(Y4mFormat.parse(line)) == line


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello\n", "not YUV4MPEG2"),
        (b"YUV4MPEG2 W6\n", "no width and height"),
        (b"YUV4MPEG2 W0 H4\n", "0x4"),
        (b"YUV4MPEG2 W99999 H99999\n", "99999x99999"),
        (b"YUV4MPEG2 W6 H4 C411\n", "C411"),
        (b"YUV4MPEG2 W6 H4 F0:0\n", "rate"),
        (b"YUV4MPEG2 W6 H4 Fx\n", "ratio"),
        (b"x" * 5000, "not YUV4MPEG2"),
        (y4m(2)[:-1], "middle of a frame"),
        (y4m(1) + b"GARBAGE\n", "expected a frame"),
    ],
)
def test_broken_y4m_is_one_clear_error(content: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason), Y4mSource(io.BytesIO(content)) as source:
        list(source)


def test_raw_video_needs_no_header() -> None:
    rgb = picture(1, 6, 4)
    layout = Y4mFormat.raw((6, 4), "rgb24", Fraction(25))
    with Y4mSource(io.BytesIO(rgb.tobytes() * 2), format=layout) as source:
        frames = list(source)
    assert len(frames) == 2
    np.testing.assert_array_equal(frames[1].rgb, rgb)
    with pytest.raises(ValueError, match="nv12"):
        Y4mFormat.raw((6, 4), "nv12", Fraction(25))
