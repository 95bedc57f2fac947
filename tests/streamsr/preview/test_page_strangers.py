"""What strangers can do to the page without its token, and to a run that shows it: nothing, while a
viewer with the token sees every picture that the run makes."""

import gc
import json
import random
import signal
import socket
import struct
import urllib.request
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from streamsr import gate as gate_module
from streamsr.frame import Frame
from streamsr.gate import BACKLOG, PLACES
from streamsr.sources.feed import FeedSource
from streamsr.stats import Point, Recorder
from tests.support.command import started
from tests.support.media import noise, picture
from tests.support.memory import traced
from tests.support.strangers import KINDS, crowd, flood, hung_up, rude, sent
from tests.support.until import until

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
pytest.importorskip("starlette", reason="the extra [web] is not installed")
client = pytest.importorskip("websockets.sync.client", reason="the extra [web] is not installed")

from websockets.exceptions import ConnectionClosed  # noqa: E402

from streamsr.preview.web.app import MAX_VIEWERS  # noqa: E402
from streamsr.preview.web.jpeg import MAX_CAMERA, MOST_SCANS, SCAN, decoded  # noqa: E402
from streamsr.preview.web.sink import WebSink  # noqa: E402

CROWD = 100


def port_of(url: str) -> int:
    return int(url.partition("?")[0].split(":")[2].strip("/"))


def view(url: str, path: str = "view") -> Any:
    return client.connect(
        url.replace("http", "ws").replace("/?", f"/{path}?"),
        max_size=None,
        max_queue=None,
        open_timeout=60,
    )


def frame(index: int) -> Frame:
    return Frame(picture(index, 96, 72), index, Fraction(1, 25), index=index)


def shown(watching: Any, count: int) -> list[dict[str, Any]]:
    """The numbers that came with so many pictures."""
    told = []
    while count:
        message = watching.recv(timeout=60)
        if isinstance(message, bytes):
            count -= 1
        else:
            told.append(json.loads(message))
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_is_hung_up_on_and_nothing_is_said(
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with WebSink(Recorder(), port=0) as sink, view(sink.url) as watching:
        monkeypatch.setattr(gate_module, "HEAD_S", 0.2)  # for those who come now
        with socket.create_connection(("127.0.0.1", port_of(sink.url))) as stranger:
            sent(stranger, KINDS[kind])
            until(lambda: hung_up(stranger))
        sink.write(frame(1))
        shown(watching, 1)
    assert capfd.readouterr().err == ""
    assert not caplog.records


@pytest.mark.parametrize("sends", [CROWD, 4 * CROWD])
def test_a_run_goes_on_among_strangers(tmp_path: Path, model: Path, sends: int) -> None:
    """Its own process, so that its file handles and threads can be counted."""
    stats = tmp_path / "stats.json"
    options = ("--model", model, "--threads", "1", "--budget-ms", "1000", "--stats-json", stats)
    with started("live", "test:112x64@20", *options, "--preview", "web", "--port", "0") as process:
        url = process.says(r"open (http\S+)")[1]
        taken = psutil.Process(process.pid)
        with view(url) as watching:
            shown(watching, 10)
            handles, threads = taken.num_fds(), taken.num_threads()
            with crowd(port_of(url), CROWD) as strangers:
                told = shown(watching, 40)
                most = taken.num_fds()
                with flood(port_of(url)) as made:
                    while made() < sends:
                        told += shown(watching, 1)
                        most = max(most, taken.num_fds())
                assert most <= handles + PLACES + 4 * BACKLOG
                assert taken.num_threads() <= threads + 2  # asyncio's, for encoding
                until(lambda: all(map(hung_up, strangers)))
            until(lambda: taken.num_fds() <= handles)
            told += shown(watching, 10)
        process.send(signal.SIGINT)
        assert process.ended() == 0, process.told()
        assert "Traceback" not in process.said()
        assert len(process.said().splitlines()) < 10, process.told()
    assert told[-1]["state"] == "live"
    frames = json.loads(stats.read_text())["frames"]
    # The last one may be on its way when the run ends.
    assert frames["in"] - 2 <= frames["out"] + frames["dropped"] <= frames["in"]
    assert frames["dropped"] <= frames["in"] / 4, frames


def test_memory_is_flat_over_many_strangers() -> None:
    rng = random.Random(1)
    with WebSink(Recorder(), port=0) as sink, view(sink.url) as watching, traced() as held:
        port = port_of(sink.url)

        def come_and_go(count: int) -> int:
            for _ in range(count):
                with socket.create_connection(("127.0.0.1", port), timeout=60) as stranger:
                    kind = rng.choice([kind for kind in KINDS if "huge" not in kind])
                    sent(stranger, KINDS[kind][:10_000])
                    rude(stranger)
            sink.write(frame(count))
            shown(watching, 1)
            return held()

        come_and_go(300)
        before = come_and_go(300)
        assert come_and_go(900) - before < 1 << 20


def test_who_waits_longest_gives_way() -> None:
    """A flood of silent ones keeps nobody out: who has something to say needs no time."""
    with WebSink(Recorder(), port=0) as sink:
        port = port_of(sink.url)
        with ExitStack() as stack:
            silent = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                for _ in range(3 * PLACES)
            ]
            with urllib.request.urlopen(sink.url, timeout=60) as answer:
                assert answer.status == 200
            until(lambda: sum(map(hung_up, silent)) >= 2 * PLACES)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_all_addresses_are_those_of_both_kinds() -> None:
    with WebSink(Recorder(), host="::", port=0) as sink:
        for host in ("127.0.0.1", "[::1]"):
            url = f"http://{host}:{sink.url.rpartition(':')[2]}"
            with urllib.request.urlopen(url, timeout=60) as answer:
                assert answer.status == 200


