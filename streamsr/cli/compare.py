"""``streamsr compare``: a sheet of a film's choices side by side, before a long job."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from streamsr.cli.parameters import Seconds, Size
from streamsr.cli.pipeline_file import plain
from streamsr.cli.upscale import options_of, upscale
from streamsr.errors import SinkError, one_line, quoted, reason_of
from xlsr_model.files import Output, fitting_name
from xlsr_model.inputs import protected

if TYPE_CHECKING:
    from streamsr.compare.choices import Choice

FOR_ALL = (
    "scale", "to", "model", "quality", "engine", "threads", "delegate", "delegate_options",
    "batch", "codec", "crf", "preset", "pixel_format", "encoder", "encoder_options", "interlaced",
    "max_pixels", "max_duration_s",
)  # fmt: skip
"""Options of `upscale` that are given for all choices."""

OF_A_CHOICE = (
    "model", "quality", "consistency", "sharpen", "strength", "codec", "crf", "preset",
    "pixel_format", "encoder",
)  # fmt: skip
"""Those that a choice may have."""

MOST_CHOICES, MOST_TIMES = 12, 12
"""Of a sheet that can still be looked at."""

SUFFIXES = (".png", ".html", ".htm")

CROPS = {".png": (480, 320)}
LARGE_CROP = 720, 480
"""(width, height) of what is shown of a frame: beside each other on a screen, and under the
divider."""

LARGEST_CROP = 4096

SHARED = {parameter.name: parameter for parameter in upscale.params}
"""Options are declared once, with `upscale`."""


class Times(click.ParamType[list[float]]):
    """Times as ``--start`` takes them, with commas between."""

    name = "times"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:  # Any: click's
        if isinstance(value, list):
            return value
        times = [Seconds().convert(part.strip(), param, ctx) for part in str(value).split(",")]
        if len(times) > MOST_TIMES:
            self.fail(f"{len(times)} times are given; at most {MOST_TIMES} are taken", param, ctx)
        return times


def _named(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> "list[Choice]":
    """Make choices of ``K=V,K=V``; the words of a command line that they stand for are checked by
    `upscale` itself."""
    from streamsr.compare.choices import Choice

    if len(texts) > MOST_CHOICES:
        raise click.BadParameter(f"{len(texts)} are given; at most {MOST_CHOICES} are taken")
    return [Choice(text.replace(",", ", "), _words(text)) for text in dict.fromkeys(texts)]


def _words(text: str) -> tuple[str, ...]:
    words: list[str] = []
    known = {
        name.removeprefix("--"): SHARED[each]
        for each in OF_A_CHOICE
        for name in (*SHARED[each].opts, *SHARED[each].secondary_opts)
    }
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        option = known.get(key)
        if not isinstance(option, click.Option):
            raise click.BadParameter(
                f"{quoted(key)} is not one of {', '.join(sorted(known))}, with =VALUE"
            )
        if option.is_flag == bool(equals):
            raise click.BadParameter(
                f"{key} takes {'no' if option.is_flag else 'a'} value: {quoted(part)}"
            )
        words += [f"--{key}"] if option.is_flag else [f"--{key}", value]
    return tuple(words)


def _given(context: click.Context) -> tuple[str, ...]:
    """The words of a command line for the options in FOR_ALL that the user gave."""
    words: list[str] = []
    for name in FOR_ALL:
        if context.get_parameter_source(name) is ParameterSource.DEFAULT:
            continue
        value = plain(context.params[name])
        values = value if isinstance(value, list) else [value]
        for each in values:
            words += [max(SHARED[name].opts, key=len), str(each)]
    return tuple(words)


@click.command()
@click.argument("film", type=click.Path(path_type=Path), metavar="FILM")
@click.option(
    "--at",
    "times",
    type=Times(),
    metavar="T[,T...]",
    help="Show the frames at these times: 90, 1:30 or 0:01:30.5.  [default: chosen by detail]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .png, or a .html with a divider.  [default: FILM_compare.png, beside it]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing sheet.")
@click.option(
    "--choice",
    "choices",
    multiple=True,
    metavar="K=V[,K=V...]",
    callback=_named,
    help="One to be shown, by options of `upscale` without their dashes: "
    f"{', '.join(name.replace('_', '-') for name in OF_A_CHOICE)}; as often as you like.  "
    "[default: bicubic, the shipped models, other qualities, sharpened and weakened ones]",
)
@click.option(
    "--crop",
    type=Size(),
    metavar="WIDTHxHEIGHT",
    help="What is shown of a frame, in pixels of the result.  [default: 480x320, in HTML 720x480]",
)
@click.pass_context
def compare(
    context: click.Context,
    /,
    film: Path,
    times: list[float] | None,
    output: Path | None,
    overwrite: bool,
    choices: "list[Choice]",
    crop: tuple[int, int] | None,
    **_for_all: Any,  # click's values, which `_given` reads
) -> None:
    """See a film's choices side by side, with the time and the size that the whole would take.

    Shows the same parts of a few frames by bicubic interpolation, each model, and variants, and
    measures each for a moment on this machine. The last lines are the commands that do it.
    """
    words = _given(context)
    options = options_of(words)
    for choice in choices:
        try:
            options_of((*words, *choice.words))
        except click.UsageError as error:
            raise click.BadParameter(
                f"{choice.label}: {error.format_message()}", param_hint="--choice"
            ) from None
    output = output or _free_name(film)
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise click.UsageError(f"-o must end in {', '.join(SUFFIXES)}: {output}")
    crop = crop or CROPS.get(suffix, LARGE_CROP)
    if max(crop) > LARGEST_CROP:
        raise click.UsageError(f"--crop may have sides of at most {LARGEST_CROP}")
    from streamsr.compare.html import page
    from streamsr.compare.png import drawn
    from streamsr.compare.sheet import compared, sized, timed_cost

    def began(places: int, shown: int) -> None:
        print(
            one_line(f"{film} -> {output}: {places} places, {shown} choices; takes some 20 s"),
            file=sys.stderr,
        )

    try:
        with protected([film]), Output(output, overwrite=overwrite) as file:
            sheet = compared(
                film,
                options,
                choices,
                base=words,
                options_of=options_of,
                times=times or [],
                crop=crop,
                began=began,
            )
            file.write(drawn(sheet) if suffix == ".png" else page(sheet).encode())
            file.publish()
    except OSError as error:
        raise SinkError(f"{output}: {reason_of(error)}") from error
    _print_table(
        [
            (column.label, timed_cost(column.cost), sized(column.cost), column.command)
            for column in sheet.columns
        ]
    )
    print(sheet.note, file=sys.stderr)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[number]) for row in rows) for number in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[3]]))


def _free_name(film: Path) -> Path:
    """A name for the sheet beside the film that nothing has yet."""
    names = (film.with_name(fitting_name(f"{film.stem}_compare", ending)) for ending in _endings())
    return next(name for name in names if not name.exists() and not name.is_symlink())


def _endings() -> Iterator[str]:
    yield ".png"
    number = 2
    while True:
        yield f"_{number}.png"
        number += 1


compare.params += [SHARED[name] for name in FOR_ALL]
