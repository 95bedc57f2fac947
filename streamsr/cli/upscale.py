"""``streamsr upscale``: video files and pictures, on this machine or a cluster."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from streamsr.cli.options import (
    engine_options,
    engine_taken,
    interlaced_option,
    key_values,
    scale_option,
    sink_option,
    source_option,
    taken,
    upscale_option,
)
from streamsr.cli.parameters import Address, Number, Seconds, Word
from streamsr.cli.progress import Display
from streamsr.cli.progress_json import ProgressLines
from streamsr.cli.reports import metrics_shown, stats_written
from streamsr.cli.streams import stdout_silenced
from streamsr.errors import SinkError, reason_of
from streamsr.jobs.options import FileOptions, target_size
from streamsr.model import CHOICES
from streamsr.options import (
    CODECS,
    LOSSLESS,
    MAX_DURATION_S,
    MAX_PIXELS,
    SEGMENT_S,
    DecodeOptions,
    Encoding,
    EngineChoice,
)
from xlsr_model.inputs import protected


@click.command()
@click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT..."
)
@sink_option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),  # a text: a path would lose the slash at its end
    metavar="FILE|DIR",
    help="DIR/ is made.",
)
@scale_option
@upscale_option(
    "--to", metavar="SIZE", help="1080p, 1440p, 2160p or WIDTHxHEIGHT instead of a scale."
)
@engine_options
@upscale_option(
    "--at-least",
    type=Number(0.001, 100_000),
    metavar="FPS",
    help="With --quality auto: frames a second to be made, whatever that costs in quality.  "
    "[default: the film's, if that can be]",
)
@sink_option("--codec", type=click.Choice(CODECS), default=CODECS[0], show_default=True)
@sink_option(
    "--crf", type=click.IntRange(0, 63), help="Quality, lower is better.  [default: by codec]"
)
@sink_option(
    "--preset",
    type=Word(),
    metavar="P",
    help="The encoder's speed, such as ultrafast or medium; a number for av1.",
)
@sink_option(
    "--pixel-format",
    type=Word(),
    default="auto",
    show_default=True,
    metavar="NAME|auto",
    help="FFmpeg's name, such as yuv420p, which every phone plays; auto keeps the film's.",
)
@sink_option(
    "--encoder",
    type=Word(),
    metavar="NAME",
    help="Any video encoder of FFmpeg, such as libvpx-vp9 or h264_nvenc, in place of --codec.",
)
@sink_option(
    "--encoder-option",
    "encoder_options",
    metavar="K=V",
    multiple=True,
    callback=key_values,
    help="For the encoder.",
)
@source_option(
    "--start",
    "start_s",
    type=Seconds(),
    default=0.0,
    metavar="T",
    help="Begin here: 90, 1:30 or 0:01:30.5.",
)
@source_option(
    "--duration", "duration_s", type=Seconds(), metavar="T", help="Stop after this long."
)
@sink_option("--overwrite", is_flag=True, help="Replace an existing output.")
@interlaced_option
@source_option(
    "--max-pixels",
    type=click.IntRange(1),
    default=MAX_PIXELS,
    help=f"Refuse larger pictures.  [default: {MAX_PIXELS}]",
)
@source_option(
    "--max-duration",
    "max_duration_s",
    type=Seconds(),
    default=MAX_DURATION_S,
    metavar="T",
    help="Refuse longer films.  [default: 100:00:00]",
)
@sink_option("--dry-run", is_flag=True, help="Open and check everything, write nothing.")
@sink_option(
    "--strict", is_flag=True, help="Refuse an output that cannot hold all streams as they are."
)
@sink_option(
    "--resume",
    is_flag=True,
    help="Work in segments, and go on where an earlier such run was stopped.",
)
@sink_option(
    "--segment",
    "segment_s",
    type=Seconds(),
    default=SEGMENT_S,
    show_default=True,
    metavar="T",
    help="With --resume: what a crash costs at most, in seconds of film.",
)
@sink_option(
    "--cluster",
    metavar="auto|ADDRESS",
    help="Work in segments on the Ray cluster there; auto starts one here.",
)
@sink_option(
    "--audit",
    is_flag=True,
    help="Compare the output with the input at the end; status 1 on any loss.",
)
@sink_option(
    "--keep-partial", is_flag=True, help="Keep what was done when a damaged input breaks off."
)
@sink_option(
    "--metrics",
    type=Address(),
    metavar="[HOST:]PORT",
    help="Serve the numbers to Prometheus there.",
)
@sink_option(
    "--progress-json",
    is_flag=True,
    help="For other programs: progress on standard output, a line of JSON each.",
)
def upscale(
    inputs: tuple[Path, ...],
    output: str,
    stats_json: Path | None,
    cluster: str | None,
    metrics: str | None,
    progress_json: bool,
    **asked: Any,  # click's values
) -> int:
    """Upscale video files and pictures; sound, subtitles, chapters and all else are copied.

    With several inputs, -o names a directory. When only Matroska holds all of a film, a .mkv is
    made instead; --strict refuses.
    """
    options = _options(asked, cluster)
    with _made_directory(output), protected(inputs):
        pairs = _targets(inputs, Path(output))
        return upscale_all(pairs, options, cluster, stats_json, metrics, progress_json)


def _options(asked: dict[str, Any], cluster: str | None) -> FileOptions:
    """Make the options of click's values. Raises UsageError, ModelError."""
    _check_together(asked, cluster)
    asked["resume"] |= cluster is not None  # a cluster works with its segments and its ledger
    return FileOptions(
        choice=engine_taken(asked),
        decode=replace(taken(DecodeOptions, asked), whole=asked["strict"]),
        encoding=taken(Encoding, asked),
        **asked,
    )


