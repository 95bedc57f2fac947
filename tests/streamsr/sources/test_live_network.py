"""Network sources against servers on loopback addresses, killed and started again."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from streamsr.errors import SourceError
from streamsr.frame import Frame
from streamsr.interrupt import Waits
from streamsr.sources.network import network
from streamsr.sources.reconnect import ReconnectingSource
from tests.support.fakes import Hurried
from tests.support.media import make_video
from tests.support.processes import Helper
from tests.support.rtsp import rtsp_server
from tests.support.servers import H264, PICTURES, ffmpeg, free_port, needs_ffmpeg, web_server
from tests.support.until import PATIENCE_S, until


def opened(url: str, *, pause: Waits | None = None) -> ReconnectingSource:
    """The source, entered once its server has come up."""
    refused: list[SourceError] = []

    def entered() -> ReconnectingSource | None:
        try:
            return network(url, pause=pause).__enter__()
        except SourceError as error:
            refused[:] = [error]
            return None

    source = until(entered, seen=lambda: refused)
    assert source is not None
    return source


@contextmanager
def stopped_in_time(source: ReconnectingSource) -> Iterator[None]:
    """A source that would wait for ever ends after a while."""
    timer = threading.Timer(PATIENCE_S, source.stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(PATIENCE_S)


def taken(source: ReconnectingSource, count: int) -> list[Frame]:
    with stopped_in_time(source):
        frames = list(itertools.islice(source, count))
    assert len(frames) == count, source.state
    return frames


Server = Callable[[], AbstractContextManager[Helper]]


def tcp() -> tuple[str, Server]:
    address = f"tcp://127.0.0.1:{free_port()}"
    return address, lambda: ffmpeg(*PICTURES, *H264, "-f", "mpegts", address + "?listen=1")


def http_live() -> tuple[str, Server]:
    address = f"http://127.0.0.1:{free_port()}/live.ts"
    return address, lambda: ffmpeg(*PICTURES, *H264, "-f", "mpegts", "-listen", "1", address)


def udp() -> tuple[str, Server]:
    address = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    return address, lambda: ffmpeg(*PICTURES, *H264, "-f", "mpegts", address + "?pkt_size=1316")


def rtmp() -> tuple[str, Server]:
    address = f"rtmp://127.0.0.1:{free_port()}/live/a"
    return address, lambda: ffmpeg(*PICTURES, *H264, "-f", "flv", "-listen", "1", address)


@pytest.mark.parametrize("kind", [tcp, http_live, udp, rtmp])
def test_a_live_stream_is_received(kind: Callable[[], tuple[str, Server]]) -> None:
    url, server = kind()
    with server(), opened(url) as source:
        frames = taken(source, 10)
    assert len(frames) == 10
    assert frames[0].rgb.shape == (96, 160, 3)
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))
    assert source.info.live
    coded = source.info.coded
    assert coded is not None
    assert coded.codec == "h264"
    assert coded.quantiser is not None
    assert 1 < coded.quantiser < 51
    assert coded.bits is not None
    assert 0 < coded.bits < 24


def test_rtsp_is_received(tmp_path: Path) -> None:
    with rtsp_server(tmp_path, *PICTURES, *H264) as url, opened(url) as source:
        frames = taken(source, 10)
    assert frames[0].rgb.shape == (96, 160, 3)
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))


def test_hls_is_received(tmp_path: Path) -> None:
    playlist = tmp_path / "live.m3u8"
    options = ("-f", "hls", "-hls_time", "0.4", "-hls_list_size", "5")
    with (
        ffmpeg(*PICTURES, *H264, *options, str(playlist)),
        web_server(tmp_path) as url,
        opened(f"{url}/live.m3u8") as source,
    ):
        assert len(taken(source, 12)) == 12


def test_a_film_over_http_ends_at_its_end(tmp_path: Path) -> None:
    make_video(tmp_path / "film.mp4", pts=range(10))
    with web_server(tmp_path) as url, network(f"{url}/film.mp4") as source:
        assert len(list(source)) == 10
    assert source.connections == 1


def test_a_play_list_cannot_reach_local_files(tmp_path: Path) -> None:
    secret = make_video(tmp_path / "secret.ts", pts=range(10))
    served = tmp_path / "served"
    served.mkdir()
    lines = [
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:1",
        "#EXTINF:1,",
        f"file://{secret}",
        "#EXT-X-ENDLIST",
        "",
    ]
    (served / "a.m3u8").write_text("\n".join(lines))
    with web_server(served) as url, pytest.raises(SourceError):
        network(f"{url}/a.m3u8", timeout_s=3).__enter__()


def test_a_server_that_is_killed_ten_times_is_connected_to_ten_times() -> None:
    url, server = tcp()
    with ExitStack() as stack:
        with server() as first:
            source = opened(url, pause=Hurried())
            stack.push(source)
            stack.enter_context(stopped_in_time(source))
            frames = iter(source)
            last = next(frames).pts
            first.kill()
        for life in range(10):
            with server():
                connections = source.connections
                while source.connections == connections:
                    frame = next(frames, None)
                    assert frame is not None, f"life {life}: {source.state}"
                    assert frame.pts > last
                    last = frame.pts
                assert source.state == "live"
        source.stop()
    assert source.connections == 11


def test_a_server_that_falls_silent_is_noticed() -> None:
    needs_ffmpeg()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(SourceError, match=r"nothing came for 0\.5 s"),
    ):
        network(f"tcp://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5).__enter__()


def test_nobody_there_and_nonsense_are_one_clear_error_each() -> None:
    with pytest.raises(SourceError, match="refused"):
        network(f"http://user:secret@127.0.0.1:{free_port()}/a").__enter__()
    with pytest.raises(SourceError) as caught:
        network(f"http://user:secret@127.0.0.1:{free_port()}/a").__enter__()
    assert "secret" not in str(caught.value)
