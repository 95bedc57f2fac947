"""The source contract, held by every source: frames in order with their times, errors in words,
waits that end, leaving harmless."""

import io
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from streamsr import FileSource, SourceError
from streamsr.frame import Frame, StreamInfo
from streamsr.media.y4m import Y4mFormat
from streamsr.sinks.y4m import Y4mSink
from streamsr.sources import Source, Stoppable
from streamsr.sources.camera import camera
from streamsr.sources.feed import FeedSource
from streamsr.sources.network import network
from streamsr.sources.open import open_source
from streamsr.sources.paced import PacedSource
from streamsr.sources.pattern import PatternSource
from streamsr.sources.reconnect import Picture, ReconnectingSource
from streamsr.sources.y4m import Y4mSource
from streamsr.stats import Recorder
from tests.support.fakes import Clock
from tests.support.implementations import classes_with, makers_of, name_of
from tests.support.media import SIZE, make_video, picture
from tests.support.servers import free_port, web_server
from tests.support.until import PATIENCE_S, until

COUNT = 10
UNEVEN = [2, 3, 4, 7, 8, 12, 13, 14, 15, 20]

Maker = Callable[[Path, ExitStack], Source]
"""Makes a source from what it puts into the folder; the stack ends what feeds it."""


@dataclass(frozen=True)
class Row:
    """One kind of source, and what it is to be tried with.

    of       the class, or the function that makes one
    make     of the pictures 0 to 9 in order
    nothing  has nothing to read
    breaks   breaks off after at least one picture; None where that is not the caller's to know
    waits    gives a picture or more and then none for a long time; None where it never waits
    endless  begins anew after its last picture, or never has one
    pattern  gives pictures of its own
    """

    of: object
    make: Maker
    nothing: Maker | None
    breaks: Maker | None = None
    waits: Maker | None = None
    endless: bool = False
    pattern: bool = False


def film(folder: Path, name: str = "film.mkv", **how: object) -> Path:
    return make_video(folder / name, **{"pts": UNEVEN, **how})  # type: ignore[arg-type]  # of one call


def y4m() -> bytes:
    target = io.BytesIO()
    layout = Y4mFormat(*SIZE, Fraction(25), chroma="444")
    with Y4mSink(target, layout) as sink:
        for i in range(COUNT):
            sink.write(Frame(picture(i), i, Fraction(1, 25)))
        sink.commit()
    return target.getvalue()


def piped(content: bytes, stack: ExitStack, *, ends: bool) -> BinaryIO:
    """A pipe with this in it, written to by nobody else; without ``ends`` the writer stays."""
    reads, writes = os.pipe()
    source = stack.enter_context(os.fdopen(reads, "rb"))

    def write() -> None:
        with os.fdopen(writes, "wb", buffering=0, closefd=ends) as target, suppress(OSError):
            target.write(content)  # OSError: the reader has seen enough

    writer = threading.Thread(target=write, daemon=True)
    writer.start()

    def over() -> None:
        source.close()  # wakes the writer
        writer.join(PATIENCE_S)
        if not ends:
            os.close(writes)

    stack.callback(over)
    return source


class Session:
    """A connection that gives these pictures and breaks, or ends."""

    fetched = False

    def __init__(self, numbers: range, *, ends: bool = False) -> None:
        self.info = StreamInfo(*SIZE, Fraction(1, 90000), pixel_format="rgb24")
        self._numbers, self._ends = iter(numbers), ends

    def pictures(self) -> Iterator[Picture]:
        for number in self._numbers:
            yield Picture(picture(number), number / 25)
        if not self._ends:
            raise SourceError("session: broke off")

    def close(self) -> None: ...


