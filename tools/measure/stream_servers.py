"""Servers that send a film as streams are met: by each protocol, joined late, cut on the way."""

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import av

from tests.support.processes import run
from tests.support.rtsp import rtsp_server
from tests.support.servers import ffmpeg, free_port, listening, needs_ffmpeg, web_server
from tests.support.streams import Camera, FilmServer, served
from tests.support.until import until

FILM_S = 60
SHORT_S = 12
"""Of the film over HTTP, which is to be over within a run."""

LATE_S = 3.2
"""For so long a stream runs before it is joined."""

CUT_AFTER_S, CUT_FOR_S = 6.0, 1.5

Server = Callable[[Path], AbstractContextManager[str]]


def copied(film: Path, *words: str) -> AbstractContextManager[Any]:
    """ffmpeg, which sends the film at its own rate."""
    return ffmpeg("-re", "-i", str(film), "-c", "copy", *words)


@contextmanager
def sent(film: Path, *words: str, cut: bool = False, late_s: float = 0.0) -> Iterator[None]:
    """A sender; ``cut`` kills it on the way and starts it again."""
    over = threading.Event()

    def send() -> None:
        with copied(film, *words) as sender:
            if not cut:
                over.wait()
                return
            over.wait(CUT_AFTER_S)
            sender.kill()
        over.wait(CUT_FOR_S)
        while not over.is_set():
            with copied(film, *words):
                over.wait()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        time.sleep(late_s)
        yield
    finally:
        over.set()
        thread.join()


def sender(kind: str, packing: str, *, listen: str = "", cut: bool = False) -> Server:
    """A server out of one ffmpeg, at an address of this kind; one that listens has one viewer and
    begins with him."""

    @contextmanager
    def server(film: Path) -> Iterator[str]:
        datagrams = kind == "udp"
        port = free_port(socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        url = f"{kind}://127.0.0.1:{port}" + ("/live/a" if kind in ("rtmp", "http") else "")
        options = ("-listen", "1") if listen == "option" else ()
        address = url + {"query": "?listen=1", "datagrams": "?pkt_size=1316"}.get(listen, "")
        late_s = LATE_S if datagrams else 0.0
        with sent(film, "-f", packing, *options, address, cut=cut, late_s=late_s):
            if not datagrams:
                until(lambda: listening(port))
            yield url

    return server


@contextmanager
def bursts(film: Path) -> Iterator[str]:
    """Half a second of MPEG-TS at once, every half second."""
    content = film.read_bytes()
    step = len(content) // (2 * FILM_S) // 188 * 188
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            with suppress(OSError):
                link, _ = server.accept()
                with link:
                    begun = time.monotonic()
                    for index in range(len(content) // step):
                        time.sleep(max(begun + index / 2 - time.monotonic(), 0))
                        link.sendall(content[index * step : (index + 1) * step])

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def playlist(film: Path) -> Iterator[str]:
    """Live HLS in pieces of 4 s, which runs for three pieces before it is joined."""
    folder = film.with_suffix("")
    folder.mkdir()
    options = ("-hls_time", "4", "-hls_list_size", "5", "-hls_flags", "delete_segments")
    with copied(film, "-f", "hls", *options, str(folder / "live.m3u8")), web_server(folder) as url:
        until(lambda: len(list(folder.glob("*.ts"))) > 3)
        yield f"{url}/live.m3u8"


def over_http(*ends: float) -> Server:
    @contextmanager
    def server(film: Path) -> Iterator[str]:
        short = film.with_suffix(".mp4")
        words = ["-i", film, "-t", SHORT_S, "-c", "copy", "-movflags", "+faststart", short]
        run([needs_ffmpeg(), "-v", "error", *words], check=True)
        films = FilmServer(short, ends=ends)
        with served(films):
            yield films.url

    return server


@contextmanager
def camera(_film: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    with served(server):
        yield f"http://127.0.0.1:{server.server_port}/"


def rtsp(*, cut: bool) -> Server:
    @contextmanager
    def server(film: Path) -> Iterator[str]:
        pictures = ("-re", "-i", str(film), "-map", "0:v", "-c", "copy")
        sound = ("-map", "0:a", "-c", "copy") if has_sound(film) else ()
        packets = round(CUT_AFTER_S * 40) if cut else None
        with rtsp_server(film.parent, *pictures, sound=sound, late=130, cut_after=packets) as url:
            yield url

    return server


def has_sound(film: Path) -> bool:
    with av.open(str(film)) as container:
        return bool(container.streams.audio)


CASES: dict[str, Server] = {
    "UDP, joined late": sender("udp", "mpegts", listen="datagrams"),
    "UDP, joined late, cut": sender("udp", "mpegts", listen="datagrams", cut=True),
    "TCP": sender("tcp", "mpegts", listen="query"),
    "TCP, cut": sender("tcp", "mpegts", listen="query", cut=True),
    "TCP, in bursts of 0.5 s": bursts,
    "TCP, bare H.264": sender("tcp", "h264", listen="query"),
    "RTMP": sender("rtmp", "flv", listen="option"),
    "RTMP, cut": sender("rtmp", "flv", listen="option", cut=True),
    "RTSP, joined late": rtsp(cut=False),
    "RTSP, joined late, cut": rtsp(cut=True),
    "HTTP, live": sender("http", "mpegts", listen="option"),
    "HLS, live, pieces of 4 s": playlist,
    "HTTP, a film": over_http(1.0),
    "HTTP, a film, cut": over_http(0.5, 1.0),
    "HTTP, JPEG camera of 10 a second": camera,
}
