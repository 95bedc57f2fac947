"""The web page: who may see it, what it serves, and the whole of it in headless Chromium."""

import signal
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamsr.errors import SinkError
from streamsr.frame import Frame
from streamsr.media.y4m import Y4mFormat
from streamsr.sinks.y4m import Y4mSink
from streamsr.sources.feed import FeedSource
from streamsr.stats import Recorder
from tests.support.browser import Page, chromium
from tests.support.command import started
from tests.support.media import HELD_UPRIGHT, make_video, picture
from tests.support.processes import Helper
from tests.support.until import until

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
pytest.importorskip("starlette", reason="the extra [web] is not installed")
client = pytest.importorskip("websockets.sync.client", reason="the extra [web] is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from streamsr.preview.web.app import MAX_VIEWERS  # noqa: E402
from streamsr.preview.web.jpeg import decoded, encoded  # noqa: E402
from streamsr.preview.web.sink import WebSink  # noqa: E402


@pytest.fixture
def sink() -> Iterator[WebSink]:
    with WebSink(Recorder(), port=0) as served:
        yield served


def frame(index: int = 0) -> Frame:
    return Frame(
        picture(index, 192, 144), index, Fraction(1, 25), index=index, lr=picture(index, 64, 48)
    )


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def at(sink: WebSink, path: str) -> str:
    """The address of a path, with the token."""
    base, _, query = sink.url.partition("?")
    return f"{base}{path}?{query}"


def port_of(sink: WebSink) -> int:
    return int(sink.url.partition("?")[0].split(":")[2].strip("/"))


def link(sink: WebSink, path: str = "view", **how: Any) -> Any:
    return client.connect(at(sink, path).replace("http", "ws"), max_size=None, **how)


def until_told(view: Any, words: str) -> None:
    """Wait for a message to the page with these words."""
    said: list[str] = []

    def told() -> bool:
        message = view.recv(timeout=30)
        said[:] = [message] if isinstance(message, str) else said
        return isinstance(message, str) and words in message

    until(told, seen=lambda: said)


def next_picture(view: Any, *, like: Callable[[bytes], bool] = lambda _: True) -> bytes:
    """The next message that is a picture, and such a one."""
    seen: list[int] = []

    def taken() -> bytes | None:
        message = view.recv(timeout=30)
        seen[:] = [len(message)]
        return message if isinstance(message, bytes) and like(message) else None

    content = until(taken, seen=lambda: f"a message of {seen} bytes")
    assert content is not None
    return content


def test_the_page_and_nothing_else_is_served(sink: WebSink) -> None:
    assert [status(at(sink, name)) for name in ("", "page.js", "page.css")] == [200, 200, 200]
    connection = HTTPConnection("127.0.0.1", port_of(sink), timeout=30)
    for path in (
        "/web.py",
        "/../web.py",
        "/page/../web.py",
        "/..%2fweb.py",
        "/%2e%2e/web.py",
        "//etc/passwd",
        "/page.js/",
    ):
        connection.request("GET", f"{path}?token={sink.token}")
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (404, 307), path
    connection.close()


def test_other_sites_and_other_names_are_refused(sink: WebSink) -> None:
    assert status(sink.url, Origin="http://evil.example") == 403
    assert status(sink.url, Host="evil.example") == 403
    with pytest.raises(InvalidStatus), link(sink, origin="http://evil.example"):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "["},
        {"Origin": "http://["},
        {"Host": "a]b"},
        {"Origin": "http://[::g]"},
        {"Host": "[", "Origin": "http://["},
        {"Host": "\xe9\u2100".encode().decode("latin-1")},
    ],
)
def test_names_that_are_none_are_refused_quietly(
    host: str,
    headers: dict[str, str],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with WebSink(Recorder(), host=host, port=0) as sink:
        base, _, query = sink.url.partition("?")
        for path in ("", "page.js", "nothing", "page.js/"):
            assert status(f"{base}{path}?{query}", **headers) in (200, 307, 400, 403, 404)
            if host == "127.0.0.1":
                assert status(f"{base}{path}", **headers) in (400, 403)
    assert capfd.readouterr().err == ""
    assert not caplog.records


def test_a_picture_that_cannot_be_shown_ends_no_others(sink: WebSink) -> None:
    huge = Frame(np.zeros((1, 70_000, 3), np.uint8), 0, Fraction(1, 25))
    with link(sink) as view:
        sink.write(huge)
        until_told(view, "70000x1")
        sink.write(frame(1))
        assert next_picture(view)
        until_told(view, '"live"')


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_visitor_needs_the_token(host: str) -> None:
    with WebSink(Recorder(), host=host, port=0) as sink:
        base, _, query = sink.url.partition("?")
        assert len(query) > 20
        assert status(sink.url) == 200
        for url in (base, base + "?token=", base + "?token=x", base + "?token=%C3%A9"):
            assert status(url) == 403
        with pytest.raises(InvalidStatus), client.connect(base.replace("http", "ws") + "view"):
            pass
        with link(sink) as view:
            assert "live" in view.recv(timeout=30)


def test_listening_everywhere_gives_an_address_that_can_be_visited() -> None:
    with WebSink(Recorder(), host="0.0.0.0", port=0) as sink:
        assert "0.0.0.0" not in sink.url
        assert status(sink.url) == 200
        assert status(sink.url.partition("?")[0]) == 403


def test_no_other_page_may_frame_or_embed_ours(sink: WebSink) -> None:
    with urllib.request.urlopen(sink.url, timeout=30) as answer:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_viewer_gets_the_picture_before_and_after(sink: WebSink) -> None:
    sink.write(frame(3))
    with link(sink) as view:
        content = next_picture(view)
    (length,) = struct.unpack("<I", content[:4])
    before, after = decoded(content[4 : 4 + length]), decoded(content[4 + length :])
    assert before is not None
    assert after is not None
    assert abs(before.astype(int) - picture(3, 64, 48)).mean() < 4
    assert abs(after.astype(int) - picture(3, 192, 144)).mean() < 4


def test_a_viewer_that_reads_nothing_holds_nobody_up(sink: WebSink) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    with link(sink) as asleep:
        for i in range(300):
            sink.write(Frame(noise, i, Fraction(1, 25), index=i))
        sink.write(frame(7))
        with link(sink) as awake:
            next_picture(awake, like=lambda content: len(content) == len(encoded(frame(7))))
        assert asleep.protocol.state.name == "OPEN"


def test_a_viewer_may_stop_and_start(sink: WebSink) -> None:
    with link(sink) as view:
        view.send("stop")
        until(
            lambda: not any(viewer.wants for viewer in sink.app.viewers),
            seen=lambda: sink.app.viewers,
        )
        sink.write(frame(1))
        for _ in range(3):
            assert isinstance(view.recv(timeout=30), str)
        view.send("start")
        next_picture(view)


def test_too_many_viewers_are_refused(sink: WebSink) -> None:
    with ExitStack() as links:
        for _ in range(MAX_VIEWERS):
            links.enter_context(link(sink))
        until(
            lambda: len(sink.app.viewers) == MAX_VIEWERS,
            seen=lambda: f"{len(sink.app.viewers)} viewers",
        )
        with pytest.raises(InvalidStatus), link(sink):
            pass


def jpeg(width: int, height: int) -> bytes:
    return bytes(cv2.imencode(".jpg", picture(1, width, height)[..., ::-1])[1].tobytes())


def test_a_browsers_pictures_become_frames() -> None:
    feed = FeedSource()
    with WebSink(Recorder(), port=0, feed=feed) as sink, link(sink, "camera") as camera:
        for size in ((64, 48), (48, 64)):  # a telephone is turned
            camera.send(jpeg(*size))
            assert camera.recv(timeout=30) == "next"
        with pytest.raises(InvalidStatus), link(sink, "camera"):
            pass
        with feed:
            frames = iter(feed)
            assert [next(frames).rgb.shape for _ in range(2)] == [(48, 64, 3)] * 2
        camera.send(jpeg(64, 48))
        with pytest.raises(ConnectionClosed):
            camera.recv(timeout=30)  # nobody takes pictures any more


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\xff\xd8",
        jpeg(64, 48)[:200],
        jpeg(2000, 16),
        b"\x89PNG" + b"0" * 100,
        b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9,
    ],
)
def test_what_is_no_picture_ends_the_camera(content: bytes) -> None:
    feed = FeedSource()
    with WebSink(Recorder(), port=0, feed=feed) as sink, link(sink, "camera") as camera:
        camera.send(content)
        with pytest.raises(ConnectionClosed):
            camera.recv(timeout=30)


