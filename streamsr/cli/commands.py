"""The ``streamsr`` command. Heavy imports stand inside the commands, so that help answers at
once."""

import contextlib
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from streamsr import __version__, interrupt
from streamsr.cli.compare import compare
from streamsr.cli.desk import desk, look, watch
from streamsr.cli.errors import status_of
from streamsr.cli.live import live
from streamsr.cli.pipe import pipe
from streamsr.cli.pipeline_file import run
from streamsr.cli.progress import print_audit
from streamsr.cli.reports import text_written
from streamsr.cli.streams import flushed, streams_kept
from streamsr.cli.upscale import upscale

NO_HOME = "/nonexistent"
"""Debian's home for users who have none (policy 9.2.3): nothing is ever found or made there."""


def main() -> NoReturn:
    """Entry point. Exit status: 0 done, 1 an error in one line, 2 wrong usage, 130 Ctrl-C."""
    with contextlib.suppress(ValueError):
        # Raised outside the main thread: an embedding program owns the signals.
        interrupt.heard()
    try:
        Path.home()
    except RuntimeError:
        # The user has no name, as in some containers: several libraries cannot be imported then.
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
    if "numpy" in sys.modules:
        # Numpy has imported ctypes; without it no native module of others was loaded.
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


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="IN")
@click.argument("target", type=click.Path(path_type=Path), metavar="OUT")
def audit(source: Path, target: Path) -> None:
    """Compare an upscaled file with its input: times, sound, subtitles, chapters, tags, colours.

    One line for each thing: kept, note (different, but nothing lost) or LOST. Status 1 on any loss.
    """
    from streamsr.audit.compare import audit

    print_audit(target, audit(source, target), sys.stdout)


@click.command()
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


@click.command()
@click.argument("what", required=False, metavar="[FILE|MODEL]")
def info(what: str | None) -> None:
    """Show this machine, its engines and models, or what a media file or model holds."""
    from streamsr.cli.info import describe

    for line in describe(what):
        click.echo(line)


for command in (upscale, compare, audit, bench, desk, info, live, look, pipe, run, watch):
    cli.add_command(command)
