"""Opens the upscaler for a job's options."""

from fractions import Fraction

from streamsr.errors import ModelError
from streamsr.jobs.options import UpscaleOptions, target_size
from streamsr.options import MAX_SIDE
from streamsr.stats import Recorder
from streamsr.upscaler import Upscaler


def open_upscaler(
    options: UpscaleOptions,
    *,
    record: Recorder,
    lossy: bool = False,
    picture: tuple[int, int] | None = None,
    sar: Fraction = Fraction(1),
    turned: bool = False,
) -> Upscaler:
    """Open the upscaler for these options. Raises ModelError, also for options that contradict each
    other, such as a model and another scale.

    lossy    as in `StreamInfo`
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
            lossy=lossy,
            size=size,
            engine=options.choice,
            reuse=options.reuse,
            verify_reuse=options.verify_reuse,
            record=record,
        )
    except ValueError as error:
        raise ModelError(str(error)) from error
