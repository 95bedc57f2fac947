"""A stage between other programs: video in on standard input, out on standard output."""

import os
import sys
from contextlib import ExitStack
from fractions import Fraction

from streamsr.asked import UpscaleOptions
from streamsr.pipeline import Pipeline
from streamsr.sinks.y4m import Y4mSink
from streamsr.sources.y4m import Y4mFormat, Y4mSource, output_format
from streamsr.stats import Recorder


def raw_format(size: tuple[int, int], pixel_format: str, rate: str) -> Y4mFormat:
    """Of raw video, from the command line's words. Raises ValueError."""
    try:
        value = Fraction(rate)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a rate such as 25 or 30000/1001, got {rate!r}") from None
    if value <= 0:
        raise ValueError(f"expected a rate above 0, got {rate}")
    return Y4mFormat.raw(size, pixel_format, value)


def run_pipe(raw: Y4mFormat | None, options: UpscaleOptions, *, record: Recorder) -> None:
    """Upscale standard input, y4m or ``raw``, to y4m on standard output, every frame in full.

    Ends when the input does, or when nobody reads the output any more. Raises StreamsrError.
    """
    with ExitStack() as stack:
        source = stack.enter_context(Y4mSource(sys.stdin.buffer, format=raw, record=record))
        info = source.info
        upscaler = options.open(scale=options.scale, picture=(info.width, info.height), record=record)
        stack.enter_context(upscaler)
        width, height = info.width * upscaler.scale, info.height * upscaler.scale
        layout = output_format(source.format, upscaler.size or (width, height))
        try:
            sink = stack.enter_context(Y4mSink(sys.stdout.buffer, layout, record=record))
            with Pipeline(source, upscaler) as pipeline:
                pipeline.run(sink)
        except BrokenPipeError:
            # What Python still holds for the reader that left goes nowhere, or it would complain at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
