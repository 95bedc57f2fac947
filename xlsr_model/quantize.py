"""Makes a .tflite file with its model card from a checkpoint: float, or uint8 in one of three ways.

A quantisation-aware checkpoint brings its own ranges, and the mean error that rounding leaves is
taken from the head's biases. Any other is quantised after training, with ranges from calibration
pictures, per-tensor (what NPUs take) or per-channel (for CPUs).
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xlsr_model.backend import checkpoint
from xlsr_model.config import make_config
from xlsr_model.data.degrade import as_filmed
from xlsr_model.data.images import Pair, load_pairs, pack, split_held_out
from xlsr_model.evaluation.evaluate import Upscaler, as_trained, tflite
from xlsr_model.evaluation.model_card import loss_against, make_card, measure, write_card
from xlsr_model.files import write_file
from xlsr_model.network import Arrays
from xlsr_model.quantization.export import export_float, export_uint8
from xlsr_model.quantization.fake_quant import has_ranges, without_ranges
from xlsr_model.quantization.rewrite_tflite import requantize

CALIBRATION_IMAGES = 40


def load_weights(file: Path, which: str) -> tuple[Arrays, dict[str, Any]]:
    """Return named weights, and what the checkpoint says of its training.

    `which` is "best" (on the held-out images) or "average".
    """
    state, about = checkpoint.load(file)
    best = which == "best" and np.isfinite(state.best_psnr)
    weights = state.named(state.best if best else state.average)
    # `updates` counts the steps of the runs it went on from too.
    about |= {"steps": state.step, "updates": state.updates}
    return weights, {**about, "held_out_psnr_rgb": round(float(state.best_psnr), 4)}


def calibration_pairs(
    folders: Sequence[str], scale: int, *, held_out: int, count: int
) -> list[Pair]:
    """Load `count` training pictures, evenly spread over all; never the held-out ones."""
    files, _ = split_held_out([Path(folder) for folder in folders], held_out)
    return load_pairs(files[:: max(1, len(files) // count)][:count], scale)


def make_float(source: Path, file: Path, *, which: str, sets: Path | None) -> None:
    """Write the float file of a checkpoint and its card; `sets` are measured for the card."""
    weights, about = load_weights(source, which)
    config = about["config"]
    plain = without_ranges(weights)
    export_float(config["network"], config["scale"], plain, file, clipped=config["clipped"])
    _write_card(file, about, "float32", sets, None)


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
    """Write the uint8 file of a checkpoint and its card.

    `folders` of calibration pictures default to the training folders; `twin` is the float file to
    compare with.
    """
    weights, about = load_weights(source, which)
    config = about["config"]
    pairs = calibration_pairs(
        folders or config["folders"],
        config["scale"],
        held_out=0 if folders else config["held_out"],
        count=CALIBRATION_IMAGES,
    )
    if has_ranges(weights) and not per_channel:
        settings = make_config(config, str(source))
        as_trained_on = as_filmed(pairs, settings)
        content = _trained_uint8(config, weights, pairs[:2], as_trained_on)
        write_file(file, content, overwrite=True)
    else:
        _export_uint8(config, weights, file, pairs, per_channel=per_channel)
    way = "quantisation-aware" if has_ranges(weights) else "post-training"
    kind = "per-channel" if per_channel else "per-tensor"
    _write_card(file, about, f"uint8, {way}, {kind}", sets, twin)


def _export_uint8(
    config: dict[str, Any],
    weights: Arrays,
    file: Path,
    pairs: Sequence[Pair],
    *,
    per_channel: bool = False,
) -> None:
    export_uint8(
        config["network"],
        config["scale"],
        without_ranges(weights),
        file,
        calibration=[pair.lr for pair in pairs],
        per_channel=per_channel,
        clipped=config["clipped"],
    )


def _trained_uint8(
    config: dict[str, Any], weights: Arrays, calibration: Sequence[Pair], pairs: Sequence[Pair]
) -> bytes:
    """Return the file with the ranges of training, made in two passes.

    The first is as trained, and shows the mean error that rounding leaves on `pairs`; in the
    second, the head's biases are lowered by it. `calibration` gives the template its ranges, which
    are written over.
    """
    network, scale = config["network"], config["scale"]
    with TemporaryDirectory() as folder:
        template = Path(folder) / "template.tflite"
        _export_uint8(config, weights, template, calibration)
        content = template.read_bytes()
        first = Path(folder) / "first.tflite"
        first.write_bytes(requantize(content, weights, network, scale))
        error = _mean_error(as_trained(tflite(first), config), pairs)
    corrected = weights | {"head/bias": weights["head/bias"] - error}
    return requantize(content, corrected, network, scale)


def _mean_error(upscaler: Upscaler, pairs: Sequence[Pair]) -> np.ndarray:
    """Measure the mean error of each channel of the packed output [3*s*s]; 1 is white.

    Rounding shifts the mean of a tensor, and every later one with it (Nagel et al. 2019, "bias
    correction").
    """
    errors = [
        pack((upscaler.run(pair.lr).astype(np.float32) - pair.hr)[None], upscaler.scale)
        for pair in pairs
    ]
    mean: np.ndarray = np.mean([error.mean((0, 1, 2)) for error in errors], axis=0)
    return mean / np.float32(255)


def _write_card(
    file: Path, about: dict[str, Any], method: str, sets: Path | None, twin: Path | None
) -> None:
    card = make_card(file, about, method=method)
    if sets is not None:
        card["measured"] = measure(as_trained(tflite(file), about["config"]), sets)
        if twin is not None:
            lost_db = loss_against(twin, card["measured"])
            card["loss_against"] = {"file": twin.name, "db": lost_db}
    write_card(file, card)
