"""Opens a media file, with limits for untrusted ones, and finds its main video."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import av
from av.container.input import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from streamsr.errors import SourceError, reason_of
from xlsr_model.inputs import Input

MAX_STREAMS = 200
"""Each one costs memory in the demuxer, in the copy and in the output. Files with all languages
have 80."""

PATIENT = {"probesize": str(64 << 20), "analyzeduration": str(600 * 10**6)}
"""How far to look for a sound that begins later than the film, as a recording's second language
may: 64 MiB, 600 s in microseconds. FFmpeg keeps them in memory until they are read."""

REFUSED = {
    "tty": "text",
    "concat": "a playlist",
    "hls": "a playlist",
    "dash": "a playlist",
    "imf": "a playlist",
    "sdp": "a session description",
    "lavfi": "a filter",
    "image2": "a picture",
}
"""FFmpeg's formats that are not video files: text as ANSI art, single pictures, and files that name
other files to open."""


@contextlib.contextmanager
def source_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise the system's errors as SourceErrors that begin with ``path``."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"{path}: {reason_of(error)}") from error


@contextlib.contextmanager
def watched(path: str | os.PathLike[str]) -> Iterator[Callable[[], None]]:
    """Keep outputs from replacing this file meanwhile. Yields a function that raises SourceError
    when the file was changed."""
    with contextlib.ExitStack() as stack:
        with source_errors(path):
            original = stack.enter_context(Input(path))

        def unchanged() -> None:
            with source_errors(path):
                original.check()

        yield unchanged


def open_input(
    path: str | os.PathLike[str], *, reader: Callable[[], BinaryIO] | None = None
) -> InputContainer:
    """Open a local media file for reading. Raises SourceError, with the reason, when it is not one.

    reader  opens the file, on a machine that does not see the path
    """
    file = Path(path)
    try:
        if reader is None:
            _check_readable(file)
        container = _opened(file, reader)
        if container.format.name in ("mpegts", "mpeg") and _has_unknown_sound(container):
            container.close()
            container = _opened(file, reader, PATIENT)
    except av.error.InvalidDataError as error:
        raise SourceError(f"{file}: not a media file, or damaged") from error
    except (FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{file}: {reason_of(error)}") from error
    kind = container.format.name
    streams = len(container.streams)
    if kind in REFUSED:
        container.close()
        raise SourceError(f"{file}: not a video file ({REFUSED[kind]})")
    if streams > MAX_STREAMS:
        container.close()
        raise SourceError(f"{file}: has {streams} streams; at most {MAX_STREAMS} are taken")
    return container


def _opened(
    file: Path, reader: Callable[[], BinaryIO] | None, more: Mapping[str, str] | None = None
) -> InputContainer:
    # A local file must not make FFmpeg read from the network.
    options = {"protocol_whitelist": "file", **(more or {})}
    # Absolute: FFmpeg takes what is before a colon for a protocol.
    opened = reader() if reader else str(file.absolute())
    return av.open(opened, "r", options=options, metadata_errors="replace")


def _has_unknown_sound(container: InputContainer) -> bool:
    """Whether a sound is announced of which nothing was found yet."""
    return any(
        stream.codec_context is None or not stream.codec_context.sample_rate
        for stream in container.streams.audio
    )


def main_video(container: InputContainer) -> VideoStream | None:
    """The video that a player would show; None where there is none. A cover picture is not one."""
    videos = [
        stream
        for stream in container.streams.video
        if not stream.disposition & stream.disposition.attached_pic
    ]
    best = container.streams.best("video")
    return best if best in videos else next(iter(videos), None)


def clock(seconds: float) -> str:
    """Format seconds as H:MM:SS, which the options take."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _check_readable(file: Path) -> None:
    """Raise SourceError for what FFmpeg would read wrongly or wait for, OSError for no file."""
    if file.is_dir():
        raise SourceError(f"{file}: is a directory")
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe can be read only once, and may block
        raise SourceError(f"{file}: is not a file that can be read twice; save it to a disk first")
    if status.st_size == 0:
        raise SourceError(f"{file}: the file is empty")