def reconnecting(*, clock: Clock | None, last: bool) -> ReconnectingSource:
    """Three connections with the ten pictures; not the ``last``: nobody answers any more."""
    sessions = iter([Session(range(3)), Session(range(3, 7)), Session(range(7, 10), ends=last)])

    def connect() -> Session:
        session = next(sessions, None)
        if session is None:
            raise SourceError("session: refused")
        return session

    if clock is None:
        return ReconnectingSource("session", connect)
    return ReconnectingSource("session", connect, clock=clock, pause=clock)


def refused() -> ReconnectingSource:
    def connect() -> Session:
        raise SourceError("session: refused")

    return ReconnectingSource("session", connect)


def fed(stack: ExitStack, *, count: int = COUNT, ends: bool = True, **how: object) -> FeedSource:
    """A feed that a thread puts the pictures in."""
    feed = FeedSource(**{"live": False, **how})  # type: ignore[arg-type]  # of one call

    def put() -> None:
        for i in range(count):
            feed.put(picture(i))
        if ends:
            feed.end()

    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    stack.callback(thread.join, PATIENCE_S)
    stack.callback(feed.__exit__, None, None, None)  # where a test never entered it
    return feed


def ended_feed() -> FeedSource:
    feed = FeedSource()
    feed.end()
    return feed


def paced(source: Source) -> PacedSource:
    clock = Clock()
    return PacedSource(source, clock=clock, pause=clock)


def device(folder: Path, frames: int = COUNT) -> ReconnectingSource:
    """A file stands in for the device: the same calls, and it vanishes after its last frame."""
    how = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "pts": range(frames)}
    return camera(str(film(folder, "camera.avi", **how)))


def on_the_web(folder: Path, stack: ExitStack) -> Source:
    film(folder, "film.mp4", time_base=Fraction(1, 25))
    return network(f"{stack.enter_context(web_server(folder))}/film.mp4")


def silent(folder: Path, stack: ExitStack) -> Source:
    """A server that sends a film without its end, and then nothing."""
    content = film(folder, "film.ts", pts=range(50)).read_bytes()
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):  # nobody came, or it has gone
            link, _ = server.accept()
            with link:
                link.sendall(content)
                over.wait(PATIENCE_S)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def end() -> None:
        over.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_S)

    stack.callback(end)
    return network(f"tcp://127.0.0.1:{server.getsockname()[1]}", timeout_s=1.0)


def raw(content: bytes) -> Y4mSource:
    return Y4mSource(io.BytesIO(content), format=Y4mFormat.raw(SIZE, "rgb24", Fraction(25)))


def slow_pattern() -> PatternSource:
    return PatternSource("test:160x96@1")


def clocked_pattern() -> PatternSource:
    clock = Clock()
    return PatternSource("test:160x96@10", clock=clock, pause=clock)


