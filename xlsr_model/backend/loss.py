"""The loss of a batch, from the error of its output."""

from typing import Any

from keras import ops

from xlsr_model.config import Config

PSNR_WEIGHT = 5e-3
"""Makes gradients as large as Charbonnier's: 1/mse is about 1e3 there, 1/(2 epsilon) is 5."""

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601-7, 2.5.1


def loss_of(config: Config, error: Any) -> Any:
    """Return the loss of an error of packed outputs [N, H, W, 3*s*s], 1 is white."""
    seen = slice(config.margin, config.patch - config.margin)
    error = error[:, seen, seen]
    squared = ops.square(error)
    if config.loss == "psnr":
        if not config.luma:
            return PSNR_WEIGHT * _log_mse(squared, config.floor)
        luma = sum(share * error[..., color::3] for color, share in enumerate(LUMA))
        of_luma = config.luma * _log_mse(ops.square(luma), config.floor)
        return PSNR_WEIGHT * ((1 - config.luma) * _log_mse(squared, config.floor) + of_luma)
    return ops.mean(ops.sqrt(squared + config.epsilon**2)) if config.epsilon else ops.mean(squared)


def _log_mse(squared: Any, floor: float) -> Any:
    return ops.mean(ops.log(ops.mean(squared, axis=(1, 2, 3)) + floor))