def options_of(words: Sequence[str]) -> FileOptions:
    """The options that ``upscale`` takes these words for. Raises UsageError, ModelError."""
    kinds = (FileOptions, DecodeOptions, Encoding, EngineChoice)
    names = {field.name for kind in kinds for field in fields(kind)}
    with upscale.make_context("upscale", [*words, "-o", "out", "in"]) as context:
        asked = {name: value for name, value in context.params.items() if name in names}
        return _options(asked, None)


def _check_together(asked: dict[str, Any], cluster: str | None) -> None:
    """Raise UsageError for options that exclude each other."""
    if asked["scale"] is not None and asked["to"] is not None:
        raise click.UsageError("--scale and --to exclude each other")
    if asked["at_least"] is not None and asked["quality"] != "auto":
        raise click.UsageError("--at-least chooses the quality: it goes with --quality auto alone")
    if asked["at_least"] is not None and asked["model"] not in CHOICES:
        raise click.UsageError(f"--at-least chooses among {', '.join(CHOICES)}, not of a --model")
    if asked["duration_s"] == 0:
        raise click.UsageError("--duration must be above 0")
    for word, given in (("--resume", asked["resume"]), ("--cluster", cluster is not None)):
        if given and asked["keep_partial"]:
            raise click.UsageError(f"{word} and --keep-partial exclude each other")
    if asked["to"] is not None:
        try:
            target_size(asked["to"], 16, 9)
        except ValueError as error:
            raise click.UsageError(f"--to: {error}") from None
    codec = asked["codec"]
    given = click.get_current_context().get_parameter_source("codec")
    if asked["encoder"] is not None and given is not ParameterSource.DEFAULT:
        raise click.UsageError("--codec and --encoder exclude each other")
    if codec in LOSSLESS and (asked["crf"] is not None or asked["preset"] is not None):
        raise click.UsageError(f"{codec} is lossless: it takes neither --crf nor --preset")


@contextlib.contextmanager
def _made_directory(output: str) -> Iterator[None]:
    """Make the directory where ``output`` ends with a slash; remove it when nothing came into it.
    Raises SinkError."""
    if not output.endswith(os.sep) or os.path.isdir(output):
        yield
        return
    try:
        os.makedirs(output)
    except OSError as error:
        raise SinkError(f"{output}: {reason_of(error)}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty
            os.rmdir(output)


def _targets(inputs: tuple[Path, ...], output: Path) -> list[tuple[Path, Path]]:
    """Pair each input with its output. In a directory an output keeps its input's name where
    possible. Raises UsageError."""
    if len(inputs) == 1 and not output.is_dir():
        return [(inputs[0], output)]
    if not output.is_dir():
        raise click.UsageError(
            f"-o must be a directory when there are several inputs: {output} is not one; "
            f"{output}/ would be made"
        )
    from streamsr.jobs.outputs import output_name

    pairs = [(source, output / output_name(source)) for source in inputs]
    names = [target.name for _, target in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise click.UsageError(f"several inputs would have the same output {twice[0]}")
    return pairs


def upscale_all(
    pairs: list[tuple[Path, Path]],
    options: FileOptions,
    cluster: str | None,
    stats_json: Path | None,
    metrics: str | None,
    progress_json: bool,
) -> int:
    """Upscale all pairs here or on the cluster; return the exit status. Raises the error of a
    single pair, and Cancelled."""
    from streamsr.jobs.files import FileJob, upscale_files
    from streamsr.stats import Recorder

    record = Recorder()
    together = cluster is not None and not options.dry_run
    with contextlib.ExitStack() as stack:
        stack.enter_context(stats_written(stats_json, record))
        display = stack.enter_context(
            Display(
                record,
                files=len(pairs),
                together=together,
                quiet=options.dry_run,
                tables=sys.stderr if progress_json else None,
            )
        )
        observer = ProgressLines(display) if progress_json else display
        progress = (lambda: display.now) if together else None
        stack.enter_context(metrics_shown(metrics, record, progress))
        job = stack.enter_context(FileJob(options, record=record))
        if cluster is not None and together:
            from streamsr.cluster.driver import upscale_on_cluster

            stack.enter_context(stdout_silenced())
            upscale_on_cluster(pairs, job, cluster, observer=observer)
        else:
            upscale_files(pairs, job, observer=observer)
        if len(pairs) == 1 and display.errors:
            raise display.errors[0]
    failed = len(display.errors)
    if len(pairs) > 1:
        done = "could be upscaled" if options.dry_run else "upscaled"
        print(f"{len(pairs) - failed} of {len(pairs)} files {done}", file=sys.stderr)
    return 1 if failed else 0