def test_a_port_in_use_is_one_clear_error(sink: WebSink) -> None:
    port = port_of(sink)
    with pytest.raises(SinkError, match=f"port {port}"):
        WebSink(Recorder(), port=port).__enter__()


def test_leaving_ends_the_server_and_its_threads() -> None:
    sink = WebSink(Recorder(), port=0)
    with sink, link(sink) as view:
        sink.write(frame())
        next_picture(view)
    sink.__exit__(None, None, None)
    assert "streamsr-web" not in [thread.name for thread in threading.enumerate()]


@contextmanager
def served(*args: object) -> Iterator[tuple[Helper, str]]:
    """``streamsr live`` with the page, and its address."""
    with started("live", *args, "--preview", "web", "--port", "0") as process:
        yield process, process.says(r"open (http\S+)")[1]


def ends_well(process: Helper) -> str:
    """What it has said, once it is over."""
    status = process.ended()
    said = process.said()
    assert status == 0, said
    assert "Traceback" not in said
    return said


def standing(page: Page, expression: str) -> int:
    """The number that this expression gives once it has not changed for half a second."""
    last, since = page.value(expression), time.monotonic()

    def still() -> bool:
        nonlocal last, since
        if (now := page.value(expression)) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 0.5

    until(still, seen=lambda: f"{expression} is {last} and goes on")
    return int(last)


