"""Servers that mean no good, or know no better: a line, a reconnection or a clean end, and never a
picture that is larger than may be."""

import http.server
import io
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from streamsr.errors import SourceError
from streamsr.media.decode import BORDER_PIXELS, bounded
from streamsr.sources import connection
from streamsr.sources.connection import NO_PICTURES
from streamsr.sources.network import network
from streamsr.sources.pattern import read_time
from streamsr.sources.read_ahead import ReadAhead
from tests.support.fakes import Hurried
from tests.support.media import picture
from tests.support.streams import RATE, coded, served, tcp_server
from tests.support.until import PATIENCE_S

LAST_S = 0.96
"""Of the good stream's last picture."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A second of a stream that can be joined every 0.2 s."""
    return coded(tmp_path_factory.mktemp("good") / "good.ts", 1, gop=5).read_bytes()


def stream(
    folder: Path,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (160, 96),
    rate: int = RATE,
    pictures: int = 25,
    sound: str | None = None,
    pid: int = 0x100,
) -> bytes:
    """A transport stream with these tracks, on its own clock from 0."""
    path = folder / "stream.ts"
    with av.open(str(path), "w", options={"mpegts_start_pid": str(pid)}) as output:
        tracks: list[Any] = []
        if pictures:
            video: Any = output.add_stream(codec, rate=rate)
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            video.codec_context.gop_size = 5
            tracks.append(video)
        if sound is not None:
            heard: Any = output.add_stream(sound, rate=48000, layout="stereo")
        for index in range(pictures):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            output.mux(video.encode(frame))
        for track in tracks:
            output.mux(track.encode(None))
        if sound is not None:
            step = heard.codec_context.frame_size or 1152
            for index in range(48000 // step):
                kind = heard.codec_context.format.name
                type_ = np.float32 if kind.startswith("flt") else np.int16
                planes = 2 if kind.endswith("p") else 1
                samples = np.zeros((planes, step * 2 // planes), type_)
                wave = av.AudioFrame.from_ndarray(samples, format=kind, layout="stereo")
                wave.sample_rate, wave.pts, wave.time_base = 48000, index * step, Fraction(1, 48000)
                output.mux(heard.encode(wave))
            output.mux(heard.encode(None))
    return path.read_bytes()


def on_another_pid(content: bytes) -> bytes:
    """The video's packets on a number that the tables do not name, without these tables."""
    out = b""
    for at in range(0, len(content), 188):
        packet = bytearray(content[at : at + 188])
        if ((packet[1] & 31) << 8 | packet[2]) == 0x100:
            packet[1], packet[2] = packet[1] & 0xE0 | 2, 0
            out += packet
    return out


TURNS: dict[str, Callable[[Path, bytes], bytes]] = {
    "another codec": lambda folder, _: stream(folder, codec="mpeg2video"),
    "a newer codec": lambda folder, _: stream(folder, codec="libx265", size=(192, 96)),
    "a larger size": lambda folder, _: stream(folder, size=(320, 192)),
    "a smaller size": lambda folder, _: stream(folder, size=(64, 48)),
    "another rate": lambda folder, _: stream(folder, rate=50),
    "sound as well": lambda folder, _: stream(folder, sound="mp2"),
    "other tracks": lambda folder, _: stream(folder, sound="aac", pid=0x300),
    "sound alone": lambda folder, _: stream(folder, pictures=0, sound="mp2"),
    "sound alone, of another number": lambda folder, _: stream(
        folder, pictures=0, sound="mp2", pid=0x300
    ),
    "a picture of another number": lambda _, good: on_another_pid(good),
    "the middle of a packet": lambda _, good: good[: len(good) // 2 + 100],
    "its beginning again": lambda _, good: good,
    "text": lambda _, __: b"HTTP/1.1 200 OK\r\n\r\n<html>what?</html>\n" * 500,
    "zeros": lambda _, __: bytes(50_000),
    "empty packets": lambda _, __: (b"\x47\x1f\xff\x10" + bytes(184)) * 300,
    "chance": lambda _, __: np.random.default_rng(1).bytes(50_000),
}
"""What a stream goes on with."""


def ends_of(url: str, *, timeout_s: float = 2.0) -> tuple[list[tuple[int, ...]], int]:
    """The shapes of the frames, up to the last picture of a good stream on a second connection; and
    the connections that there were."""
    shapes = []
    with network(url, timeout_s=timeout_s, pause=Hurried()) as source:
        timer = threading.Timer(PATIENCE_S, source.stop)
        timer.start()
        try:
            for frame in source:
                shapes.append(frame.rgb.shape)
                seconds = read_time(frame.rgb) if frame.rgb.shape == (96, 160, 3) else None
                if source.connections > 1 and seconds == pytest.approx(LAST_S, abs=0.01):
                    break
            else:
                pytest.fail(f"did not come back: {source.state}")
        finally:
            timer.cancel()
        return shapes, source.connections


@pytest.mark.parametrize("turn", TURNS)
def test_a_stream_that_changes_comes_back(turn: str, good: bytes, tmp_path: Path) -> None:
    """It hangs up after what is wrong; what it sends then is shown."""
    with tcp_server([good, TURNS[turn](tmp_path, good)], [good], [good]) as url:
        shapes, connections = ends_of(url)
    assert len(shapes) >= 40
    assert connections in (2, 3)


@pytest.mark.parametrize(
    "turn",
    [
        "sound alone",
        "sound alone, of another number",
        "a picture of another number",
        "empty packets",
        "zeros",
    ],
)
def test_what_goes_on_without_pictures_is_left(turn: str, good: bytes, tmp_path: Path) -> None:
    """It never hangs up: nothing tells the network that there is nothing to show."""
    wrong = TURNS[turn](tmp_path, good)
    over = threading.Event()

    def endless() -> Iterator[bytes]:
        yield good
        while not over.wait(0.02):
            yield wrong[: 188 * 20]

    with tcp_server(endless(), [good], [good]) as url:  # type: ignore[arg-type]  # read once
        try:
            shapes, _ = ends_of(url, timeout_s=0.5)
        finally:
            over.set()
    assert len(shapes) >= 40


def test_sound_that_goes_on_without_pictures_is_said(tmp_path: Path) -> None:
    begin = stream(tmp_path, sound="mp2")
    sound = b"".join(
        begin[at : at + 188]
        for at in range(0, len(begin), 188)
        if ((begin[at + 1] & 31) << 8 | begin[at + 2]) == 0x101
    )
    said, over = threading.Event(), threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: said.set() if NO_PICTURES in record.getMessage() else None  # type: ignore[method-assign]

    def endless() -> Iterator[bytes]:
        yield begin
        while not over.wait(0.02):
            yield sound[: 188 * 10]

    logging.getLogger("streamsr").addHandler(handler)
    try:
        with tcp_server(endless()) as url, network(url, timeout_s=0.3) as source:  # type: ignore[arg-type]  # as above
            shown = threading.Thread(target=lambda: list(source))
            shown.start()
            assert said.wait(PATIENCE_S)
            assert source.state == NO_PICTURES
            over.set()
            source.stop()
            shown.join(PATIENCE_S)
            assert not shown.is_alive()
    finally:
        over.set()
        logging.getLogger("streamsr").removeHandler(handler)


@seed(20261128)
@settings(max_examples=6)
@given(
    cut=st.floats(0.3, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=12),
)
def test_a_stream_that_is_torn_and_damaged_comes_back(
    cut: float, flips: list[tuple[float, int]], good: bytes
) -> None:
    wrong = bytearray(good[: int(len(good) * cut)])
    for place, bit in flips:
        wrong[int(place * len(wrong))] ^= 1 << bit
    with tcp_server([good, bytes(wrong)], [good], [good]) as url:
        shapes, _ = ends_of(url)
    assert len(shapes) >= 40


def test_a_picture_that_grows_too_large_is_refused_before_it_is_decoded(
    good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "MAX_PIXELS", 160 * 96)
    large = stream(tmp_path, size=(1920, 1280), pictures=4)
    with tcp_server([good, large], [good], [good]) as url:
        shapes, _ = ends_of(url)
    assert {shape[:2] for shape in shapes} == {(96, 160)}
    assert any("a picture of 1920x1280 is too large" in line for line in caplog.messages)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "mjpeg", "libvpx", "libx265"])
def test_a_decoder_refuses_what_is_above_its_bound(codec: str, tmp_path: Path) -> None:
    """Whatever the codec: by itself, before there is a frame to look at."""
    name = {"libvpx": "large.mkv"}.get(codec, "large.nut")
    side = 1100  # above the border that is allowed
    assert side * side > 2 * 100 + BORDER_PIXELS
    with av.open(str(tmp_path / name), "w") as output:
        video: Any = output.add_stream(codec, rate=25)
        video.width = video.height = side
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), format="rgb24")
        output.mux(video.encode(frame))
        output.mux(video.encode(None))
    for limit, count in ((side * side, 1), (100, 0)):
        with av.open(str(tmp_path / name)) as container:
            track = container.streams.video[0]
            bounded(track.codec_context, limit)
            found = 0
            for packet in container.demux(track):
                try:
                    found += len(track.decode(packet))
                except av.FFmpegError:
                    assert count == 0
            assert found == count


