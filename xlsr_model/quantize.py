"""From a checkpoint to a .tflite file with its model card: float, or uint8 by one of three ways.

A quantisation-aware checkpoint brings its own ranges; any other is quantised after training, with ranges from
calibration pictures, per-tensor (what NPUs take) or per-channel (for CPUs).
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xlsr_model import checkpoint
from xlsr_model.card import loss_against, make_card, measure, write_card
from xlsr_model.data import load_pairs, split_held_out
from xlsr_model.export import export_float, export_uint8
from xlsr_model.network import Arrays
from xlsr_model.qat import has_ranges, without_ranges
from xlsr_model.requantise import requantise_file

CALIBRATION_IMAGES = 40


def load_weights(file: Path, which: str) -> tuple[Arrays, dict[str, Any]]:
    """(named weights, what the checkpoint says of its training). `which` is "best" (on the held-out images) or
    "average"."""
    state, about = checkpoint.load(file)
    weights = state.named(state.best if which == "best" and np.isfinite(state.best_psnr) else state.average)
    # `updates` counts the steps of the runs it went on from too.
    about |= {"steps": state.step, "updates": state.updates}
    return weights, {**about, "held_out_psnr_rgb": round(float(state.best_psnr), 4)}


def calibration_images(folders: Sequence[str], scale: int, *, held_out: int, count: int) -> list[np.ndarray]:
    """Low-resolution training pictures, evenly spread over all of them; never the held-out ones."""
    files, _ = split_held_out([Path(folder) for folder in folders], held_out)
    spread = files[:: max(1, len(files) // count)][:count]
    return [pair.lr for pair in load_pairs(spread, scale)]


def make_float(source: Path, file: Path, *, which: str, sets: Path | None) -> None:
    weights, about = load_weights(source, which)
    config = about["config"]
    export_float(config["network"], config["scale"], without_ranges(weights), file, clipped=config["clipped"])
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
    images = calibration_images(
        folders or config["folders"],
        scale,
        held_out=0 if folders else config["held_out"],
        count=2 if aware else CALIBRATION_IMAGES,
    )
    with TemporaryDirectory() as folder:
        target = Path(folder) / "template.tflite" if aware else file
        export_uint8(
            network,
            scale,
            without_ranges(weights),
            target,
            calibration=images,
            per_channel=per_channel,
            clipped=config["clipped"],
        )
        if aware:
            requantise_file(target, weights, network, scale, file)
    way = "quantisation-aware" if has_ranges(weights) else "post-training"
    _finish(file, about, f"uint8, {way}, {'per-channel' if per_channel else 'per-tensor'}", sets, twin)


def _finish(file: Path, about: dict[str, Any], method: str, sets: Path | None, twin: Path | None) -> None:
    card = make_card(file, about, method=method)
    if sets is not None:
        card["measured"] = measure(file, sets)
        if twin is not None:
            card["loss_against"] = {"file": twin.name, "db": loss_against(twin, card["measured"])}
    write_card(file, card)
