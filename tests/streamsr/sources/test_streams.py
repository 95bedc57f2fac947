"""Streams as they are met: running already, in bursts, cut, without times. The pictures say when
they were taken."""

import http.server
import itertools
import logging
import socket
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from streamsr.frame import Frame
from streamsr.sources import connection
from streamsr.sources.network import network
from streamsr.sources.pacing import SLEW
from streamsr.sources.pattern import read_time
from streamsr.stats import Event, Recorder
from tests.support.fakes import Hurried
from tests.support.rtsp import rtsp_server
from tests.support.servers import ffmpeg, free_port, web_server
from tests.support.streams import (
    CAMERA_RATE,
    RATE,
    Camera,
    FilmServer,
    coded,
    cut,
    served,
    tcp_server,
)
from tests.support.until import PATIENCE_S


def times_of(frames: list[Frame]) -> list[float]:
    """What the pictures say of themselves, in seconds."""
    times = [read_time(frame.rgb) for frame in frames]
    assert None not in times
    return [seconds for seconds in times if seconds is not None]


def no_frame_leaves_early(frames: list[Frame]) -> None:
    """None is due sooner after the first than it was taken, but for the making good of delays."""
    times = times_of(frames)
    for frame, seconds in zip(frames, times, strict=True):
        own_s = seconds - times[0]
        assert frame.arrival_s - frames[0].arrival_s >= own_s * (1 - SLEW) - 0.005