@pytest.mark.parametrize("source", ["test:160x96@10", "browser:"])
def test_in_a_browser(tmp_path: Path, model: Path, source: str) -> None:
    drawn = "Number(document.body.dataset.drawn || 0)"
    with served(source, "--model", model, "--threads", "1", "--budget-ms", "500") as (process, url):
        with chromium(tmp_path / "profile", url) as page:
            page.until(f"{drawn} > 5")
            # The line comes with the numbers, later than the first pictures.
            page.until("document.getElementById('state').textContent === 'live'")
            assert page.value("picture.width % 3 === 0 && picture.width > 400")
            # The divider: all the way left shows the network's picture alone, all the way right the
            # other.
            whole = "picture.toDataURL()"
            page.value("document.getElementById('run').click()")
            page.until("document.getElementById('run').textContent === 'Start'")
            seen = standing(page, drawn)  # what was on its way has come
            sides = [page.value(f"divider.value = {at}; draw(); {whole}") for at in (0, 500, 1000)]
            assert len(set(sides)) == 3
            page.value("document.getElementById('run').click()")
            page.until(f"{drawn} > {seen} + 3")
            page.until(
                "[...document.querySelectorAll('#counts td:last-child')].some(c => "
                "Number(c.textContent) > 3)"
            )
            page.screenshot(tmp_path / "page.png")
        process.send(signal.SIGINT)
        ends_well(process)


def test_a_browser_shows_a_turned_film_whole_and_says_what_becomes_of_its_sound(
    tmp_path: Path, model: Path
) -> None:
    film = make_video(
        tmp_path / "in.mp4",
        pts=range(500),
        size=(64, 40),
        audio=["aac"],
        audio_frames=900,
        prepare=lambda _container, stream: stream.set_display_matrix(HELD_UPRIGHT),
    )
    kept = ["--record", tmp_path / "out.ts", "--model", model, "--threads", "1"]
    with served(film, "--realtime", *kept) as (process, url):
        with chromium(tmp_path / "profile", url) as page:
            page.until("Number(document.body.dataset.drawn || 0) > 5")
            page.until("element('sound').textContent === 'sound: aac 48000 Hz copied'")
            assert page.value("picture.height === 192 && picture.width === 120")
            assert page.value("picture.getBoundingClientRect().bottom <= innerHeight")
        process.send(signal.SIGINT)
        ends_well(process)


def test_a_browsers_camera_is_what_is_upscaled(tmp_path: Path, model: Path) -> None:
    """Chromium's camera is a file here, red on the left and blue on the right; so must be what the
    page shows."""
    halves = np.zeros((180, 320, 3), np.uint8)
    halves[:, :160, 0] = halves[:, 160:, 2] = 220
    film = tmp_path / "camera.y4m"
    with (
        film.open("wb") as file,
        Y4mSink(file, Y4mFormat(320, 180, Fraction(10), siting="jpeg")) as camera,
    ):
        for i in range(10):
            camera.write(Frame(halves, i, Fraction(1, 10)))
    with served("browser:", "--model", model, "--threads", "1", "--budget-ms", "500") as (
        process,
        url,
    ):
        with chromium(
            tmp_path / "profile", url, f"--use-file-for-fake-video-capture={film}"
        ) as page:
            page.until("Number(document.body.dataset.drawn || 0) > 2")
            page.value("divider.value = 0; draw()")  # the network's picture alone
            for at, color in ((0.25, (220, 0, 0)), (0.75, (0, 0, 220))):
                shown = (
                    f"paper.getImageData({at} * picture.width, picture.height / 2, 1, "
                    f"1).data.join()"
                )
                seen = [int(value) for value in page.value(shown).split(",")[:3]]
                assert np.abs(np.subtract(seen, color)).max() < 30, (at, seen)
        assert process.running  # a browser that closes ends nothing: the next may come
        with chromium(
            tmp_path / "another", url, f"--use-file-for-fake-video-capture={film}"
        ) as page:
            page.until("Number(document.body.dataset.drawn || 0) > 2")
        process.send(signal.SIGINT)
        ends_well(process)


@pytest.mark.parametrize("ending", ["duration", "ctrl-c"])
def test_a_run_that_waits_for_a_browsers_camera_can_be_ended(model: Path, ending: str) -> None:
    options = ["--duration", "1"] if ending == "duration" else []
    with served("browser:", "--model", model, *options) as (process, _):
        if ending == "ctrl-c":
            process.send(signal.SIGINT)
        assert "0 frames in" in ends_well(process)


def test_messages_of_the_wrong_kind_harm_nobody(sink: WebSink) -> None:
    with link(sink) as view:
        view.send(b"stop")
        view.send("nonsense")
        sink.write(frame(1))
        next_picture(view)
    feed = FeedSource()
    with WebSink(Recorder(), port=0, feed=feed) as other, link(other, "camera") as camera:
        camera.send("no picture")
        with pytest.raises(ConnectionClosed):
            camera.recv(timeout=30)


def test_the_page_says_that_it_waits_for_a_camera() -> None:
    with WebSink(Recorder(), port=0, feed=FeedSource()) as sink, link(sink) as view:
        assert "waiting for the camera" in view.recv(timeout=30)
        with link(sink, "camera") as camera:
            camera.send(jpeg(64, 48))
            assert camera.recv(timeout=30) == "next"
            until(lambda: '"live"' in view.recv(timeout=30))
