"""What a sheet shows, made of a film and its choices; `png` and `page` draw it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamsr import interrupt
from streamsr.compare.choices import BICUBIC, Choice, command, usual_choices
from streamsr.compare.cost import Cost, costs
from streamsr.compare.shots import Shot, chosen_shots, shots_at
from streamsr.compare.subject import Subject, opened
from streamsr.errors import one_line
from streamsr.frame import Image, StreamInfo
from streamsr.jobs.options import FileOptions
from streamsr.jobs.upscaler import Upscalers
from streamsr.machine import processor_name, usable_cores
from streamsr.media.input import clock, watched
from streamsr.picture.decode import upright
from streamsr.picture.resize import resized
from streamsr.picture.upright import orientation, swaps_sides
from streamsr.region import Region
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler

Words = Sequence[str]

UNITS = (1e9, "GB"), (1e6, "MB")

HDR = 16, 18
"""Transfer functions of H.273: PQ and HLG."""


@dataclass(frozen=True, slots=True)
class Column:
    """One choice on the sheet.

    network   and the engine that runs it
    pictures  RGB [H, W, 3] uint8, one for each place, all of a place of one size
    command   the line for a shell that upscales the whole so
    """

    label: str
    network: str
    pictures: tuple[Image, ...]
    cost: Cost
    command: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that is shown, in words that can be printed.

    title    the file's name
    facts    lines about the film
    places   what each row shows, in words
    advised  the label of what ``auto`` takes, "" where it is not among the columns
    note     how the times and sizes were found
    """

    title: str
    facts: tuple[str, ...]
    places: tuple[str, ...]
    columns: tuple[Column, ...]
    advised: str
    note: str


def compared(
    name: Path,
    options: FileOptions,
    choices: Sequence[Choice],
    *,
    base: Words,
    options_of: Callable[[Words], FileOptions],
    times: Sequence[float],
    crop: tuple[int, int],
    began: Callable[[int, int], None],
) -> Sheet:
    """Look at a film or a picture with each choice and measure what it takes.

    choices     of the user, behind bicubic; without any, the usual ones
    base        words that all of them have in common, which ``options`` are made of
    options_of  what `streamsr upscale` makes of these words
    times       in seconds from the first frame; without any, they are chosen
    crop        (width, height) of what is shown of each frame
    began       told how many places and choices there are, before the work

    Raises SourceError, SinkError, ModelError.
    """
    with watched(name) as unchanged, opened(name, options) as subject:
        with_auto = Upscalers(options, Recorder())
        try:
            auto = with_auto.fitting(subject.info, name)
            model = (auto.model_reason.split() or [options.model])[0]
            rung = auto.quality if options.quality == "auto" else ""
            named = options.model != "auto"
            shown = list(choices) or usual_choices(auto.scale, model, rung, named=named)
            if choices and BICUBIC.words not in {choice.words for choice in choices}:
                shown.insert(0, BICUBIC)
            size = auto.output_size(subject.info.width, subject.info.height)
            seen = _part_of(subject.info, crop, size)
            shots = shots_at(subject, list(times), seen) if times else chosen_shots(subject, seen)
            began(len(shots), len(shown))
            columns = _columns(subject, shown, shots, base, options_of)
            unchanged()
            return Sheet(
                one_line(name.name),
                tuple(_facts(subject, size, auto)),
                tuple(_place(shot) for shot in shots),
                columns,
                model if options.model == "auto" else "",
                _note(columns[0].cost),
            )
        finally:
            with_auto.close()


def _columns(
    subject: Subject,
    choices: Sequence[Choice],
    shots: Sequence[Shot],
    base: Words,
    options_of: Callable[[Words], FileOptions],
) -> tuple[Column, ...]:
    """Upscale what is shown with each choice, then measure all of them."""
    opened_here: list[Upscalers] = []
    try:
        found = []
        for choice in choices:
            interrupt.check()
            words = (*base, *choice.words)
            options = options_of(words)
            opened_here.append(Upscalers(options, Recorder()))
            upscaler = opened_here[-1].fitting(subject.info, subject.name)
            pictures = tuple(_upscaled(subject, shot, upscaler) for shot in shots)
            found.append((choice, words, options, upscaler, pictures))
        prices = costs(subject, [(upscaler, options) for _, _, options, upscaler, _ in found])
        return tuple(
            Column(
                one_line(choice.label),
                f"{upscaler.model.name} on {upscaler.engine.name}",
                pictures,
                cost,
                command(subject.name, words, upscaler.scale),
            )
            for (choice, words, _, upscaler, pictures), cost in zip(found, prices, strict=True)
        )
    finally:
        for upscalers in opened_here:
            upscalers.close()


