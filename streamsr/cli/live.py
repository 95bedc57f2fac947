"""The commands for pictures that do not wait: ``streamsr live`` and ``pipe``; and ``run``, any
command from a file."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamsr import interrupt
from streamsr.cli.options import (
    Address,
    Host,
    Number,
    Seconds,
    engine_options,
    metrics_shown,
    stats_written,
)
from streamsr.errors import Cancelled, one_line, quoted

if TYPE_CHECKING:
    from streamsr.stats import Recorder, Stats
    from streamsr.upscaler import Upscaler


LONGEST_BUDGET_MS = 3_600_000
"""An hour, in which nothing is late: threads wait so long at once, which systems limit."""


class Size(click.ParamType[tuple[int, int]]):
    """``640x360``."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", str(value), re.ASCII)
        if match is None:
            self.fail(f"{quoted(value)} is not a size; write 640x360", param, ctx)
        return int(match[1]), int(match[2])


@click.command()
@click.argument("source")
@click.option("--realtime", is_flag=True, help="Show a file at its own rate, as if it were live.")
@click.option("--size", type=Size(), metavar="WxH", help="Ask a camera for this size,")
@click.option("--rate", type=Number(1, 1000), help="and this many pictures a second.")
@click.option(
    "--budget-ms",
    type=Number(1, LONGEST_BUDGET_MS),
    default=100,
    show_default=True,
    help="Age at which a frame must be upscaled; less time means less by network.",
)
@click.option(
    "--scale", type=click.Choice(["2", "3", "4"]), help="How many times larger.  [default: 3]"
)
@click.option("--to", metavar="SIZE", help="1080p, 1440p, 2160p or WIDTHxHEIGHT as well.")
@click.option(
    "--preview", type=click.Choice(["window", "web", "none"]), default="none", show_default=True
)
@click.option(
    "--host", type=Host(), default="127.0.0.1", show_default=True, help="Serve the web page here,"
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="at this port."
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Record into a .mkv, .mp4 or .ts file.",
)
@click.option(
    "--publish",
    metavar="URL",
    help="Send to rtmp://, rtsp://, udp://, tcp:// or, as a camera, to camera:.",
)
@click.option("--duration", type=Seconds(), metavar="T", help="Stop after this long.")
@click.option("--overwrite", is_flag=True, help="Replace an existing recording.")
@click.option(
    "--metrics",
    type=Address(),
    metavar="[HOST:]PORT",
    help="Serve the numbers to Prometheus there.",
)
@engine_options
def live(
    budget_ms: float, stats_json: Path | None, metrics: str | None, **asked: Any
) -> None:  # Any: click's values
    """Upscale a camera, a stream, a file or test: as it comes, within a latency budget.

    SOURCE is a camera (0, /dev/video0), an address (rtsp://, rtmp://, http://, udp://, tcp://), a
    file, - for y4m on standard input, test:WIDTHxHEIGHT@RATE, or browser: for the camera of whoever
    opens the web page.
    """
    if asked["duration"] == 0:
        raise click.UsageError("--duration must be above 0")
    from streamsr.jobs.live import LiveOptions, run_live
    from streamsr.stats import Recorder

    scale = asked.pop("scale")
    options = LiveOptions(
        scale=None if scale is None else int(scale),
        budget_s=budget_ms / 1e3,
        duration_s=asked.pop("duration"),
        **asked,
    )
    record = Recorder()

    def begun(upscaler: "Upscaler") -> None:
        cores = f"{upscaler.engine.threads} thread{'s' if upscaler.engine.threads > 1 else ''}"
        line = (
            f"{options.source}: {upscaler.model.name} on {upscaler.engine.name}, {cores} "
            f"({upscaler.engine_reason})"
        )
        print(one_line(f"{line}; Ctrl-C stops"), file=sys.stderr)

    with stats_written(stats_json, record), metrics_shown(metrics, record):
        try:
            run_live(
                options,
                record=record,
                begun=begun,
                opened=lambda url: print(f"open {url}", file=sys.stderr),
            )
        except KeyboardInterrupt:  # how a live run ends; all is closed and kept
            pass
        finally:
            interrupt.over()
            _report(record)


@click.command()
@click.option("--size", type=Size(), metavar="WxH", help="Raw video instead of y4m: its size,")
@click.option(
    "--format",
    "pixel_format",
    metavar="F",
    default="yuv420p",
    show_default=True,
    help="its pixel format, such as yuv422p10le or rgb24,",
)
@click.option(
    "--rate", metavar="R", default="25", show_default=True, help="and its rate, such as 30000/1001."
)
@click.option(
    "--scale", type=click.Choice(["2", "3", "4"]), help="How many times larger.  [default: 3]"
)
@click.option(
    "--to", metavar="SIZE", help="1080p, 1440p, 2160p or WIDTHxHEIGHT instead of a scale."
)
@engine_options
def pipe(
    size: tuple[int, int] | None,
    pixel_format: str,
    rate: str,
    stats_json: Path | None,
    **asked: Any,
) -> None:  # Any: click's values
    """Upscale y4m or raw video from standard input to y4m on standard output.

    ffmpeg -i in.mp4 -f yuv4mpegpipe - | streamsr pipe | ffmpeg -i - out.mp4
    """
    from streamsr.jobs.options import UpscaleOptions
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
    scale = asked.pop("scale")
    record = Recorder()
    with stats_written(stats_json, record):
        options = UpscaleOptions(scale=None if scale is None else int(scale), **asked)
        try:
            run_pipe(layout, options, record=record)
        except KeyboardInterrupt:  # what was written has been read: nothing is removed
            raise Cancelled("stopped") from None


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION]...")
@click.pass_context
def run(context: click.Context, file: Path, more: tuple[str, ...]) -> Any:  # Any: click's
    """Run a pipeline from a TOML FILE; further options of its command replace those in it."""
    from streamsr.cli.pipeline_file import read_pipeline

    assert context.parent is not None
    group = context.parent.command
    assert isinstance(group, click.Group)
    command, words = read_pipeline(
        file, {name: group.commands[name] for name in ("upscale", "live", "pipe")}
    )
    return command.main(
        [*more, *words], prog_name=f"streamsr {command.name}", standalone_mode=False
    )


def _report(record: "Recorder") -> None:
    """The last line: what happened to the frames."""
    stats: Stats = record.snapshot()
    f = stats.frames
    fates = ", ".join(
        f"{f[fate]} {fate}"
        for fate in ("network", "reused", "partial", "resized", "dropped")
        if f[fate]
    )
    line = f"{f['in']} frames in, {f['out']} out: {fates or 'none'}"
    if stats.live is not None and (ages := stats.live.stages_ms.get("upscaled")):
        line += (
            f"; upscaled at an age of {ages['p50']} ms, 99 % within {ages['p99']} ms, "
            f"{stats.live.late} late"
        )
    print(line, file=sys.stderr)


COMMANDS = (live, pipe, run)
