"""Receives streams as they are met, from servers of its own, into docs/data/streams.json.

    python -m tools.measure.streams [NAME]...

Every picture carries the time when it was taken: what is measured is when it leaves, against that.
Takes a quarter of a minute for each; those that are named replace their numbers.
"""

import argparse
import http.server
import itertools
import json
import logging
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from streamsr.errors import SourceError
from streamsr.machine import processor_name, usable_cores, versions
from streamsr.pipeline import Pipeline
from streamsr.sources.network import network
from streamsr.sources.pattern import read_time
from streamsr.sources.reconnect import ReconnectingSource
from streamsr.stats import Fate, Recorder
from streamsr.upscaler import Upscaler
from tests.support.rtsp import rtsp_server
from tests.support.servers import ffmpeg, free_port, web_server
from tests.support.streams import RATE, SIZE, Camera, FilmServer, coded, served
from tests.support.until import until

NUMBERS = Path(__file__).resolve().parents[2] / "docs" / "data" / "streams.json"

RUN_S = 14.0
FILM_S = 60
GOP = 50
"""Pictures between key frames: two seconds, as broadcasts have them."""

LATE_S = 3.2
"""For so long a stream runs before it is joined."""

CUT_AFTER_S, CUT_FOR_S = 6.0, 1.5
BUDGET_S = 0.1

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
        short = coded(film.with_name("short.mp4"), 12, container={"movflags": "+faststart"})
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
        words = ("-re", "-i", str(film), "-c", "copy", "-an")
        packets = round(CUT_AFTER_S * 40) if cut else None
        with rtsp_server(film.parent, *words, late=130, cut_after=packets) as url:
            yield url

    return server


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


def entered(url: str, record: Recorder) -> ReconnectingSource:
    """The source, once its server has come up."""
    refused: list[SourceError] = []

    def opened() -> ReconnectingSource | None:
        try:
            return network(url, record=record).__enter__()
        except SourceError as error:
            refused[:] = [error]
            return None

    source = until(opened, seen=lambda: refused)
    assert source is not None
    return source


def measured(url: str) -> dict[str, Any]:
    """What a run shows of this stream, and when."""
    record = Recorder()
    left: list[tuple[float, float]] = []  # on our clock, in the picture
    with ExitStack() as stack:
        source = stack.enter_context(entered(url, record))
        upscaler = stack.enter_context(Upscaler(scale=2, record=record))
        pipeline = stack.enter_context(Pipeline(source, upscaler, budget_s=BUDGET_S))
        begun = time.monotonic()
        while time.monotonic() < begun + RUN_S:
            try:
                frame = pipeline.get(0.1)
            except TimeoutError:
                continue
            if frame is None:
                break
            taken_s = None if frame.lr is None else read_time(frame.lr)
            if taken_s is not None:
                left.append((time.monotonic(), taken_s))
    stats = record.snapshot()
    assert stats.live is not None
    errors = [
        abs((now - before) - (taken - taken_before))
        for (before, taken_before), (now, taken) in itertools.pairwise(left)
        if 0 < taken - taken_before < 1  # not over a cut
    ]
    again = sum(b <= a for (_, a), (_, b) in itertools.pairwise(left))
    return {
        "in": stats.frames["in"],
        "shown": stats.frames["out"],
        "network": sum(stats.frames[fate] for fate in (Fate.NETWORK, Fate.PARTIAL, Fate.REUSED)),
        "damaged": stats.frames["damaged"],
        "pace_error_ms": round(float(np.percentile(errors, 99)) * 1e3, 1),
        "pace_error_p50_ms": round(statistics.median(errors) * 1e3, 1),
        "jitter_buffer_ms": round(stats.live.jitter_buffer_ms),
        "reconnections": stats.live.reconnects,
        "backwards": again,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(CASES))
    names = parser.parse_args().names or list(CASES)
    logging.getLogger("streamsr").setLevel(logging.ERROR)
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    cases = numbers.get("cases", {})
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            suffix = ".ts" if "RTMP" not in name else ".flv"
            film = coded(Path(scratch) / f"film{suffix}", FILM_S, gop=GOP)
            with CASES[name](film) as url:
                cases[name] = measured(url)
        print(f"{name}: {cases[name]}", file=sys.stderr)
        numbers = {
            "date": date.today().isoformat(),
            "machine": f"{processor_name()}, {usable_cores()} usable cores",
            "load": round(os.getloadavg()[0]),
            "versions": versions(),
            "size": list(SIZE),
            "rate": RATE,
            "seconds": RUN_S,
            "cases": {name: cases[name] for name in CASES if name in cases},
        }
        NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