def test_numbers_are_made_once_for_all_viewers_and_not_from_the_whole_run() -> None:
    record = Recorder()
    record.set_budget(0.05)
    asked = 0

    for point in Point:
        record.latency(0.01, point)
    with WebSink(record, port=0) as sink:
        real = sink.app._numbers

        def numbers() -> dict[str, Any]:
            nonlocal asked
            asked += 1
            return real()

        sink.app._numbers = numbers
        with ExitStack() as stack:
            viewers = [stack.enter_context(view(sink.url)) for _ in range(MAX_VIEWERS)]
            asked = 0
            told = [[json.loads(viewer.recv(timeout=60)) for _ in range(4)] for viewer in viewers]
    assert asked < 2 * 4
    assert all(each[-1]["share"] == {"network": 0, "reused": 0, "resized": 0} for each in told)


def test_a_viewer_that_asks_again_and_again_gets_a_picture_once() -> None:
    with WebSink(Recorder(), port=0) as sink, view(sink.url) as watching:
        sink.write(frame(1))
        shown(watching, 1)
        for _ in range(200):
            watching.send("stop")
            watching.send("start")
        until(lambda: all(viewer.wants for viewer in sink.app.viewers))
        watching.send("stop")
        until(lambda: not any(viewer.wants for viewer in sink.app.viewers))
        sink.write(Frame(noise(192, 144), 2, Fraction(1, 25), index=2))
        watching.send("start")
        while isinstance(message := watching.recv(timeout=60), str):
            pass
        (length,) = struct.unpack("<I", message[:4])
        after = decoded(message[4 : 4 + length])
        assert after is not None
        assert after.shape == (144, 192, 3), "the first one came again"


# Bombs


def jpeg(width: int, height: int, *, progressive: bool = False) -> bytes:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    return cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8), options)[1].tobytes()


def sized(content: bytes, width: int, height: int) -> bytes:
    """The same, with another size in its frame header."""
    at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


def behind_filling(content: bytes) -> bytes:
    """Fill bytes before a marker, which one that reads them as a length would jump over, to a small
    frame header among the text."""
    text = bytearray(60_000)
    small = struct.pack(">2sHBHH", b"\xff\xc0", 17, 8, 48, 64)
    text[0xE0EA - 3 : 0xE0EA - 3 + len(small)] = small  # 4 + 0xE0EA bytes behind the first marker
    return content[:2] + b"\xff\xff\xe0" + struct.pack(">H", len(text) + 2) + text + content[2:]


def with_scans(content: bytes, count: int) -> bytes:
    at = content.find(SCAN)
    head = content[at : at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")]
    return content[:-2] + head * count + b"\xff\xd9"


BOMBS = {
    "its size": sized(jpeg(64, 48), 60_000, 60_000),
    "its true size": jpeg(4000, 3000),
    "no height": sized(jpeg(64, 48), 64, 0),
    "fill bytes": behind_filling(jpeg(4000, 3000)),
    "two headers": jpeg(64, 48)[:-2] + jpeg(4000, 3000)[2:],
    "a header within": jpeg(64, 48)[:2] + jpeg(4000, 3000)[2:],
    "scans": with_scans(jpeg(640, 480, progressive=True), 4000),
    "another format": cv2.imencode(".png", np.zeros((3000, 4000, 3), np.uint8))[1].tobytes(),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_ends_the_camera_and_the_next_may_come(bomb: str) -> None:
    feed = FeedSource()
    with WebSink(Recorder(), port=0, feed=feed) as sink:
        with view(sink.url, "camera") as camera:
            camera.send(BOMBS[bomb])
            if bomb == "two headers":  # what is behind the first picture is none
                assert camera.recv(timeout=60) == "next"
                assert feed.size == (64, 48)
                return
            with pytest.raises(ConnectionClosed):
                camera.recv(timeout=60)
        assert feed.size is None
        until(lambda: not sink.app.camera_taken)
        with view(sink.url, "camera") as camera:
            camera.send(jpeg(64, 48, progressive=True))
            assert camera.recv(timeout=60) == "next"


@seed(20261128)
@settings(max_examples=100)
@given(
    size=st.sampled_from([(64, 48), (1920, 1080), (4000, 40), (2500, 2500)]),
    progressive=st.booleans(),
    inserts=st.lists(
        st.tuples(
            st.integers(0, 700),
            st.sampled_from(
                [
                    b"\xff",
                    b"\xff\xe0\0\4ab",
                    SCAN,
                    b"\xff\xc0\0\x11\x08\0\x10\0\x10",
                    b"\xff\xd8",
                    b"\0",
                ]
            ),
        ),
        max_size=4,
    ),
)
def test_what_is_decoded_is_no_larger_than_a_camera(
    size: tuple[int, int], progressive: bool, inserts: list[tuple[int, bytes]]
) -> None:
    content = jpeg(*size, progressive=progressive)
    for at, more in inserts:
        content = content[:at] + more + content[at:]
    image = decoded(content)
    assert image is None or (
        image.shape[1] <= MAX_CAMERA[0]
        and image.shape[0] <= MAX_CAMERA[1]
        and content.count(SCAN) <= MOST_SCANS
    )
    if not inserts:
        assert (image is not None) == (size[0] <= MAX_CAMERA[0] and size[1] <= MAX_CAMERA[1])


def test_the_server_ends_with_all_connections_closed() -> None:
    """Also one that is just accepted, and one whose page nobody reads; those left open would
    warn."""
    for _ in range(10):
        with ExitStack() as stack:
            with WebSink(Recorder(), port=0) as sink:
                address = ("127.0.0.1", port_of(sink.url))
                for content in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 99, b"GET", b""):
                    link = stack.enter_context(socket.create_connection(address, timeout=60))
                    sent(link, content)
            gc.collect()