@pytest.fixture(scope="module")
def rare_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s with a key frame every 5 s."""
    return coded(tmp_path_factory.mktemp("rare") / "rare.ts", 12, gop=125)


def until_broken(url: str, record: Recorder, connections: int = 1) -> list[Frame]:
    """The frames of the first connections, up to the end of the last of them."""
    frames = []
    with network(url, record=record, pause=Hurried()) as source:
        for frame in source:
            frames.append(frame)
            if source.connections == connections and read_time(frame.rgb) == pytest.approx(11.96):
                break
    return frames


def test_a_stream_that_runs_already_is_shown_from_its_next_key_frame(rare_keys: Path) -> None:
    record = Recorder()
    with tcp_server([cut(rare_keys, 0.6)]) as url:
        frames = until_broken(url, record)
    assert times_of(frames) == pytest.approx([10 + i / RATE for i in range(50)], abs=0.002)
    assert record.counted(Event.DAMAGED) == 0
    assert record.counted(Event.RECONNECT) == 0


def test_so_it_is_after_a_reconnection(rare_keys: Path) -> None:
    record = Recorder()
    first, again = cut(rare_keys, 0.0), cut(rare_keys, 0.6)
    with tcp_server([first[: len(first) // 188 // 10 * 188]], [again]) as url:
        frames = until_broken(url, record, connections=2)
    times = times_of(frames)
    assert times[0] == pytest.approx(0, abs=0.002)
    assert times[-50:] == pytest.approx([10 + i / RATE for i in range(50)], abs=0.002)
    assert max(times[:-50]) < 2
    assert record.counted(Event.DAMAGED) == 0


def test_the_wait_for_a_key_frame_is_said(
    rare_keys: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "SAID_AFTER_S", 0.0)
    said = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda _record: said.set()  # type: ignore[method-assign]
    logging.getLogger("streamsr").addHandler(handler)
    stream = cut(rare_keys, 0.45)
    before_the_key = len(stream) // 188 // 2 * 188
    try:
        with (
            tcp_server(
                [stream[:before_the_key], lambda: said.wait(PATIENCE_S), stream[before_the_key:]]
            ) as url,
            network(url) as source,
        ):
            assert read_time(next(iter(source)).rgb) == pytest.approx(10, abs=0.002)
    finally:
        logging.getLogger("streamsr").removeHandler(handler)
    assert f"{url}: waiting for a key frame" in caplog.messages


def test_a_datagram_stream_is_joined_late() -> None:
    port = free_port(socket.SOCK_DGRAM)
    address = f"udp://127.0.0.1:{port}"
    pictures = ("-re", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=25")
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "60")
    record = Recorder()
    with ffmpeg(*pictures, *encoder, "-f", "mpegts", address + "?pkt_size=1316"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as early:
            early.bind(("127.0.0.1", port))
            early.settimeout(PATIENCE_S)
            for _ in range(20):  # the first key frame has gone by
                early.recv(65536)
        with network(address, record=record) as source:
            assert len(list(itertools.islice(source, 5))) == 5
    assert record.counted(Event.DAMAGED) == 0


def test_a_camera_is_joined_late_and_cut_off(tmp_path: Path) -> None:
    pictures = ("-re", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=25")
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "40")
    record = Recorder()
    with (
        rtsp_server(tmp_path, *pictures, *encoder, late=20, cut_after=80) as url,
        network(url, record=record, pause=Hurried()) as source,
    ):
        for _ in source:
            if source.connections == 2:
                break
    assert record.counted(Event.DAMAGED) == 0
    assert record.counted(Event.RECONNECT) == 1


def test_what_comes_at_once_is_shown_at_its_own_times(tmp_path: Path) -> None:
    record = Recorder()
    stream = coded(tmp_path / "burst.ts", 2).read_bytes()
    gone = threading.Event()
    with (
        tcp_server([stream, lambda: gone.wait(PATIENCE_S)]) as url,
        network(url, record=record) as source,
    ):
        frames = list(itertools.islice(source, 45))
        gone.set()
    no_frame_leaves_early(frames)
    times = times_of(frames)
    assert times == pytest.approx([i / RATE for i in range(45)], abs=0.002)
    assert [frame.time_s for frame in frames] == pytest.approx(times, abs=0.002)


def test_the_stats_tell_pace_and_buffer_apart_from_the_budget(tmp_path: Path) -> None:
    record = Recorder()
    record.set_budget(0.05)
    stream = coded(tmp_path / "burst.ts", 1).read_bytes()
    with tcp_server([stream]) as url, network(url, record=record) as source:
        list(itertools.islice(source, 20))
    live = record.snapshot().live
    assert live is not None
    assert live.budget_ms == 50
    assert live.pace_error_ms["p99"] is not None
    assert live.jitter_buffer_ms > 0


@pytest.mark.parametrize("clock_s", [1000.0, 0.0])
def test_a_clock_that_jumps_spoils_nothing(tmp_path: Path, clock_s: float) -> None:
    before = coded(tmp_path / "a.ts", 1, clock_s=30.0).read_bytes()
    after = coded(tmp_path / "b.ts", 1, begin_s=1.0, clock_s=clock_s).read_bytes()
    gone = threading.Event()
    with (
        tcp_server([before + after, lambda: gone.wait(PATIENCE_S)]) as url,
        network(url) as source,
    ):
        frames = list(itertools.islice(source, 45))
        gone.set()
    no_frame_leaves_early(frames)
    steps = [b.time_s - a.time_s for a, b in itertools.pairwise(frames)]
    assert min(steps) > 0.03
    assert max(steps) < 0.3


INDEX_FIRST = {"movflags": "+faststart"}
"""For MP4: what breaks off has been read."""


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_film_that_breaks_off_goes_on_there(tmp_path: Path, suffix: str, ranges: bool) -> None:
    film = coded(tmp_path / f"film{suffix}", 2, gop=10, container=INDEX_FIRST)
    server = FilmServer(film, ends=[0.6, 1.0], ranges=ranges)
    record = Recorder()
    with served(server), network(server.url, record=record, pause=Hurried()) as source:
        frames = list(source)
    assert record.counted(Event.DAMAGED) == 0
    # FFmpeg itself goes on in a Matroska file where ranges are known, and loses a frame at most.
    times = times_of(frames)
    assert all(b > a for a, b in itertools.pairwise(times))
    assert len(times) >= 49
    assert times[-1] == pytest.approx(1.96, abs=0.002)
    no_frame_leaves_early(frames)


def test_a_film_whose_rest_never_comes_ends(tmp_path: Path) -> None:
    film = coded(tmp_path / "film.mp4", 2, gop=10, container=INDEX_FIRST)
    server = FilmServer(film, ends=[0.6])
    with served(server), network(server.url, pause=Hurried()) as source:
        times = times_of(list(source))
    assert all(b > a for a, b in itertools.pairwise(times))
    assert times[0] == pytest.approx(0, abs=0.002)
    assert times[-1] < 1.9


@pytest.mark.parametrize("ended", [True, False], ids=["film", "live"])
def test_hls_is_shown_at_its_own_times(tmp_path: Path, ended: bool) -> None:
    options = {"hls_time": "0.4", "hls_list_size": "0"}
    playlist = coded(tmp_path / "live.m3u8", 3, gop=10, container=options)
    if not ended:
        playlist.write_text(playlist.read_text().replace("#EXT-X-ENDLIST\n", ""))
    with web_server(tmp_path) as url, network(f"{url}/live.m3u8") as source:
        frames = list(itertools.islice(source, 25))
    times = times_of(frames)
    assert times == pytest.approx([times[0] + i / RATE for i in range(25)], abs=0.002)
    no_frame_leaves_early(frames)


def test_a_camera_without_times_is_shown_when_its_pictures_come() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    with served(server), network(f"http://127.0.0.1:{server.server_port}/") as source:
        frames = list(itertools.islice(source, 14))
    seconds = frames[-1].time_s - frames[3].time_s
    assert seconds >= 0.9 * 10 / CAMERA_RATE  # at 25 a second, as FFmpeg counts them, 0.4
    assert seconds == pytest.approx(frames[-1].arrival_s - frames[3].arrival_s, rel=0.3)


def test_bare_pictures_are_spread_over_the_time_that_they_took(tmp_path: Path) -> None:
    """FFmpeg reads a second of them before it gives the first."""
    film = coded(tmp_path / "bare.h264", 2).read_bytes()
    step = len(film) // 20

    def paced() -> Iterator[bytes]:
        for i in range(20):
            time.sleep(0.1)
            yield film[i * step : (i + 1) * step if i < 19 else len(film)]

    with tcp_server(paced()) as url, network(url) as source:  # type: ignore[arg-type]  # read once
        frames = list(itertools.islice(source, 45))
    times = times_of(frames)
    seconds = frames[-1].time_s - frames[0].time_s
    assert seconds >= 0.7 * (times[-1] - times[0])
    steps = [b.time_s - a.time_s for a, b in itertools.pairwise(frames)]
    assert sum(step < 0.005 for step in steps) < 15


def test_the_shape_of_pixels_is_carried(tmp_path: Path) -> None:
    film = coded(tmp_path / "wide.ts", 1, sar=Fraction(64, 45))
    with tcp_server([film.read_bytes()]) as url, network(url) as source:
        assert source.info.sar == Fraction(64, 45)
