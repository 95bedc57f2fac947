"""``streamsr pipe``: video in on standard input, out on standard output."""

import contextlib
import re
import sys
from contextlib import ExitStack
from fractions import Fraction
from typing import BinaryIO, TextIO

from streamsr import interrupt
from streamsr.errors import SinkError, SourceError, quoted
from streamsr.jobs.options import UpscaleOptions
from streamsr.jobs.upscaler import open_upscaler
from streamsr.media.y4m import Y4mFormat, output_format
from streamsr.options import INTERLACED
from streamsr.pipeline import Pipeline
from streamsr.sinks.y4m import Y4mSink
from streamsr.sources.y4m import Y4mSource
from streamsr.stats import Recorder
from xlsr_model import system

LOOK_S = 0.2
"""Between two looks, while the sender pauses, at whether somebody still reads."""


def raw_format(size: tuple[int, int], pixel_format: str, rate: str) -> Y4mFormat:
    """Make the format of raw video from the command line's words. Raises ValueError."""
    # Fraction alone would take 1e999999999 too, and compute for days.
    if not re.fullmatch(r"[0-9]{1,10}(/0*[1-9][0-9]{0,9}|\.[0-9]{1,9})?", rate):
        raise ValueError(f"expected a rate such as 25 or 30000/1001, got {quoted(rate)}")
    if Fraction(rate) <= 0:
        raise ValueError(f"expected a rate above 0, got {rate}")
    return Y4mFormat.raw(size, pixel_format, Fraction(rate))


def run_pipe(
    raw: Y4mFormat | None,
    options: UpscaleOptions,
    *,
    interlaced: str = INTERLACED[0],
    record: Recorder,
) -> None:
    """Upscale standard input, y4m or ``raw``, to y4m on standard output, every frame in full.

    interlaced  what to do with interlaced frames, see `streamsr.options.INTERLACED`

    Ends when the input does, or when nobody reads the output any more. Raises StreamsrError.
    """
    if sys.stdin is None:
        raise SourceError("standard input: is closed")
    if sys.stdout is None:
        raise SinkError("standard output: is closed")
    # Without Python's buffers, so that a stopped run leaves no part of a frame in them.
    source = Y4mSource(_unbuffered(sys.stdin), format=raw, interlaced=interlaced, record=record)
    output = _unbuffered(sys.stdout)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), ExitStack() as stack:
        while not source.wait(LOOK_S):
            interrupt.check()
            _check_read(output)
        info = stack.enter_context(source).info
        picture = (info.width, info.height)
        upscaler = stack.enter_context(open_upscaler(options, record=record, picture=picture))
        size = upscaler.output_size(*picture)
        layout = output_format(source.format, size, fields=source.fields)
        sink = stack.enter_context(Y4mSink(output, layout, record=record))
        pipeline = stack.enter_context(Pipeline(source, upscaler))
        while True:
            interrupt.check()
            try:
                frame = pipeline.get(LOOK_S)
            except TimeoutError:
                _check_read(output)
                continue
            if frame is None:
                break
            sink.write(frame)
        sink.commit()


def _unbuffered(stream: TextIO) -> BinaryIO:
    """The stream behind Python's buffer."""
    raw: BinaryIO = getattr(stream.buffer, "raw", stream.buffer)
    return raw


def _check_read(output: BinaryIO) -> None:
    """Raise BrokenPipeError when the reader of the output has gone; else only the next frame would
    tell."""
    try:
        number = output.fileno()
    except OSError:  # not a file of the system's: a test's, or another program's
        return
    if system.reader_left(number):
        raise BrokenPipeError
