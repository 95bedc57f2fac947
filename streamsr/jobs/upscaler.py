"""Opens upscalers for a job's options."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from streamsr.errors import ModelError, SinkError, SourceError
from streamsr.frame import StreamInfo
from streamsr.jobs.options import FileOptions, UpscaleOptions, is_turned, target_size
from streamsr.jobs.quality import STILL_FPS, UNKNOWN_FPS, Speeds, best
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
            quality=options.quality,
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

BEGUN = "as this work was begun"


def chosen(options: Options, info: StreamInfo) -> tuple[Options, str]:
    """Options in which ``auto`` is replaced by a kind of model, and why it is that; empty where the
    user named the model."""
    if options.model != "auto":
        return options, ""
    choice = choose(info)
    if options.quality != "auto":
        scale = options.scale or DEFAULT_SCALE
        kinds = [k for k in weights.KINDS if scale in weights.scales(k, options.quality)]
        if kinds and choice.kind not in kinds:
            why = f"no {choice.kind} model of quality {options.quality} is shipped"
            choice = Choice(kinds[0], why)
    return replace(options, model=choice.kind), str(choice)


class Upscalers:
    """The upscalers of a job over many files: an engine is opened once for each scale and model.
    `close` closes them all."""

    def __init__(self, options: FileOptions, record: Recorder) -> None:
        self._options = options
        self._record = record
        self._opened: dict[tuple[int | None, str, str], Upscaler] = {}
        self._speeds = Speeds(options.encoding)

    def fitting(self, info: StreamInfo, source: Path, *, begun_with: str | None = None) -> Upscaler:
        """The upscaler for the pictures of ``source``. Raises SourceError when ``to`` would not
        enlarge them, SinkError when it is too large, ModelError.

        begun_with  SHA-256 of the model that an earlier run of this job has chosen
        """
        options = self._options
        size = None
        if options.to is not None:
            size = self._size(options.to, info, source)
            if options.model in CHOICES:
                factor = max(Fraction(size[0], info.width), Fraction(size[1], info.height))
                scale = _scale_for(factor, options.model, options.quality)
                options = replace(options, scale=scale)
        options, model_reason, quality_reason = self._chosen(options, info, begun_with)
        upscaler = self._open(options).for_size(size)
        upscaler.model_reason = self._record.model_reason = model_reason
        upscaler.quality_reason = self._record.quality_reason = quality_reason
        return upscaler

    def _open(self, options: FileOptions) -> Upscaler:
        key = options.scale, options.model, options.quality
        if key not in self._opened:
            self._opened[key] = open_upscaler(options, record=self._record)
        return self._opened[key]

    def _chosen(
        self, options: FileOptions, info: StreamInfo, begun_with: str | None
    ) -> tuple[FileOptions, str, str]:
        """Options that say kind and rung, and why it is this kind and this rung; empty where the
        user said it or there is no other."""
        if begun_with is not None and (begun := _begun(options, begun_with)):
            kind, rung = begun
            options, asked = replace(options, model=kind), options
            reason = f"{kind} ({BEGUN})" if asked.model == "auto" else ""
            if asked.quality != "auto" or len(_rungs(options)) < 2:
                return options, reason, ""
            return replace(options, quality=rung), reason, f"{rung}, {BEGUN}"
        options, reason = chosen(options, info)
        rungs = _rungs(options) if options.quality == "auto" else []
        if len(rungs) < 2 and (options.at_least is None or not rungs):
            return options, reason, ""
        still = info.rate is None and info.frames == 1
        wanted_fps = options.at_least or float(info.rate or (STILL_FPS if still else UNKNOWN_FPS))
        speeds = self._speeds.of(
            rungs,
            lambda rung: self._open(replace(options, quality=rung)),
            info,
            wanted_fps,
            encoded=not still,
        )
        rung, why = best(speeds, wanted_fps, asked=options.at_least is not None)
        return replace(options, quality=rung), reason, why

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


def _rungs(options: UpscaleOptions) -> list[str]:
    """The rungs that ``auto`` may choose of a kind of model, rising."""
    if options.model not in weights.KINDS:
        return []
    return weights.rungs(options.scale or DEFAULT_SCALE, options.model)


def _begun(options: UpscaleOptions, sha256: str) -> tuple[str, str] | None:
    """The kind and the rung of the shipped model with this digest, among those that the options
    leave to be chosen."""
    kinds = weights.KINDS if options.model == "auto" else (options.model,)
    for kind in kinds:
        rungs = _rungs(replace(options, model=kind))
        for rung in rungs if options.quality == "auto" else {options.quality} & {*rungs}:
            if find_model(kind, scale=options.scale, quality=rung).sha256 == sha256:
                return kind, rung
    return None


def _scale_for(factor: Fraction, model: str, quality: str) -> int:
    """Choose the smallest shipped scale that reaches this factor, else the largest; the rest is
    resized."""
    rung = weights.DEFAULT_RUNG if quality == "auto" else quality
    scales = weights.scales("video" if model == "video" else "clean", rung)
    if not weights.names():
        raise ModelError("no model is shipped with this installation; give --model FILE")
    if not scales:
        known = ", ".join(weights.quantised())
        raise ModelError(f"no model of quality {rung} is shipped; shipped models: {known}")
    return next((scale for scale in scales if scale >= factor), scales[-1])
