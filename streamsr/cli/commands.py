"""The ``streamsr`` command. Heavy imports stand inside the commands, so that help answers at
once."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from streamsr import __version__, interrupt
from streamsr.cli import live
from streamsr.cli.errors import line_of, shown, status_of
from streamsr.cli.options import (
    Address,
    Seconds,
    Word,
    engine_options,
    metrics_shown,
    stats_written,
    text_written,
)
from streamsr.cli.streams import flushed, streams_kept
from streamsr.errors import Cancelled, SinkError, one_line
from xlsr_model.inputs import protected

if TYPE_CHECKING:
    from streamsr.audit.check import Check
    from streamsr.frame import Frame
    from streamsr.jobs.files import Options
    from streamsr.stats import Recorder
    from streamsr.upscaler import Upscaler

CODECS = ("h264", "hevc", "av1", "ffv1")  # as in streamsr.media.encode
NO_HOME = "/nonexistent"
"""The home of users who have none, by Debian's policy (9.2.3): nothing is ever found or made
there."""


def main() -> NoReturn:
    """Entry point. Exit status: 0 done, 1 an error in one line, 2 wrong usage, 130 Ctrl-C."""
    with contextlib.suppress(
        ValueError
    ):  # not the main thread: an embedding program owns the signals
        interrupt.heard()
    try:
        Path.home()
    except (
        RuntimeError
    ):  # a container's process without a name: several libraries cannot be imported then
        os.environ["HOME"] = NO_HOME
    with streams_kept():
        status = flushed(status_of(_command))
    interrupt.over()
    _forget_interrupts()
    sys.exit(status)


def _forget_interrupts() -> None:
    """Have Python exit with our status.

    Where a Ctrl-C struck code that a native module ran while it was loaded, Python would end itself
    by SIGINT instead, whoever handled it. Running anything in that way forgets it (CPython's
    pythonrun.c).
    """
    if (
        "numpy" in sys.modules
    ):  # which has imported ctypes; without it no native module of others was loaded
        import ctypes

        ctypes.pythonapi.PyRun_SimpleString(b"")


def _command() -> int:
    # Click handles usage errors itself when it may, but would turn Ctrl-C into status 1.
    status = cli.main(prog_name="streamsr", standalone_mode=False)
    return status if isinstance(status, int) else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="streamsr")
def cli() -> None:
    """Upscale video in real time on a CPU or an NPU."""


@cli.command()
@click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT..."
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE|DIR")
@click.option(
    "--scale", type=click.Choice(["2", "3", "4"]), help="How many times larger.  [default: 3]"
)
@click.option(
    "--to", metavar="SIZE", help="1080p, 1440p, 2160p or WIDTHxHEIGHT instead of a scale."
)
@engine_options
@click.option("--codec", type=click.Choice(CODECS), default="h264", show_default=True)
@click.option(
    "--crf", type=click.IntRange(0, 63), help="Quality, lower is better.  [default: by codec]"
)
@click.option(
    "--preset",
    type=Word(),
    metavar="P",
    help="The encoder's speed, such as ultrafast or medium; a number for av1.",
)
@click.option(
    "--start", type=Seconds(), default=0.0, metavar="T", help="Begin here: 90, 1:30 or 0:01:30.5."
)
@click.option("--duration", type=Seconds(), metavar="T", help="Stop after this long.")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@click.option(
    "--interlaced",
    type=click.Choice(("deinterlace", "keep", "error")),
    default="deinterlace",
    show_default=True,
    help="What to do with an interlaced film.",
)  # as in streamsr.sources.deinterlace
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=1 << 26,
    help="Refuse larger pictures.  [default: 67108864]",
)
@click.option(
    "--max-duration",
    "max_duration_s",
    type=Seconds(),
    default=360000.0,
    metavar="T",
    help="Refuse longer films.  [default: 100:00:00]",
)
@click.option("--dry-run", is_flag=True, help="Open and check everything, write nothing.")
@click.option(
    "--strict", is_flag=True, help="Refuse an output that cannot hold all streams as they are."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Work in segments, and go on where an earlier such run was stopped.",
)
@click.option(
    "--segment",
    "segment_s",
    type=Seconds(),
    default=10.0,
    show_default=True,
    metavar="T",
    help="With --resume: what a crash costs at most, in seconds of film.",
)
@click.option(
    "--cluster",
    metavar="auto|ADDRESS",
    help="Work in segments on the Ray cluster there; auto starts one here.",
)
@click.option(
    "--audit",
    is_flag=True,
    help="Compare the output with the input at the end; status 1 on any loss.",
)
@click.option(
    "--keep-partial", is_flag=True, help="Keep what was done when a damaged input breaks off."
)
@click.option(
    "--metrics",
    type=Address(),
    metavar="[HOST:]PORT",
    help="Serve the numbers to Prometheus there.",
)
def upscale(
    inputs: tuple[Path, ...],
    output: Path,
    stats_json: Path | None,
    cluster: str | None,
    metrics: str | None,
    **asked: Any,
) -> int:  # Any: click's values
    """Upscale video files and pictures; sound, subtitles, chapters and all else are copied.

    With several inputs, -o names a directory. When only Matroska holds all of a film, a .mkv is
    made instead; --strict refuses.
    """
    if asked["scale"] and asked["to"] is not None:
        raise click.UsageError("--scale and --to exclude each other")
    if asked["duration"] == 0:
        raise click.UsageError("--duration must be above 0")
    if asked["resume"] and asked["keep_partial"]:
        raise click.UsageError("--resume and --keep-partial exclude each other")
    if cluster is not None:
        if asked["keep_partial"]:
            raise click.UsageError("--cluster and --keep-partial exclude each other")
        asked["resume"] = True  # its segments and its ledger
    from streamsr.jobs.files import Options
    from streamsr.jobs.options import target_size
    from streamsr.media import encode

    if asked["to"] is not None:
        try:
            target_size(asked["to"], 16, 9)
        except ValueError as error:
            raise click.UsageError(f"--to: {error}") from None
    if encode.CODECS[asked["codec"]].crf is None and (asked["crf"] is not None or asked["preset"]):
        raise click.UsageError(f"{asked['codec']} is lossless: it takes neither --crf nor --preset")
    options = Options(
        scale=None
        if asked.pop("scale") is None
        else int(click.get_current_context().params["scale"]),
        start_s=asked.pop("start"),
        duration_s=asked.pop("duration"),
        **asked,
    )
    pairs = _targets(inputs, output)
    with protected(inputs):
        if cluster is not None and not options.dry_run:
            from streamsr.cli.cluster import upscale_all

            return upscale_all(pairs, options, cluster, stats_json, metrics, _report)
        return _upscale_all(pairs, options, stats_json, metrics)


def _targets(inputs: tuple[Path, ...], output: Path) -> list[tuple[Path, Path]]:
    """Each input with its output. Inside a directory an output keeps its input's name as far as it
    can."""
    if len(inputs) == 1 and not output.is_dir():
        return [(inputs[0], output)]
    if not output.is_dir():
        raise click.UsageError(f"{len(inputs)} inputs need a directory for -o; {output} is none")
    from streamsr.jobs.files import output_name

    pairs = [(source, output / output_name(source)) for source in inputs]
    names = [target.name for _, target in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise click.UsageError(f"several inputs would become {twice[0]}")
    return pairs


def _upscale_all(
    pairs: list[tuple[Path, Path]], options: "Options", stats_json: Path | None, metrics: str | None
) -> int:
    from streamsr.jobs.files import Job
    from streamsr.stats import Recorder

    record = Recorder()
    failed = 0
    with (
        Job(options, record=record) as job,
        stats_written(stats_json, record),
        metrics_shown(metrics, record),
    ):
        for source, target in pairs:
            try:
                target = job.place(source, target)
                with _Display(source, target, record, quiet=options.dry_run) as display:
                    checks = job.run(source, target, begun=display.begun)
                _report(target, checks)
            except Exception as error:
                interrupt.check()  # it may be what the signal cut short
                if len(pairs) == 1 or isinstance(error, Cancelled):
                    raise
                failed += 1
                print(shown(line_of(error)), file=sys.stderr)
    if len(pairs) > 1:
        done = "could be upscaled" if options.dry_run else "upscaled"
        print(f"{len(pairs) - failed} of {len(pairs)} files {done}", file=sys.stderr)
    return 1 if failed else 0


def _report(target: Path, checks: "list[Check]") -> None:
    """Print what an audit found. Raises SinkError on a loss, and when that cannot be told."""
    from streamsr.audit.check import lost, table

    try:
        for line in table(checks):
            print(line)
    except BrokenPipeError:  # who reads it has seen enough; the status says the rest
        pass
    except OSError as error:
        raise SinkError(
            f"{target}: is complete, but not its audit: standard output: {error.strerror}"
        ) from error
    if gone := lost(checks):
        raise SinkError(
            f"{target}: {len(gone)} of {len(checks)} checks failed: "
            f"{', '.join(c.what for c in gone)}"
        )


class _Display:
    """A progress bar with rate and time left on a terminal; one line at the start and one at the
    end elsewhere."""

    def __init__(
        self, source: Path, target: Path, record: "Recorder", *, quiet: bool = False
    ) -> None:
        self._source, self._target, self._record = source, target, record
        self._quiet = quiet
        self._stack = contextlib.ExitStack()
        self._before = record.snapshot()

    def __enter__(self) -> "_Display":
        return self

    def begun(self, upscaler: "Upscaler", frames: int | None) -> "Callable[[Frame], None] | None":
        engine = upscaler.engine
        cores = f"{engine.threads} thread{'s' if engine.threads > 1 else ''}"
        line = (
            f"{self._source} -> {self._target}: {upscaler.model.name} on {engine.name}, {cores} "
            f"({upscaler.engine_reason})"
        )
        print(one_line(line), file=sys.stderr)
        if self._quiet or not sys.stderr.isatty():
            return None
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._stack.enter_context(progress)
        task = progress.add_task(self._target.name, total=frames, rate="")

        def advance(_frame: "Frame") -> None:
            speed = progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:.1f} fps" if speed else "")

        return advance

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self._stack.close()
        if kind is not None or self._quiet:
            return
        now, before = self._record.snapshot(), self._before
        frames = now.frames["out"] - before.frames["out"]
        wall = now.seconds["wall"] - before.seconds["wall"]
        damaged = now.frames["damaged"] - before.frames["damaged"]
        note = f", {damaged} damaged and left out" if damaged else ""
        line = f"{self._target}: {frames} frame{'s' if frames != 1 else ''} in {wall:.1f} s"
        print(one_line(f"{line} ({frames / wall:.1f} fps){note}"), file=sys.stderr)


@cli.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="IN")
@click.argument("target", type=click.Path(path_type=Path), metavar="OUT")
def audit(source: Path, target: Path) -> None:
    """Compare an upscaled file with its input: times, sound, subtitles, chapters, tags, colours.

    One line for each thing: kept, note (different, but nothing lost) or LOST. Status 1 on any loss.
    """
    from streamsr.audit.compare import audit

    _report(target, audit(source, target))


@cli.command()
@click.option(
    "--clip",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A video.  [default: one is made]",
)
@click.option("--model", metavar="NAME|FILE", default="auto", help="As in upscale.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the numbers.",
)
def bench(clip: Path | None, model: str, json_file: Path | None) -> None:
    """Measure this machine: every engine, every stage, the whole command. Takes about a minute."""
    from streamsr.bench import measure
    from streamsr.model import find_model

    with contextlib.ExitStack() as stack:
        write = None if json_file is None else stack.enter_context(text_written(json_file))
        report = measure(clip, model=find_model(model))
        if write is not None:  # first: whoever reads the lines may leave
            write(report.json())
        for line in report.lines():
            click.echo(line)


@cli.command()
@click.argument("what", required=False, metavar="[FILE|MODEL]")
def info(what: str | None) -> None:
    """Show this machine, its engines and models, or what a media file or model holds."""
    from streamsr.cli.info import describe

    for line in describe(what):
        click.echo(line)


for command in live.COMMANDS:
    cli.add_command(command)

if __name__ == "__main__":
    main()
