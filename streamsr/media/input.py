"""Opening a media file without trusting it, and finding the film in it."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import av
from av.container.input import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from streamsr.errors import SourceError
from xlsr_model.inputs import Input

MAX_STREAMS = 200
"""Each one costs memory in the demuxer, in the copy and in the output; films with all languages
have 80."""

NO_FILMS = {
    "tty": "text",
    "concat": "a play list",
    "hls": "a play list",
    "dash": "a play list",
    "imf": "a play list",
    "sdp": "a session description",
    "lavfi": "a filter",
    "image2": "a picture",
}
"""Formats that are read as ANSI art, or that name other files to open."""


@contextlib.contextmanager
def source_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the system says of reading ``path`` is a SourceError."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error


@contextlib.contextmanager
def watched(path: str | os.PathLike[str]) -> Iterator[Callable[[], None]]:
    """Within it no output may take the place of this file; what it yields raises SourceError when
    it was changed."""
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
    """Open a local media file for reading. Raises SourceError with the reason in words.

    reader  what opens it instead, where this machine does not see the path
    """
    file = Path(path)
    try:
        if reader is None and file.is_dir():
            raise SourceError(f"{file}: is a directory")
        if reader is None:
            status = file.stat()
            if not stat.S_ISREG(
                status.st_mode
            ):  # a pipe: opening it would wait, and it cannot be read twice
                raise SourceError(
                    f"{file}: is not a file that can be read twice; save it to a disk first"
                )
            if status.st_size == 0:
                raise SourceError(f"{file}: the file is empty")
        # A local file may not make FFmpeg fetch anything from elsewhere.
        options = {"protocol_whitelist": "file"}
        # Absolute, because FFmpeg takes what stands before a colon for a protocol.
        opened = reader() if reader else str(file.absolute())
        container = av.open(opened, "r", options=options, metadata_errors="replace")
    except FFmpegError as error:
        raise SourceError(f"{file}: {_reason(error)}") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: {getattr(error, 'strerror', None) or error}") from error
    kind, streams = container.format.name, len(container.streams)
    if kind in NO_FILMS or streams > MAX_STREAMS:
        container.close()
        reason = (
            f"not a video file ({NO_FILMS[kind]})" if kind in NO_FILMS else f"has {streams} streams"
        )
        raise SourceError(
            f"{file}: {reason}" + ("" if kind in NO_FILMS else f"; at most {MAX_STREAMS} are taken")
        )
    return container


def main_video(container: InputContainer) -> VideoStream | None:
    """The stream a player would show, None when there is only sound (a cover picture is not a
    video)."""
    films = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    best = container.streams.best("video")
    return best if best in films else (films[0] if films else None)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, as options take them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _reason(error: FFmpegError) -> str:
    """FFmpeg's reason, in words a user knows."""
    if isinstance(error, av.error.InvalidDataError):
        return "not a media file, or damaged"
    return str(getattr(error, "strerror", None) or error).split("\n")[0]
