"""Turns the errors of FFmpeg and of the system into SinkErrors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from av.error import FFmpegError

from streamsr.errors import SinkError, reason_of


@contextmanager
def sink_errors(name: str | os.PathLike[str]) -> Iterator[None]:
    """Raise errors of FFmpeg and of the system as SinkErrors of one line that begins with
    ``name``."""
    try:
        yield
    except (FFmpegError, OSError) as error:
        raise SinkError(f"{name}: {reason_of(error)}") from error
