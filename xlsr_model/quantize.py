"""From a checkpoint to a .tflite file with its model card: float, or uint8 by one of three ways.

A quantisation-aware checkpoint brings its own ranges, and the mean error that rounding leaves is taken from the head's
biases; any other is quantised after training, with ranges from calibration pictures, per-tensor (what NPUs take) or
per-channel (for CPUs).
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xlsr_model.backend import checkpoint
from xlsr_model.config import make_config
from xlsr_model.data.images import Pair, load_pairs, pack, split_held_out
from xlsr_model.evaluation.evaluate import tflite
from xlsr_model.evaluation.model_card import loss_against, make_card, measure, write_card
from xlsr_model.network import Arrays
from xlsr_model.quantization.export import export_float, export_uint8
from xlsr_model.quantization.fake_quant import has_ranges, without_ranges
from xlsr_model.quantization.rewrite_tflite import requantise_file
from xlsr_model.train import as_video

CALIBRATION_IMAGES = 40


def load_weights(file: Path, which: str) -> tuple[Arrays, dict[str, Any]]:
    """(named weights, what the checkpoint says of its training). `which` is "best" (on the held-out images) or
    "average"."""
    state, about = checkpoint.load(file)
    weights = state.named(
        state.best if which == "best" and np.isfinite(state.best_psnr) else state.average
    )
    # `updates` counts the steps of the runs it went on from too.
    about |= {"steps": state.step, "updates": state.updates}
    return weights, {**about, "held_out_psnr_rgb": round(float(state.best_psnr), 4)}


def calibration_pairs(
    folders: Sequence[str], scale: int, *, held_out: int, count: int
) -> list[Pair]:
    """Training pictures, evenly spread over all of them; never the held-out ones."""
    files, _ = split_held_out([Path(folder) for folder in folders], held_out)
    return load_pairs(files[:: max(1, len(files) // count)][:count], scale)


def _mean_error(file: Path, pairs: Sequence[Pair]) -> np.ndarray:
    """Of each channel of the packed output [3*scale*scale], 1 being white: what its bias is to be lowered by.

    Rounding shifts the mean of a tensor, and every later one with it (Nagel et al. 2019, "bias correction").
    """
    upscaler = tflite(file)
    errors = [
        pack((upscaler.run(pair.lr).astype(np.float32) - pair.hr)[None], upscaler.scale)
        for pair in pairs
    ]
    mean: np.ndarray = np.mean([error.mean((0, 1, 2)) for error in errors], axis=0) / np.float32(
        255
    )
    return mean


def make_float(source: Path, file: Path, *, which: str, sets: Path | None) -> None:
    weights, about = load_weights(source, which)
    config = about["config"]
    export_float(
        config["network"], config["scale"], without_ranges(weights), file, clipped=config["clipped"]
    )
    _finish(file, about, "float32", sets, None)


def make_uint8(
    source: Path,
    file: Path,
    *,
    which: str,
    per_channel: bool,
    folders: Sequence[str],
    sets: Path | None,
    twin: Path | None,
) -> None:
    """`folders` of calibration pictures default to the training folders; `twin` is the float file to compare with."""
    weights, about = load_weights(source, which)
    config = about["config"]
    network, scale = config["network"], config["scale"]
    aware = has_ranges(weights) and not per_channel
    held_out = 0 if folders else config["held_out"]
    pairs = calibration_pairs(
        folders or config["folders"], scale, held_out=held_out, count=CALIBRATION_IMAGES
    )
    images = [pair.lr for pair in pairs]
    with TemporaryDirectory() as folder:
        target = Path(folder) / "template.tflite" if aware else file
        export_uint8(
            network,
            scale,
            without_ranges(weights),
            target,
            calibration=images[:2] if aware else images,  # a template's ranges are written over
            per_channel=per_channel,
            clipped=config["clipped"],
        )
        if aware:
            requantise_file(target, weights, network, scale, file)
            bias = weights["head/bias"] - _mean_error(
                file, as_video(make_config(config, str(source)), pairs)
            )
            requantise_file(target, weights | {"head/bias": bias}, network, scale, file)
    way = "quantisation-aware" if has_ranges(weights) else "post-training"
    _finish(
        file, about, f"uint8, {way}, {'per-channel' if per_channel else 'per-tensor'}", sets, twin
    )


def _finish(
    file: Path, about: dict[str, Any], method: str, sets: Path | None, twin: Path | None
) -> None:
    card = make_card(file, about, method=method)
    if sets is not None:
        card["measured"] = measure(file, sets)
        if twin is not None:
            card["loss_against"] = {"file": twin.name, "db": loss_against(twin, card["measured"])}
    write_card(file, card)
