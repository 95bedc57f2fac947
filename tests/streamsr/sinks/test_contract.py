"""The sink contract, held by every sink: only commit() leaves anything under the final name, and
every failure is a SinkError of one line."""

import io
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pytest

from streamsr import FileSink, Frame, SinkError, StreamInfo
from streamsr.color import ColorTags
from streamsr.media.y4m import Y4mFormat
from streamsr.options import DecodeOptions, Encoding
from streamsr.preview import window
from streamsr.segments.segment import SegmentSink, SegmentWork, packets
from streamsr.sinks import Sink
from streamsr.sinks.publish import PublishSink
from streamsr.sinks.recording import StreamSink
from streamsr.sinks.virtual_camera import VirtualCameraSink
from streamsr.sinks.y4m import Y4mSink
from streamsr.sources.y4m import Y4mSource
from streamsr.stats import Recorder
from tests.support.disk import small_disk
from tests.support.fakes import VirtualCameras, Windows
from tests.support.implementations import classes_with, name_of
from tests.support.media import look, noise, picture
from tests.support.servers import free_port
from tests.support.until import PATIENCE_S, until

COUNT = 10
SIZE = 64, 48
TICK = Fraction(1, 25)
INFO = StreamInfo(32, 24, TICK, rate=Fraction(25), color=ColorTags(1, 1, 1, 1))
LAYOUT = Y4mFormat(*SIZE, Fraction(25))
FAST = Encoding("h264", preset="ultrafast")

Maker = Callable[[Path, ExitStack], Sink]
"""Makes a sink that writes into the folder; the stack ends what receives from it."""


@dataclass(frozen=True)
class Row:
    """One kind of sink, and what it is to be tried with.

    of        its class, or that one's full name where importing it needs an extra
    make      where all is well
    fails     where it can never write anything
    arrived   how many frames have come where they were to go, once the sink was left
    seen      how many can be seen there while it is open
    file      what a file under the final name means: it is ``whole``, or a ``recording`` begins it;
              None where there is none
    final     whether commit() ends it, as it does wherever something is made
    sized     whether it is told the frames' size beforehand
    """

    of: object
    make: Maker
    fails: Maker
    arrived: Callable[[Path], int] | None = None
    seen: Callable[[Sink], int] | None = None
    file: str | None = None
    final: bool = True
    sized: bool = True


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def of_file(folder: Path) -> int:
    return len(look(only(folder)).times)


def file_row(name: str, codec: str, preset: str | None = None) -> Row:
    def make(folder: Path, _: ExitStack) -> Sink:
        return FileSink(folder / name, INFO, SIZE, codec=codec, preset=preset)

    return Row(
        FileSink, make, lambda folder, _: make(folder / "missing", _), arrived=of_file, file="whole"
    )


def segment(path: Path) -> SegmentSink:
    work = SegmentWork(Path("film.mkv"), INFO, SIZE, FAST, "matroska", DecodeOptions())
    return SegmentSink(path, work)


def of_segment(folder: Path) -> int:
    return len(list(packets(only(folder))))


def recording_row(name: str) -> Row:
    def make(folder: Path, _: ExitStack) -> Sink:
        return StreamSink(folder / name, INFO, SIZE)

    return Row(
        StreamSink,
        make,
        lambda folder, _: make(folder / "missing", _),
        arrived=of_file,
        file="recording",
    )


RECEIVED = Path("received")
"""What came through a stream or from the network, in the folder."""


def received_file(folder: Path, stack: ExitStack, *, buffering: int = 0) -> Any:
    return stack.enter_context(open(folder / RECEIVED, "w+b", buffering))


def of_y4m(folder: Path) -> int:
    with Y4mSource(io.BytesIO((folder / RECEIVED).read_bytes())) as source:
        return len(list(source))


