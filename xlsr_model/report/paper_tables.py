"""What quantisation costs: networks trained alike (the paper's tables 2 and 5), and calibration.

Both are measured on checkpoints, which are not shipped; so the numbers go into a JSON file,
which the page is made from.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xlsr_model.evaluation.evaluate import tflite
from xlsr_model.evaluation.model_card import measure
from xlsr_model.quantization.export import export_float, export_uint8
from xlsr_model.quantize import calibration_pairs, load_weights
from xlsr_model.report.markdown import table

CALIBRATIONS = (2, 10, 40, 160)
USUAL = 40
PAPER = {
    "compare_xlsr": (30.10, 29.82),
    "compare_xlsr_linear": (30.11, 24.72),
    "compare_fsrcnn": (29.67, 21.95),
    "compare_espcn": (29.54, 23.93),
}
"""RGB dB on DIV2K's validation images, float32 and uint8 (Ayazoglu 2021, tables 2 and 5)."""


def measure_tables(runs: Path, sets: Path) -> dict[str, Any]:
    """Return {"networks": {run: ...}, "calibration": [...]}.

    From the runs of ``configs/compare_*.toml`` below `runs`; ValueError if one of them is missing.
    """
    files = {name: runs / name / "checkpoint.npz" for name in PAPER}
    if missing := [str(file) for file in files.values() if not file.is_file()]:
        raise ValueError(f"not trained yet: {', '.join(missing)} (configs/compare_*.toml)")
    return {
        "networks": {name: _network(file, sets) for name, file in files.items()},
        "calibration": _calibration(files["compare_xlsr"], sets),
    }


def _network(checkpoint: Path, sets: Path) -> dict[str, Any]:
    weights, about = load_weights(checkpoint, "best")
    config = about["config"]
    network, scale, clipped = config["network"], config["scale"], config["clipped"]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "float.tflite"
        export_float(network, scale, weights, file, clipped=clipped)
        return {
            "network": network,
            "clipped": clipped,
            "steps": about["steps"],
            "float": measure(tflite(file), sets),
            "uint8": _quantized(checkpoint, sets, config["folders"], USUAL, per_channel=False),
        }


def _calibration(checkpoint: Path, sets: Path) -> list[dict[str, Any]]:
    folders = load_weights(checkpoint, "best")[1]["config"]["folders"]
    choices = [(folders, count, False) for count in CALIBRATIONS]
    choices += [([folder], USUAL, False) for folder in folders] + [(folders, USUAL, True)]
    return [
        {
            "pictures": [Path(folder).name for folder in chosen],
            "count": count,
            "per_channel": per_channel,
            "uint8": _quantized(checkpoint, sets, chosen, count, per_channel=per_channel),
        }
        for chosen, count, per_channel in choices
    ]


def _quantized(
    checkpoint: Path, sets: Path, folders: Sequence[str], count: int, *, per_channel: bool
) -> dict[str, dict[str, float]]:
    weights, about = load_weights(checkpoint, "best")
    config = about["config"]
    pairs = calibration_pairs(folders, config["scale"], held_out=config["held_out"], count=count)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "uint8.tflite"
        export_uint8(
            config["network"],
            config["scale"],
            weights,
            file,
            calibration=[pair.lr for pair in pairs],
            per_channel=per_channel,
            clipped=config["clipped"],
        )
        return measure(tflite(file), sets)


def read_parts(file: Path) -> dict[str, str]:
    """Return the parts of the page that `measure_tables` was run for; none if it was not."""
    if not file.is_file():
        return {}
    measured = json.loads(file.read_text(encoding="utf-8"))
    steps = next(iter(measured["networks"].values()))["steps"]
    return {
        "networks": f"Each trained for {steps:,} steps by `configs/compare_*.toml`, then quantised "
        "per tensor; RGB dB, float → uint8.\n\n" + table(*networks_table(measured)),
        "calibration": table(*calibration_table(measured)),
    }


def networks_table(measured: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return (header, rows): float and uint8 of each network, with the paper's numbers beside."""
    first = next(iter(measured["networks"].values()))
    sets = sorted(first["float"])
    rows = []
    for name, seen in measured["networks"].items():
        pairs = [(seen["float"][s]["psnr_rgb"], seen["uint8"][s]["psnr_rgb"]) for s in sets]
        end = "Clipped ReLU" if seen["clipped"] else "linear"
        paper = "{:.2f} → {:.2f}".format(*PAPER[name])
        ours = [f"{a:.2f} → {b:.2f} ({b - a:+.2f})" for a, b in pairs]
        rows.append([seen["network"], end, *ours, paper])
    return ["network", "output", *sets, "the paper, DIV2K"], rows


def calibration_table(measured: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return (header, rows): RGB dB lost to the float file for each choice."""
    floats = measured["networks"]["compare_xlsr"]["float"]
    rows = [
        [
            " + ".join(seen["pictures"]),
            str(seen["count"]),
            "per channel" if seen["per_channel"] else "per tensor",
            *(
                f"{floats[s]['psnr_rgb'] - seen['uint8'][s]['psnr_rgb']:.3f}"
                for s in sorted(floats)
            ),
        ]
        for seen in measured["calibration"]
    ]
    return ["pictures", "how many", "weights", *sorted(floats)], rows