def _upscaled(subject: Subject, shot: Shot, upscaler: Upscaler) -> Image:
    """What `upscale` makes of the shot's part, as a player shows it."""
    info = subject.info
    hr = upscaler.frames([shot.frame])[0].rgb
    part = _scaled(shot.region, (hr.shape[1], hr.shape[0]), info)
    return _presented(hr[part.slices], info)


def _scaled(region: Region, size: tuple[int, int], info: StreamInfo) -> Region:
    """The same part of the picture that has become so large."""
    left, right = (round(x * size[0] / info.width) for x in (region.x, region.x + region.width))
    top, bottom = (round(y * size[1] / info.height) for y in (region.y, region.y + region.height))
    return Region(left, top, max(right - left, 1), max(bottom - top, 1))


def _part_of(info: StreamInfo, crop: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) in pixels of the film's pictures, as they are stored, of what is ``crop``
    when it is upscaled to ``size`` and shown."""
    width, height = crop[::-1] if swaps_sides(info.display_matrix) else crop
    across, down = _stretch(info.sar)
    return (
        max(int(width / across * info.width / size[0]), 1),
        max(int(height / down * info.height / size[1]), 1),
    )


def _stretch(sar: Fraction) -> tuple[Fraction, Fraction]:
    """By what a picture is made wider and higher, so that its pixels are squares and none is
    lost."""
    return max(sar, Fraction(1)), max(1 / sar, Fraction(1))


def _presented(part: Image, info: StreamInfo) -> Image:
    """The part as a player shows it: its pixels square, upright."""
    across, down = _stretch(info.sar)
    height, width = part.shape[:2]
    size = max(round(width * across), 1), max(round(height * down), 1)
    square = resized(np.ascontiguousarray(part), size)
    return np.ascontiguousarray(upright(square, orientation(info.display_matrix)))


def _place(shot: Shot) -> str:
    region = shot.region
    part = f"{region.width}x{region.height} at {region.x}, {region.y}"
    return part if shot.time_s is None else f"{timed(shot.time_s)}, {part}"


def timed(seconds: float) -> str:
    """Seconds as H:MM:SS.mmm, which ``--at`` takes."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{clock(whole)}.{thousandths:03d}"


def _facts(subject: Subject, size: tuple[int, int], auto: Upscaler) -> list[str]:
    info = subject.info
    length = subject.duration_s
    long = "" if length is None or subject.picture else f", {clock(length)} long"
    facts = [f"{info.width}x{info.height} becomes {size[0]}x{size[1]}{long}"]
    if auto.model_reason:
        facts.append(f"--model auto takes {auto.model_reason}")
    if info.color.transfer in HDR:
        facts.append("HDR: the colours are pale here, since nothing maps them to this screen")
    return facts


def _note(cost: Cost) -> str:
    machine = f"{processor_name()}, {usable_cores()} cores"
    if cost.frames == 1 and cost.measured == 1:
        return f"Times and sizes (of a PNG) were measured here: {machine}."
    of = "the whole film" if cost.whole else "each minute of the film"
    return (
        f"Times and sizes are estimates for {of}, from {cost.measured} of its frames, upscaled and "
        f"encoded here: {machine}. Sound and all else that is copied comes on top. The "
        "pictures are shown as they go to the encoder."
    )


def timed_cost(cost: Cost) -> str:
    """The time, for people."""
    seconds = cost.seconds
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def sized(cost: Cost) -> str:
    """The size, for people."""
    size, unit = next(
        ((cost.size / value, unit) for value, unit in UNITS if cost.size >= value),
        (cost.size / 1e3, "KB"),
    )
    return f"{size:.2f} {unit}" if size < 10 else f"{size:.0f} {unit}"