def encoded(kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture(1)).save(content, kind)
    return content.getvalue()


NO_STREAMS = {
    "a.txt": b"hello world\n" * 99,
    "a.nfo": b"\x1b[31mred\x1b[0m\n" * 99,
    "a.html": b"<html><body>not found</body></html>" * 20,
    "a.png": encoded("PNG"),
    "a.jpg": encoded("JPEG"),
    "a.gif": encoded("GIF"),
    "a.ffconcat": b"ffconcat version 1.0\nfile http://127.0.0.1:9/f.ts\n",
    "local.ffconcat": b"ffconcat version 1.0\nfile /etc/hostname\n",
    "local.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    "path.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/hostname\n#EXT-X-ENDLIST\n",
    "key.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n"
    b'#EXT-X-KEY:METHOD=AES-128,URI="file:///etc/hostname"\n#EXTINF:5,\nf.ts\n#EXT-X-ENDLIST\n',
    "master.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile:///etc/hostname\n",
    "data.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n"
    b"data:text/plain,hello\n#EXT-X-ENDLIST\n",
    "text.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\na.txt\n#EXT-X-ENDLIST\n",
    "itself.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nitself.m3u8\n",
    "empty": b"",
}


class Told(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        content = NO_STREAMS.get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.mark.parametrize("name", NO_STREAMS)
def test_what_is_no_stream_is_one_line(name: str) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told)
    with served(server), pytest.raises(SourceError) as caught:
        network(f"http://127.0.0.1:{server.server_port}/{name}", timeout_s=2).__enter__()
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def packets(index: int, *, over: threading.Event) -> Iterator[Any]:
    while not over.wait(0.001):
        yield SimpleNamespace(stream_index=index, size=188)