ROWS = {
    "file": Row(
        FileSource,
        lambda folder, _: FileSource(film(folder)),
        lambda folder, _: FileSource(folder / "nowhere"),
    ),
    "what a word opens": Row(
        open_source,
        lambda folder, _: open_source(str(film(folder)), record=Recorder()),
        lambda folder, _: open_source(str(folder / "nowhere"), record=Recorder()),
    ),
    "y4m": Row(
        Y4mSource,
        lambda _f, _s: Y4mSource(io.BytesIO(y4m())),
        lambda _f, _s: Y4mSource(io.BytesIO()),
        lambda _f, _s: Y4mSource(io.BytesIO(y4m()[:-1])),
        lambda _f, stack: Y4mSource(piped(y4m()[:-1], stack, ends=False)),
    ),
    "y4m from a pipe": Row(
        Y4mSource,
        lambda _f, stack: Y4mSource(piped(y4m(), stack, ends=True)),
        lambda _f, stack: Y4mSource(piped(b"", stack, ends=True)),
        lambda _f, stack: Y4mSource(piped(y4m()[:-1], stack, ends=True)),
        lambda _f, stack: Y4mSource(piped(y4m(), stack, ends=False)),
    ),
    "raw": Row(
        Y4mSource,
        lambda _f, _s: raw(b"".join(picture(i).tobytes() for i in range(COUNT))),
        None,  # no bytes are no frames: there is no header to miss
        lambda _f, _s: raw(picture(0).tobytes() + b"and half"),
        lambda _f, stack: Y4mSource(
            piped(picture(0).tobytes(), stack, ends=False),
            format=Y4mFormat.raw(SIZE, "rgb24", Fraction(25)),
        ),
    ),
    "feed": Row(
        FeedSource,
        lambda _f, stack: fed(stack, size=SIZE),
        None,  # with a size it waits for nobody
        None,
        lambda _f, stack: fed(stack, size=SIZE, ends=False),
    ),
    "feed of its first picture's size": Row(
        FeedSource,
        lambda _f, stack: fed(stack),
        lambda _f, _s: ended_feed(),
        None,
        lambda _f, stack: fed(stack, count=1, ends=False),
    ),
    "paced file": Row(
        PacedSource,
        lambda folder, _: paced(FileSource(film(folder))),
        lambda folder, _: paced(FileSource(folder / "nowhere")),
        None,
        lambda folder, _: PacedSource(FileSource(film(folder, pts=[0, 100_000]))),
    ),
    "paced pipe": Row(
        PacedSource,
        lambda _f, stack: paced(Y4mSource(piped(y4m(), stack, ends=True))),
        lambda _f, stack: paced(Y4mSource(piped(b"", stack, ends=True))),
        lambda _f, stack: paced(Y4mSource(piped(y4m()[:-1], stack, ends=True))),
        lambda _f, stack: paced(Y4mSource(piped(y4m(), stack, ends=False))),
    ),
    "pattern": Row(
        PatternSource,
        lambda _f, _s: clocked_pattern(),
        None,  # what is no pattern is refused when it is made
        None,
        lambda _f, _s: slow_pattern(),
        endless=True,
        pattern=True,
    ),
    "camera": Row(
        camera,
        lambda folder, _: device(folder),
        lambda _f, _s: camera("63"),
        None,  # it is waited for
        lambda folder, _: device(folder, frames=1),
        endless=True,
    ),
    "network": Row(
        network,
        on_the_web,
        lambda _f, _s: network(f"tcp://127.0.0.1:{free_port()}"),
        None,  # it is connected to again
        silent,
    ),
    "reconnecting": Row(
        ReconnectingSource,
        lambda _f, _s: reconnecting(clock=Clock(), last=True),
        lambda _f, _s: refused(),
        None,  # as above
        lambda _f, _s: reconnecting(clock=None, last=False),
    ),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=ROWS)
def row(request: pytest.FixtureRequest) -> Row:
    return ROWS[request.param]


@pytest.fixture
def source(row: Row, tmp_path: Path, stack: ExitStack) -> Source:
    return row.make(tmp_path, stack)


def some(row: Row, kind: str) -> Maker:
    """What the row has of that kind; the test is skipped where it has none."""
    maker: Maker | None = getattr(row, kind)
    if maker is None:
        pytest.skip(f"none that {kind}")
    return maker


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_every_source_has_its_row() -> None:
    there = classes_with("__enter__", "__iter__", under="streamsr.sources")
    there |= makers_of("Source", under="streamsr.sources")
    assert there == {name_of(row.of) for row in ROWS.values()}


