"""``streamsr pipe``: a stage between other programs."""

import sys
from pathlib import Path
from typing import Any

import click

from streamsr.cli.options import (
    engine_options,
    engine_taken,
    interlaced_option,
    scale_option,
    source_option,
    upscale_option,
)
from streamsr.cli.parameters import Size
from streamsr.cli.reports import stats_written
from streamsr.errors import Cancelled
from streamsr.jobs.options import UpscaleOptions


@click.command()
@source_option("--size", type=Size(), metavar="WxH", help="Raw video instead of y4m: its size,")
@source_option(
    "--format",
    "pixel_format",
    metavar="F",
    default="yuv420p",
    show_default=True,
    help="its pixel format, such as yuv422p10le or rgb24,",
)
@source_option(
    "--rate", metavar="R", default="25", show_default=True, help="and its rate, such as 30000/1001."
)
@interlaced_option
@scale_option
@upscale_option(
    "--to", metavar="SIZE", help="1080p, 1440p, 2160p or WIDTHxHEIGHT instead of a scale."
)
@engine_options
def pipe(
    size: tuple[int, int] | None,
    pixel_format: str,
    rate: str,
    interlaced: str,
    stats_json: Path | None,
    **asked: Any,
) -> None:  # Any: click's values
    """Upscale y4m or raw video from standard input to y4m on standard output.

    ffmpeg -i in.mp4 -f yuv4mpegpipe - | streamsr pipe | ffmpeg -i - out.mp4
    """
    from streamsr.jobs.pipe import raw_format, run_pipe
    from streamsr.stats import Recorder

    if any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise click.UsageError(
            "pipe reads video from another program and writes it to one; see --help"
        )
    try:
        layout = None if size is None else raw_format(size, pixel_format, rate)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    options = UpscaleOptions(choice=engine_taken(asked), **asked)
    record = Recorder()
    with stats_written(stats_json, record):
        try:
            run_pipe(layout, options, interlaced=interlaced, record=record)
        except KeyboardInterrupt:  # what was written has been read: nothing is removed
            raise Cancelled("stopped") from None
