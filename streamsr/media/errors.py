"""What FFmpeg and the system say of writing, as our errors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from av.error import FFmpegError

from streamsr.errors import SinkError, reason_of


@contextmanager
def sink_errors(name: str | os.PathLike[str]) -> Iterator[None]:
    """Within it they are SinkErrors of one line, which begin with the ``name`` of the output."""
    try:
        yield
    except (FFmpegError, OSError) as error:
        raise SinkError(f"{name}: {reason_of(error)}") from error
