"""Streams whose pictures carry their own time, and servers that send them as real ones do."""

import http.server
import io
import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream
from PIL import Image

from streamsr.sources.pattern import write_time
from tests.support.media import picture
from tests.support.until import PATIENCE_S

SIZE = 160, 96
RATE = 25


def coded(
    path: Path,
    seconds: float,
    *,
    gop: int = 25,
    begin_s: float = 0.0,
    clock_s: float | None = None,
    sar: Fraction | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """A film whose pictures carry their time, `read_time`, from ``begin_s`` on; ``clock_s`` is
    where its own clock begins, ``container`` FFmpeg's options for that."""
    options = {"preset": "ultrafast", "crf": "20", "x264-params": "scenecut=0"}
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream("libx264", rate=RATE, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        if sar is not None:
            stream.codec_context.sample_aspect_ratio = sar
        first = round((begin_s if clock_s is None else clock_s) * RATE)
        for index in range(round(seconds * RATE)):
            rgb = picture(index, *SIZE)
            write_time(rgb, begin_s + index / RATE + 0.0005)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = first + index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> bytes:
    """A transport stream without this share of it, as one has it who comes later."""
    content = path.read_bytes()
    return content[int(len(content) * share) // 188 * 188 :]


@contextmanager
def tcp_server(*lives: Sequence[bytes | Callable[[], object]]) -> Iterator[str]:
    """The address of a server that sends the first of these to who connects first, and so on, and
    hangs up. What can be called is called in its turn: it may wait."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for life in lives:
                with suppress(OSError):
                    link, _ = server.accept()
                    with link:
                        for part in life:
                            if isinstance(part, bytes):
                                link.sendall(part)
                            else:
                                part()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


class Breaking(http.server.BaseHTTPRequestHandler):
    """Gives the server's one resource; breaks off where its ``ends`` say, one for each request."""

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, FilmServer)
        content, begin = server.content, 0
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if server.ranges and asked:
            begin = int(asked[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        share = server.ends.pop(0) if len(server.ends) > 1 else server.ends[0]
        with suppress(OSError):
            self.wfile.write(content[begin : max(int(len(content) * share), begin)])


class FilmServer(http.server.ThreadingHTTPServer):
    """Serves one film.

    ends    the share of it that each request gets at most, the last for all that follow
    ranges  whether it can begin in the middle
    """

    def __init__(self, film: Path, *, ends: Sequence[float] = (1.0,), ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Breaking)
        self.content, self.ends, self.ranges = film.read_bytes(), list(ends), ranges
        self.url = f"http://127.0.0.1:{self.server_port}/{film.name}"


@contextmanager
def served(server: http.server.HTTPServer) -> Iterator[None]:
    """The server at work while the block lasts."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


CAMERA_RATE = 10


class Camera(http.server.BaseHTTPRequestHandler):
    """A camera that gives ten JPEG pictures a second, without times, as small ones do."""

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        begun = time.monotonic()
        with suppress(OSError):
            for index in itertools.count():
                time.sleep(max(begun + index / CAMERA_RATE - time.monotonic(), 0))
                rgb, content = picture(index, *SIZE), io.BytesIO()
                write_time(rgb, index / CAMERA_RATE)
                Image.fromarray(rgb).save(content, "JPEG", quality=95)
                jpeg = content.getvalue()
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                self.wfile.write(head % len(jpeg) + jpeg + b"\r\n")