def test_only_what_is_not_read_is_no_silence_and_no_hang() -> None:
    over = threading.Event()
    ahead = ReadAhead(packets(7, over=over), taken={0}, patience_s=0.2)
    with pytest.raises(TimeoutError):
        next(iter(ahead))
    assert ahead.close(PATIENCE_S)


def test_a_reader_that_cannot_be_ended_is_left_and_said() -> None:
    over = threading.Event()

    def stuck() -> Iterator[Any]:
        over.wait(PATIENCE_S)
        yield from ()

    ahead = ReadAhead(stuck(), taken={0})
    assert not ahead.close(0.05)
    over.set()
    assert ahead.close(PATIENCE_S)


def test_a_clock_that_jumps_by_hours_is_another_clock(tmp_path: Path) -> None:
    """Forwards and backwards, on one connection: times go on, and no picture is lost."""
    hours = (1.0, 5 * 3600.0, 26 * 3600.0 - 1, 3.0)
    parts = [
        coded(tmp_path / f"{i}.ts", 1, begin_s=i, clock_s=clock_s).read_bytes()
        for i, clock_s in enumerate(hours)
    ]
    gone = threading.Event()
    with (
        tcp_server([b"".join(parts), lambda: gone.wait(PATIENCE_S)]) as url,
        network(url) as source,
    ):
        frames = list(itertools.islice(source, 4 * RATE - 5))
        gone.set()
    steps = [b.time_s - a.time_s for a, b in itertools.pairwise(frames)]
    assert min(steps) > 0.03
    assert max(steps) < 0.3
    assert sum(steps) == pytest.approx((len(frames) - 1) / RATE, abs=0.5)
