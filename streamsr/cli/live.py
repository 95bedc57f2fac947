"""``streamsr live``: a live source within a latency budget."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamsr import interrupt
from streamsr.cli.errors import tellable
from streamsr.cli.options import (
    engine_options,
    engine_taken,
    interlaced_option,
    scale_option,
    sink_option,
    source_option,
    upscale_option,
)
from streamsr.cli.parameters import Address, Host, Number, Seconds, Size
from streamsr.cli.progress import described
from streamsr.cli.reports import metrics_shown, stats_written
from streamsr.errors import one_line
from streamsr.jobs.options import LiveOptions
from streamsr.options import BUDGET_S

if TYPE_CHECKING:
    from streamsr.stats import Recorder, Stats
    from streamsr.upscaler import Upscaler

LONGEST_BUDGET_MS = 3_600_000
"""An hour, in which nothing is late. Threads wait that long at once, which systems limit."""


@click.command()
@click.argument("source")
@source_option("--realtime", is_flag=True, help="Show a file at its own rate, as if it were live.")
@source_option("--size", type=Size(), metavar="WxH", help="Ask a camera for this size,")
@source_option("--rate", type=Number(1, 1000), help="and this many pictures a second.")
@source_option(
    "--microphone", metavar="NAME", help="Record a camera's sound from here: default, hw:1."
)
@source_option("--sound/--no-sound", default=True, help="Keep the source's sound.  [default: yes]")
@interlaced_option
@upscale_option(
    "--budget-ms",
    type=Number(1, LONGEST_BUDGET_MS),
    default=round(BUDGET_S * 1e3),
    show_default=True,
    help="Age at which a frame must be upscaled; less time means less by network.",
)
@scale_option
@upscale_option("--to", metavar="SIZE", help="1080p, 1440p, 2160p or WIDTHxHEIGHT as well.")
@sink_option(
    "--preview", type=click.Choice(["window", "web", "none"]), default="none", show_default=True
)
@sink_option(
    "--host", type=Host(), default="127.0.0.1", show_default=True, help="Serve the web page here,"
)
@sink_option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="at this port."
)
@sink_option(
    "--record",
    "recording",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Record into a .mkv, .mp4 or .ts file.",
)
@sink_option(
    "--publish",
    metavar="URL",
    help="Send to rtmp://, rtsp://, udp://, tcp://, playlist.m3u8 (HLS) or, as a camera, camera:.",
)
@source_option(
    "--duration", "duration_s", type=Seconds(), metavar="T", help="Stop after this long."
)
@sink_option("--overwrite", is_flag=True, help="Replace an existing recording or playlist.")
@sink_option(
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
    if asked["duration_s"] == 0:
        raise click.UsageError("--duration must be above 0")
    with interrupt.stops_here():  # the usual end of a live run; everything is closed and kept
        from streamsr.jobs.live import run_live
        from streamsr.stats import Recorder

        options = LiveOptions(choice=engine_taken(asked), budget_s=budget_ms / 1e3, **asked)
        record = Recorder()

        def begun(upscaler: "Upscaler") -> None:
            kept = options.recording is not None or options.publish is not None
            sound = f"; {record.sound_state}" if kept else ""
            line = f"{tellable(options.source)}: {described(upscaler)}{sound}; Ctrl-C stops"
            print(one_line(line), file=sys.stderr)

        with stats_written(stats_json, record), metrics_shown(metrics, record), reported(record):
            run_live(
                options,
                record=record,
                begun=begun,
                opened=lambda url: print(f"open {url}", file=sys.stderr),
                noted=lambda line: print(line, file=sys.stderr),
            )


@contextlib.contextmanager
def reported(record: "Recorder") -> Iterator[None]:
    """Print the last line at the end of the block."""
    try:
        yield
    finally:
        _report(record)


def _report(record: "Recorder") -> None:
    """Print the last line: what happened to the frames."""
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
    if stats.sound is not None:
        line += f"; {stats.sound['written']} of {stats.sound['in']} packets of sound written"
    print(line, file=sys.stderr)
