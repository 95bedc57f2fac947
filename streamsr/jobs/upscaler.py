"""Opens upscalers for a job's options."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from streamsr.errors import ModelError, SinkError, SourceError
from streamsr.frame import StreamInfo
from streamsr.jobs.options import UpscaleOptions, is_turned, target_size
from streamsr.media.choice import Choice, choose
from streamsr.model import CHOICES, DEFAULT_SCALE, find_model
from streamsr.options import MAX_SIDE
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler
from xlsr_model import weights


def open_upscaler(
    options: UpscaleOptions,
    *,
    record: Recorder,
    picture: tuple[int, int] | None = None,
    sar: Fraction = Fraction(1),
    turned: bool = False,
) -> Upscaler:
    """Open the upscaler for these options. Raises ModelError, also for options that contradict each
    other, such as a model and another scale.

    picture  (width, height) of all pictures that will come: the result then has the size that
             ``to`` means for it, with ``sar`` and ``turned`` as in `target_size`
    """
    try:
        size = None
        if options.to is not None and picture is not None:
            size = target_size(options.to, *picture, sar=sar, turned=turned)
            if max(size) > MAX_SIDE:
                raise ValueError(
                    f"--to {options.to}: {size[0]}x{size[1]} has more than {MAX_SIDE} pixels on a "
                    "side"
                )
        return Upscaler(
            options.model,
            scale=options.scale,
            size=size,
            engine=options.choice,
            consistency=options.consistency,
            sharpen=options.sharpen,
            strength=options.strength,
            reuse=options.reuse,
            verify_reuse=options.verify_reuse,
            record=record,
        )
    except ValueError as error:
        raise ModelError(str(error)) from error


Options = TypeVar("Options", bound=UpscaleOptions)


def chosen(
    options: Options, info: StreamInfo, *, begun_with: str | None = None
) -> tuple[Options, str]:
    """Options in which ``auto`` is replaced by a kind of model, and why it is that; empty where the
    user named the model.

    begun_with  SHA-256 of the model that an earlier run of this job has chosen
    """
    if options.model != "auto":
        return options, ""
    scale = options.scale or DEFAULT_SCALE
    choice = choose(info)
    if begun_with is not None:
        for kind in weights.KINDS:
            if find_model(kind, scale=scale).sha256 == begun_with:
                choice = Choice(kind, "as this work was begun")
    return replace(options, model=choice.kind), str(choice)


class Upscalers:
    """The upscalers of a job over many files: an engine is opened once for each scale and model.
    `close` closes them all."""

    def __init__(self, options: UpscaleOptions, record: Recorder) -> None:
        self._options = options
        self._record = record
        self._opened: dict[tuple[int | None, str], Upscaler] = {}

    def fitting(self, info: StreamInfo, source: Path, *, begun_with: str | None = None) -> Upscaler:
        """The upscaler for the pictures of ``source``. Raises SourceError when ``to`` would not
        enlarge them, SinkError when it is too large, ModelError.

        begun_with  as in `chosen`
        """
        options = self._options
        size = None
        scale = options.scale
        if options.to is not None:
            size = self._size(options.to, info, source)
            if options.model in CHOICES:
                factor = max(Fraction(size[0], info.width), Fraction(size[1], info.height))
                scale = _scale_for(factor, options.model)
        options, reason = chosen(replace(options, scale=scale), info, begun_with=begun_with)
        key = scale, options.model
        if key not in self._opened:
            self._opened[key] = open_upscaler(options, record=self._record)
        upscaler = self._opened[key].for_size(size)
        upscaler.model_reason = self._record.model_reason = reason
        return upscaler

    @staticmethod
    def _size(to: str, info: StreamInfo, source: Path) -> tuple[int, int]:
        width, height = info.width, info.height
        turned = is_turned(info.display_matrix)
        size = target_size(to, width, height, sar=info.sar, turned=turned)
        if size[0] <= width and size[1] <= height:
            raise SourceError(
                f"{source}: is {width}x{height} already; --to {to} would not enlarge it"
            )
        if max(size) > MAX_SIDE:
            raise SinkError(
                f"{source}: would become {size[0]}x{size[1]}; the longest side may have {MAX_SIDE}"
            )
        return size

    def close(self) -> None:
        """Close all engines. Closing twice is harmless."""
        for upscaler in self._opened.values():
            upscaler.close()
        self._opened = {}


def _scale_for(factor: Fraction, model: str) -> int:
    """Choose the smallest shipped scale that reaches this factor, else the largest; the rest is
    resized."""
    scales = weights.scales("video" if model == "video" else "clean")
    if not scales:
        raise ModelError("no model is shipped with this installation; give --model FILE")
    return next((scale for scale in scales if scale >= factor), scales[-1])
