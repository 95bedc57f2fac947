"""Options of the commands that upscale: how they are declared, and those that all of them have.

The names of their values are the fields of `streamsr.jobs.options`.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from streamsr.cli.parameters import Number, TableOption
from streamsr.cli.pipeline_file import write_pipeline
from streamsr.errors import ModelError, quoted
from streamsr.options import ENGINES, INTERLACED, QUALITIES, SCALES, EngineChoice
from xlsr_model import weights

MOST_THREADS = 1024
"""More than any machine has cores. Each costs memory and a system thread, used or not."""

MOST_FRAMES_A_CALL = 64
"""Frames of a batch, which all wait in memory; NPUs gain nothing beyond four or eight."""

Options = TypeVar("Options")
Command = Callable[..., Any]
"""A function that click calls, with values of any type."""


def _option(table: str, *names: str, **attributes: Any) -> Callable[[Command], Command]:
    return click.option(*names, cls=TableOption, table=table, **attributes)


def _scale(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    return None if value is None else int(value)


source_option = functools.partial(_option, "source")
upscale_option = functools.partial(_option, "upscale")
sink_option = functools.partial(_option, "sink")
scale_option = upscale_option(
    "--scale",
    type=click.Choice([str(scale) for scale in SCALES]),
    callback=_scale,
    help="How many times larger.  [default: 3]",
)
interlaced_option = source_option(
    "--interlaced",
    type=click.Choice(INTERLACED),
    default=INTERLACED[0],
    show_default=True,
    help="What to do with interlaced frames; force: all are, whatever they say.",
)


def taken(kind: type[Options], values: dict[str, Any]) -> Options:
    """Make a dataclass of this kind from those of click's values that are its fields, and remove
    them from ``values``."""
    names = {field.name for field in fields(kind)} & values.keys()  # type: ignore[arg-type]  # any dataclass
    return kind(**{name: values.pop(name) for name in names})


def engine_taken(values: dict[str, Any]) -> EngineChoice:
    """As `taken`. Raises ModelError for options that do not go together."""
    try:
        return taken(EngineChoice, values)
    except ValueError as error:
        raise ModelError(str(error)) from error


def _batch(_ctx: click.Context, _param: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= MOST_FRAMES_A_CALL:
        raise click.BadParameter(
            f"{quoted(value)} is neither auto nor a number from 1 to {MOST_FRAMES_A_CALL}"
        )
    return int(value)


def key_values(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Split each KEY=VALUE; of several with one key the last counts."""
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{quoted(value)} is not KEY=VALUE")
    return dict(value.split("=", 1) for value in values)


def _models(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """What a shell completes ``--model`` to: the shipped ones, else files."""
    shipped = ("auto", *weights.KINDS, *weights.quantised())
    names = [name for name in shipped if name.startswith(begun)]
    return [CompletionItem(name) for name in names] or [CompletionItem(begun, type="file")]


ENGINE_OPTIONS = (
    upscale_option(
        "--model",
        metavar="auto|clean|video|NAME|FILE",
        default="auto",
        show_default=True,
        shell_complete=_models,
        help="A shipped model (see `info`) or a .tflite file; auto chooses clean or video by how "
        "the input was coded.",
    ),
    upscale_option(
        "--quality",
        type=click.Choice(QUALITIES),
        default="auto",
        show_default=True,
        help="How large a network, from the fastest to the best; auto takes what this machine has "
        "time for, of those that are shipped.",
    ),
    upscale_option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True),
    upscale_option(
        "--threads", type=click.IntRange(1, MOST_THREADS), help="Cores to use.  [default: all]"
    ),
    upscale_option(
        "--delegate", metavar="LIB", help="A TFLite external delegate (NPU) that must be used."
    ),
    upscale_option(
        "--delegate-option",
        "delegate_options",
        metavar="K=V",
        multiple=True,
        callback=key_values,
        help="For it.",
    ),
    upscale_option(
        "--batch",
        metavar="N|auto",
        default="auto",
        show_default=True,
        callback=_batch,
        help="Frames in one call of the engine; auto measures what an NPU gains.",
    ),
    upscale_option(
        "--consistency/--no-consistency",
        default=None,
        help="Correct the network's picture by the source's; the video models have wrong colours "
        "without.  [default: as the model is made for: shipped ones are]",
    ),
    upscale_option(
        "--sharpen",
        type=Number(0, 1),
        default=0.0,
        show_default=True,
        help="How much to sharpen, without halos.",
    ),
    upscale_option(
        "--strength",
        type=Number(0, 1),
        default=1.0,
        show_default=True,
        help="Of the network, against bicubic interpolation.",
    ),
    upscale_option(
        "--reuse/--no-reuse",
        default=True,
        help="Take what did not change from the last frame.  [default: yes]",
    ),
    upscale_option(
        "--verify-reuse", is_flag=True, help="Compute that too, and fail should it differ."
    ),
    sink_option(
        "--stats-json",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the numbers.",
    ),
    click.option(
        "--print-pipeline", is_flag=True, help="Print this as a file for `run`, and do nothing."
    ),
)


def engine_options(command: Command) -> Command:
    """Add the options that all upscaling commands share."""

    @functools.wraps(command)
    def printed_or_run(*, print_pipeline: bool, **asked: Any) -> Any:  # Any: click's values
        if not print_pipeline:
            return command(**asked)
        return click.echo(write_pipeline(click.get_current_context()))

    decorated: Command = printed_or_run
    for option in reversed(ENGINE_OPTIONS):
        decorated = option(decorated)
    return decorated