class TestEverySource:
    def test_the_frames_are_as_announced(self, source: Source) -> None:
        with source:
            info = source.info
            for frame in itertools.islice(source, COUNT):
                assert frame.rgb.shape == (info.height, info.width, 3)
                assert frame.rgb.dtype == np.uint8
                assert frame.rgb.flags.c_contiguous
                assert frame.time_base == info.time_base
            resolved = info.color.resolved(info.width, info.height)
            assert info.color == resolved or info.pixel_format == "rgb24"
            assert info.sar > 0

    def test_every_picture_comes_once_in_order(self, row: Row, source: Source) -> None:
        """And a frame keeps its pixels while others are read."""
        with source:
            frames = list(itertools.islice(source, COUNT if row.endless else None))
        assert len(frames) == COUNT
        if row.pattern:
            assert len({frame.rgb.tobytes() for frame in frames}) == COUNT
            return
        for i, frame in enumerate(frames):
            assert np.abs(frame.rgb.astype(int) - picture(i)).mean() < 12, i

    def test_times_arrivals_and_indices_rise(self, source: Source) -> None:
        with source:
            frames = list(itertools.islice(source, COUNT))
        assert [frame.index for frame in frames] == list(range(COUNT))
        assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))
        assert all(a.arrival_s <= b.arrival_s for a, b in itertools.pairwise(frames))
        assert frames[0].arrival_s > 0

    def test_after_the_last_frame_comes_nothing_more(self, row: Row, source: Source) -> None:
        with source:
            if row.endless:
                pytest.skip("it has no last frame")
            assert len(list(source)) == COUNT
            assert list(source) == []

    def test_entering_twice_and_leaving_twice_is_harmless(self, source: Source) -> None:
        with source, source:
            assert len(list(itertools.islice(source, COUNT))) == COUNT
        source.__exit__(None, None, None)

    def test_leaving_in_the_middle_ends_it(self, source: Source) -> None:
        with source:
            next(iter(source))
        assert list(source) == []

    def test_an_error_in_the_block_passes_through_and_nothing_stays_open(
        self, row: Row, tmp_path: Path, stack: ExitStack
    ) -> None:
        with row.make(tmp_path, stack) as source:  # what is opened once for all, by libraries
            next(iter(source))
        (tmp_path / "again").mkdir()
        source = row.make(tmp_path / "again", stack)
        before = descriptors()
        with pytest.raises(KeyError, match="mine"), source:  # noqa: PT012 - leaving is what is tested
            next(iter(source))
            raise KeyError("mine")
        until(lambda: descriptors() <= before, seen=descriptors)

    def test_nothing_to_read_is_said_on_entry(
        self, row: Row, tmp_path: Path, stack: ExitStack
    ) -> None:
        source = some(row, "nothing")(tmp_path, stack)
        before = descriptors()
        with pytest.raises(SourceError) as raised:
            source.__enter__()
        assert "\n" not in str(raised.value)
        source.__exit__(None, None, None)
        assert descriptors() <= before

    def test_what_breaks_off_gives_its_frames_and_then_says_so(
        self, row: Row, tmp_path: Path, stack: ExitStack
    ) -> None:
        frames = []
        source = some(row, "breaks")(tmp_path, stack)
        with pytest.raises(SourceError) as raised, source:  # noqa: PT012 - some calls are to succeed
            for frame in source:
                frames.append(frame)  # noqa: PERF402 - those before the error count too
        assert frames
        assert "\n" not in str(raised.value)

    def test_what_waits_can_be_stopped_and_nothing_else(self, row: Row, source: Source) -> None:
        assert isinstance(source, Stoppable) == (row.waits is not None)

    def test_stopping_ends_the_wait(self, row: Row, tmp_path: Path, stack: ExitStack) -> None:
        source = some(row, "waits")(tmp_path, stack)
        assert isinstance(source, Stoppable)
        begun = threading.Event()
        errors: list[BaseException] = []

        def read() -> None:
            try:
                for _ in source:
                    begun.set()
            except SourceError as error:
                errors.append(error)

        with source:
            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            assert begun.wait(PATIENCE_S)
            source.stop()
            source.stop()
            reader.join(PATIENCE_S)
            assert not reader.is_alive()
        assert errors == []

    def test_what_is_stopped_before_it_is_read_ends_soon(
        self, row: Row, tmp_path: Path, stack: ExitStack
    ) -> None:
        source = some(row, "waits")(tmp_path, stack)
        assert isinstance(source, Stoppable)
        with source:
            source.stop()
            assert len(list(source)) < COUNT, "what had come already, at most"
