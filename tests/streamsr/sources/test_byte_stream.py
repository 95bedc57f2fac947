"""Bytes that come late, in pieces or not at all."""

import gzip
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from streamsr.errors import SourceError
from streamsr.pipeline import Pipeline
from streamsr.sources import Stoppable
from streamsr.sources.byte_stream import ByteStream, Stopped
from streamsr.sources.y4m import Y4mSource
from streamsr.upscaler import Upscaler

HEADER = b"YUV4MPEG2 W64 H48 F25:1 Cmono\n"
FRAME = b"FRAME\n" + bytes(range(256)) * 12
CONTENT = HEADER + 3 * FRAME


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as open_files:
        yield open_files


def of_a_pipe(_folder: Path, *, buffering: int = -1) -> BinaryIO:
    read, write = os.pipe()
    with open(write, "wb") as sender:
        sender.write(CONTENT)
    return open(read, "rb", buffering=buffering)  # type: ignore[return-value]  # raw or buffered


def of_a_socket(_folder: Path) -> BinaryIO:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(CONTENT)
    with ours:
        return ours.makefile("rb")


def of_a_file(folder: Path, *, buffering: int = -1) -> BinaryIO:
    (folder / "in.y4m").write_bytes(CONTENT)
    return open(folder / "in.y4m", "rb", buffering=buffering)  # type: ignore[return-value]  # as above


def of_gzip(folder: Path) -> BinaryIO:
    with gzip.open(folder / "in.gz", "wb") as file:
        file.write(CONTENT)
    return gzip.open(folder / "in.gz")  # type: ignore[return-value]  # a BufferedIOBase


KINDS: dict[str, Callable[[Path], BinaryIO]] = {
    "pipe": of_a_pipe,
    "raw pipe": lambda folder: of_a_pipe(folder, buffering=0),
    "socket": of_a_socket,
    "file": of_a_file,
    "raw file": lambda folder: of_a_file(folder, buffering=0),
    "gzip": of_gzip,
    "memory": lambda _: io.BytesIO(CONTENT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_stream_gives_the_same_frames(tmp_path: Path, kind: str) -> None:
    with KINDS[kind](tmp_path) as stream, Y4mSource(stream) as source:
        frames = [frame.rgb.copy() for frame in source]
    with Y4mSource(io.BytesIO(CONTENT)) as source:
        expected = [frame.rgb.copy() for frame in source]
    assert len(frames) == 3
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_read_before_is_not_lost(tmp_path: Path, kind: str) -> None:
    """The program around has looked at the stream; Python has read ahead for it."""
    with KINDS[kind](tmp_path) as stream:
        assert stream.read(4) == b"YUV4"
        read = ByteStream(stream)
        assert read.line(1024) == HEADER[4:]
        rest = bytearray(2 * len(CONTENT))
        count = read.fill(memoryview(rest))
    assert rest[:count] == 3 * FRAME


def test_a_line_may_come_in_pieces_and_has_a_limit(stack: ExitStack) -> None:
    ours, theirs = socket.socketpair()
    stack.enter_context(ours)
    with ours.makefile("rb") as stream, theirs:
        read = ByteStream(stream)
        theirs.sendall(b"ab")
        with pytest.raises(TimeoutError):
            read.line(8, end_s=time.monotonic() + 0.1)
        theirs.sendall(b"c\n12345678more")
        assert read.line(8) == b"abc\n"
        assert read.line(8) == b"12345678"


@pytest.fixture
def paused(stack: ExitStack) -> Callable[[bytes], BinaryIO]:
    """A stream that gives this and then nothing, without an end."""

    def made(content: bytes) -> BinaryIO:
        read, write = os.pipe()
        stack.callback(os.close, write)
        os.write(write, content)
        return stack.enter_context(open(read, "rb"))

    return made


PARTS = {
    "nothing": b"",
    "half a header": HEADER[:9],
    "a header": HEADER,
    "a frame": HEADER + FRAME,
    "half a line": HEADER + FRAME + b"FRA",
    "half a frame": HEADER + FRAME + FRAME[:1000],
}


@pytest.mark.parametrize("part", PARTS)
def test_stop_ends_every_wait(paused: Callable[[bytes], BinaryIO], part: str) -> None:
    """Called while the reader waits, or just before: both end it."""
    source = Y4mSource(paused(PARTS[part]))
    assert isinstance(source, Stoppable)
    ended: list[object] = []

    def work() -> None:
        try:
            with source:
                ended.append(sum(1 for _ in source))
        except SourceError as error:
            ended.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.1)
    source.stop()
    thread.join(20)
    assert not thread.is_alive()
    whole = (len(PARTS[part]) - len(HEADER)) // len(FRAME)
    assert ended == ["standard input: stopped before its header came" if whole < 0 else whole]


@pytest.mark.parametrize("part", ["a header", "a frame", "half a frame"])
def test_a_pipeline_can_be_left_while_the_sender_pauses(
    paused: Callable[[bytes], BinaryIO], model: Path, part: str
) -> None:
    with Upscaler(model, engine="litert", threads=1) as upscaler:
        pipeline = Pipeline(Y4mSource(paused(PARTS[part])), upscaler)
        with pipeline, pytest.raises(TimeoutError):
            list(iter(lambda: pipeline.get(0.5), None))


def test_the_header_is_waited_for_as_long_as_asked(paused: Callable[[bytes], BinaryIO]) -> None:
    source = Y4mSource(paused(HEADER[:9]))
    assert not source.wait(0.05)
    assert not source.wait(0.0)
    assert Y4mSource(paused(HEADER)).wait(20)


def test_after_stop_nothing_is_read() -> None:
    read = ByteStream(io.BytesIO(CONTENT))
    read.stop()
    with pytest.raises(Stopped):
        read.line(1024)


def test_a_broken_archive_is_a_source_error(tmp_path: Path) -> None:
    whole = gzip.compress(CONTENT)
    (tmp_path / "cut.gz").write_bytes(whole[:-12])
    with (
        gzip.open(tmp_path / "cut.gz") as stream,
        pytest.raises(SourceError),
        Y4mSource(stream) as source,
    ):  # type: ignore[arg-type]
        list(source)
