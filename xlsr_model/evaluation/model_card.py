"""Model cards: the JSON beside a .tflite file. What it is, how it was made, its measures."""

import hashlib
import json
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from xlsr_model.evaluation.evaluate import Upscaler, evaluate_folder
from xlsr_model.files import write_file
from xlsr_model.network import macs_per_pixel, parameter_count


def make_card(file: Path, about: dict[str, Any], *, method: str) -> dict[str, Any]:
    """Make the card of a .tflite made from a checkpoint.

    `about` is what the checkpoint says of its training, `method` how the numbers in the file were
    made ("float32", "post-training, per-tensor", ...).
    """
    config = about["config"]
    interpreter = Interpreter(str(file))
    return {
        "name": file.stem,
        "network": config["network"],
        "scale": config["scale"],
        "parameters": parameter_count(config["network"], config["scale"]),
        "macs_per_lr_pixel": macs_per_pixel(config["network"], config["scale"]),
        "input": _tensor(interpreter.get_input_details()[0]),
        "output": _tensor(interpreter.get_output_details()[0]),
        "quantisation": method,
        # Only where it was trained so: `streamsr` decides for the others.
        **({"consistent": True} if config.get("consistent") else {}),
        "trained": {
            key: about[key]
            for key in ("images", "steps", "updates", "held_out_psnr_rgb", "code", "config")
            if key in about
        },
        "size_bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def _tensor(detail: dict[str, Any]) -> dict[str, Any]:
    step, zero = detail["quantization"]
    shape = [int(size) for size in detail["shape_signature"]]
    about = {"shape": shape, "dtype": detail["dtype"].__name__}
    return about | ({"scale": float(step), "zero_point": int(zero)} if step else {})


def measure(upscaler: Upscaler, sets: Path) -> dict[str, dict[str, float]]:
    """Return {set: {psnr_y, psnr_rgb, ssim_y, ssim_rgb}} for every folder in `sets`."""
    folders = sorted(folder for folder in sets.iterdir() if folder.is_dir())
    if not folders:
        raise ValueError(f"no evaluation sets in {sets}")
    means = {folder.name: evaluate_folder(upscaler, folder)["mean"] for folder in folders}
    return {
        name: {key: round(value, 4) for key, value in mean.items()} for name, mean in means.items()
    }


def loss_against(twin: Path, measured: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the PSNR lost against the float twin's card, in dB.

    Empty where that card has no measurements.
    """
    card = read_card(twin)
    return {
        name: {key: round(theirs[key] - measured[name][key], 4) for key in ("psnr_y", "psnr_rgb")}
        for name, theirs in card.get("measured", {}).items()
        if name in measured
    }


def read_card(model: Path) -> dict[str, Any]:
    """Read the card beside a .tflite; {} if there is none."""
    file = model.with_suffix(".json")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return content


def write_card(model: Path, card: dict[str, Any]) -> None:
    write_file(
        model.with_suffix(".json"), (json.dumps(card, indent=1) + "\n").encode(), overwrite=True
    )