def receiver(folder: Path, stack: ExitStack) -> str:
    """The address of a server that writes down what it is sent by the first who comes."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    target = received_file(folder, stack)

    def receive() -> None:
        try:
            link, _ = server.accept()
        except OSError:  # nobody came
            return
        with link:
            while content := link.recv(1 << 16):
                target.write(content)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()

    def end() -> None:
        try:
            server.shutdown(socket.SHUT_RDWR)
        finally:
            thread.join(PATIENCE_S)

    stack.callback(end)
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def of_network(folder: Path) -> int:
    def frames() -> int:
        try:
            return len(look(folder / RECEIVED).times)
        except OSError:  # not yet enough to know what it is
            return 0

    until(lambda: frames() == COUNT, seen=frames)
    return frames()


def full(stack: ExitStack, *, buffered: bool = False) -> IO[bytes]:
    """A stream on a disk that is full."""
    raw = io.FileIO("/dev/full", "w")
    stream = io.BufferedWriter(raw) if buffered else raw
    # Not the buffer's close: that would try once more to write what it has. It lives until then,
    # since what is left of it unclosed warns.
    stack.callback(lambda _stream: raw.close(), stream)
    return cast(IO[bytes], stream)


def virtual_camera(_: Path, stack: ExitStack, *, fails: bool = False) -> Sink:
    cameras = VirtualCameras(fails=fails)
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setitem(sys.modules, "pyvirtualcam", cameras)
    return VirtualCameraSink(INFO, SIZE)


def of_camera(_: Sink) -> int:
    return len(cast(VirtualCameras, sys.modules["pyvirtualcam"]).sent)


def window_sink(folder: Path, stack: ExitStack, *, display: bool = True) -> Sink:
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr(window, "cv2", Windows())
    patch.setattr(window, "has_display", lambda: display)
    return window.WindowSink(Recorder(), folder=folder)


def of_window(_: Sink) -> int:
    shown = cast(Windows, window.cv2).shown
    return len({image.tobytes() for image in shown[1:]})  # the first is black: nothing had come


def web_sink(port: int) -> Sink:
    pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
    pytest.importorskip("starlette", reason="the extra [web] is not installed")
    from streamsr.preview.web.sink import WebSink

    return WebSink(Recorder(), port=port)


def of_web(sink: Any) -> int:
    """A viewer that comes now sees the newest."""
    client = pytest.importorskip("websockets.sync.client")
    with client.connect(
        sink.url.replace("http", "ws").replace("/?", "/view?"), max_size=None
    ) as viewer:
        until(lambda: isinstance(viewer.recv(timeout=PATIENCE_S), bytes))
    return COUNT


def taken_port(stack: ExitStack) -> int:
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return int(server.getsockname()[1])


ROWS = {
    "mp4": file_row("out.mp4", "h264", "ultrafast"),
    "mkv": file_row("out.mkv", "ffv1"),
    "ts": file_row("out.ts", "hevc", "ultrafast"),
    "webm": file_row("out.webm", "av1", "13"),
    "mov": file_row("out.mov", "h264", "ultrafast"),
    "segment": Row(
        SegmentSink,
        lambda folder, _: segment(folder / "0.segment"),
        lambda folder, _: segment(folder / "missing" / "0.segment"),
        arrived=of_segment,
        file="whole",
    ),
    "recording.mkv": recording_row("out.mkv"),
    "recording.mp4": recording_row("out.mp4"),
    "recording.ts": recording_row("out.ts"),
    "nut": Row(
        StreamSink,
        lambda folder, stack: StreamSink(received_file(folder, stack), INFO, SIZE),
        lambda _, stack: StreamSink(full(stack), INFO, SIZE),
        arrived=lambda folder: len(look(folder / RECEIVED).times),
    ),
    "publish": Row(
        PublishSink,
        lambda folder, stack: PublishSink(receiver(folder, stack), INFO, SIZE),
        lambda _f, _s: PublishSink(f"tcp://127.0.0.1:{free_port()}", INFO, SIZE),
        arrived=of_network,
    ),
    "y4m": Row(
        Y4mSink,
        lambda folder, stack: Y4mSink(received_file(folder, stack), LAYOUT),
        lambda _, stack: Y4mSink(full(stack), LAYOUT),
        arrived=of_y4m,
    ),
    "y4m through a buffer": Row(
        Y4mSink,
        lambda folder, stack: Y4mSink(received_file(folder, stack, buffering=4096), LAYOUT),
        lambda _, stack: Y4mSink(full(stack, buffered=True), LAYOUT),
        arrived=of_y4m,
    ),
    "virtual camera": Row(
        VirtualCameraSink,
        virtual_camera,
        lambda folder, stack: virtual_camera(folder, stack, fails=True),
        seen=of_camera,
        final=False,
    ),
    "window": Row(
        window.WindowSink,
        window_sink,
        lambda folder, stack: window_sink(folder, stack, display=False),
        seen=of_window,
        final=False,
        sized=False,
    ),
    "web": Row(
        "streamsr.preview.web.sink.WebSink",
        lambda _f, _s: web_sink(0),
        lambda _, stack: web_sink(taken_port(stack)),
        seen=of_web,
        final=False,
        sized=False,
    ),
}


def frames(count: int = COUNT) -> list[Frame]:
    return [Frame(picture(i), i, TICK, 1, i) for i in range(count)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=ROWS)
def row(request: pytest.FixtureRequest) -> Row:
    return ROWS[request.param]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def sink(row: Row, folder: Path, stack: ExitStack) -> Sink:
    return row.make(folder, stack)


def in_use() -> tuple[int, list[str]]:
    """Open files and sockets, and our threads."""
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("streamsr")]
    return len(os.listdir("/proc/self/fd")), sorted(names)


@contextmanager
def one_line_of_error() -> Iterator[None]:
    with pytest.raises(SinkError) as raised:
        yield
    assert str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_sink_has_its_row() -> None:
    there = classes_with("__enter__", "write", "commit")
    assert there == {
        row.of if isinstance(row.of, str) else name_of(row.of) for row in ROWS.values()
    }


class TestEverySink:
    def test_every_frame_arrives(self, row: Row, sink: Sink, folder: Path) -> None:
        with sink:
            for frame in frames():
                sink.write(frame)
            sink.commit()
            if row.seen is not None:
                assert row.seen(sink) == COUNT
        assert row.arrived is None or row.arrived(folder) == COUNT
        assert row.arrived is not None or row.seen is not None

    def test_nothing_stands_under_the_final_name_before_it_is_whole(
        self, row: Row, sink: Sink, folder: Path
    ) -> None:
        if row.file is None:
            pytest.skip("it makes no file")
        with sink:
            assert {path.suffix for path in folder.iterdir()} == {".part"}
            for frame in frames():
                sink.write(frame)
            whole = [path for path in folder.iterdir() if path.suffix != ".part"]
            assert (whole == []) == (row.file == "whole")
            sink.commit()
        assert [path.suffix for path in folder.iterdir()] != [".part"]

    @pytest.mark.parametrize("written", [0, 1, COUNT])
    @pytest.mark.parametrize("error", [None, KeyError, KeyboardInterrupt])
    def test_leaving_without_commit_leaves_nothing_whatever_the_reason(
        self,
        row: Row,
        sink: Sink,
        folder: Path,
        written: int,
        error: type[BaseException] | None,
    ) -> None:
        passes = pytest.raises(error) if error is not None else ExitStack()
        with passes, sink:  # type: ignore[attr-defined]  # both are context managers
            for frame in frames(written):
                sink.write(frame)
            if error is not None:
                raise error
        if row.file == "whole" or (row.file == "recording" and written == 0):
            assert list(folder.iterdir()) == []
        elif row.file == "recording":
            assert of_file(folder) == written, "live pictures do not come again"

    def test_leaving_closes_all_and_twice_is_harmless(
        self, row: Row, tmp_path: Path, stack: ExitStack
    ) -> None:
        for turn in ("what libraries open once for all", "what is the sink's"):
            (tmp_path / turn).mkdir()
            sink = row.make(tmp_path / turn, stack)
            before = in_use()
            with pytest.raises(KeyError), sink:  # noqa: PT012 - leaving is what is tested
                sink.write(frames()[0])
                raise KeyError
            sink.__exit__(None, None, None)
        until(lambda: in_use()[0] <= before[0] and in_use()[1] == [], seen=in_use)

    def test_a_sink_that_was_never_entered_takes_nothing_and_may_be_left(
        self, sink: Sink, folder: Path
    ) -> None:
        with pytest.raises(ValueError, match=r"write\(\) outside the with block"):
            sink.write(frames()[0])
        with pytest.raises(ValueError, match=r"commit\(\) outside the with block"):
            sink.commit()
        sink.__exit__(None, None, None)
        assert [path for path in folder.iterdir() if path.name != str(RECEIVED)] == []

    def test_nothing_is_taken_after_commit(self, row: Row, sink: Sink, folder: Path) -> None:
        with sink:
            for frame in frames():
                sink.write(frame)
            sink.commit()
            if not row.final:
                sink.commit()
                sink.write(frames()[0])
                return
            with pytest.raises(ValueError, match=r"commit\(\) .* or after commit"):
                sink.commit()
            with pytest.raises(ValueError, match=r"write\(\) .* or after commit"):
                sink.write(frames()[0])
        assert row.arrived is not None
        assert row.arrived(folder) == COUNT

    def test_nothing_is_taken_after_leaving(self, sink: Sink) -> None:
        with sink:
            sink.write(frames()[0])
        with pytest.raises(ValueError, match=r"write\(\) outside"):
            sink.write(frames()[0])
        with pytest.raises(ValueError, match=r"commit\(\) outside"):
            sink.commit()

    @pytest.mark.parametrize("size", [(63, 48), (64, 47), (32, 24), (128, 96)])
    def test_a_frame_of_another_size_is_refused(
        self, row: Row, sink: Sink, folder: Path, size: tuple[int, int]
    ) -> None:
        if not row.sized:
            pytest.skip("it takes what comes")
        words = f"expected a frame of 64x48, got {size[0]}x{size[1]}"
        with pytest.raises(ValueError, match=words), sink:
            sink.write(Frame(picture(0, *size), 0, TICK))
        if row.file is not None:
            assert list(folder.iterdir()) == []

    def test_an_output_that_cannot_be_made_is_one_line_of_error(
        self, row: Row, folder: Path, stack: ExitStack
    ) -> None:
        before = in_use()
        with one_line_of_error():  # noqa: SIM117 - the sink may be refused before it is entered
            with row.fails(folder, stack) as sink:
                for frame in frames():
                    sink.write(frame)
                sink.commit()
        assert list(folder.iterdir()) == []
        until(lambda: in_use()[1] == before[1], seen=in_use)

    @pytest.mark.parametrize("room_kib", [8, 64])
    def test_a_full_disk_is_one_line_of_error(
        self, row: Row, tmp_path: Path, stack: ExitStack, room_kib: int
    ) -> None:
        """With room for little more than a header, and for some frames."""
        if row.file is None:
            pytest.skip("it makes no file")
        with small_disk(tmp_path / "disk", room_kib) as disk:
            with one_line_of_error(), row.make(disk, stack) as sink:
                for i in range(500):
                    sink.write(Frame(noise(*SIZE, i), i, TICK, 1, i))
                sink.commit()
            left = [path.suffix for path in disk.iterdir()]
            assert left == [] or row.file == "recording"
            assert ".part" not in left


def test_the_noise_is_larger_than_the_disk_that_it_fills(tmp_path: Path) -> None:
    with ExitStack() as stack, ROWS["mkv"].make(tmp_path, stack) as sink:
        for i in range(20):
            sink.write(Frame(noise(*SIZE, i), i, TICK, 1, i))
        sink.commit()
    assert np.sum([path.stat().st_size for path in tmp_path.iterdir()]) > 64 << 10
