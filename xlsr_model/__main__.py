"""``python -m xlsr_model train|export|quantize|evaluate|report``. Errors are one line on standard error, exit 1;
usage errors exit 2."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

# Everything that imports Keras or TensorFlow is imported inside the command that needs it: help must stay fast,
# and evaluation must work without them.
app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Train, quantise and measure XLSR."
)

Sets = Annotated[Path | None, typer.Option("--sets", help="Folder of evaluation sets to measure for the model card.")]
Weights = Annotated[str, typer.Option("--weights", help="best (on the held-out images) or average.")]


@app.command()
def train(
    config: Path,
    run: Annotated[Path | None, typer.Option(help="Folder of checkpoint and history; default runs/CONFIG.")] = None,
    backend: Annotated[str | None, typer.Option(help="tensorflow, torch or jax; default KERAS_BACKEND.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share a batch; one per core is fastest.")] = 1,
) -> None:
    """Train by a TOML configuration; goes on from the run's checkpoint if there is one."""
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    from xlsr_model.config import read_config
    from xlsr_model.train import train as run_training

    settings = read_config(config)
    state = run_training(settings, run or Path("runs") / config.stem, workers=workers)
    print(f"step {state.step}: best held-out RGB PSNR {state.best_psnr:.3f} dB")


@app.command()
def export(
    checkpoint: Path,
    output: Annotated[Path, typer.Option("-o", "--output")],
    sets: Sets = None,
    weights: Weights = "best",
) -> None:
    """Write a float32 .tflite and its model card."""
    _tensorflow()
    from xlsr_model.quantize import make_float

    make_float(checkpoint, output, which=weights, sets=sets)
    print(output)


@app.command()
def quantize(
    checkpoint: Path,
    output: Annotated[Path, typer.Option("-o", "--output")],
    per_channel: Annotated[bool, typer.Option("--per-channel", help="Per-channel weights, for CPUs.")] = False,
    data: Annotated[
        list[str] | None, typer.Option(help="Folder of calibration pictures; default the training folders.")
    ] = None,
    sets: Sets = None,
    twin: Annotated[Path | None, typer.Option(help="The float .tflite to measure the loss against.")] = None,
    weights: Weights = "best",
) -> None:
    """Write a uint8 .tflite and its model card: with the ranges of a quantisation-aware checkpoint, or calibrated
    ones."""
    _tensorflow()
    from xlsr_model.quantize import make_uint8

    make_uint8(checkpoint, output, which=weights, per_channel=per_channel, folders=data or [], sets=sets, twin=twin)
    print(output)


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="A .tflite file, the name of a shipped model, or bicubic.")],
    data: Annotated[Path, typer.Option(help="Folder of HR pictures, or of a benchmark with HR and LR_bicubic/X3.")],
    scale: Annotated[int | None, typer.Option(help="Needed for bicubic; otherwise checked against the model.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result there too.")] = None,
) -> None:
    """PSNR and SSIM, on Y and on RGB, border cut by the scale."""
    from xlsr_model import evaluate as evaluation
    from xlsr_model import weights

    if model == "bicubic":
        upscaler = evaluation.bicubic(scale or 3)
    else:
        upscaler = evaluation.tflite(weights.path(model) if model in weights.names() else Path(model))
    if scale not in (None, upscaler.scale):
        raise ValueError(f"{model} upscales by {upscaler.scale}, not by {scale}")
    result = evaluation.evaluate_folder(upscaler, data)
    for name, values in [*result["images"].items(), ("mean", result["mean"])]:
        y, rgb = (f"{values[f'psnr_{kind}']:6.3f} dB {values[f'ssim_{kind}']:.4f}" for kind in ("y", "rgb"))
        print(f"{name:24} Y {y}   RGB {rgb}")
    if json_file:
        about = {"model": model, "scale": upscaler.scale, "data": data.name}
        json_file.write_text(json.dumps(about | result, indent=1) + "\n", encoding="utf-8")


@app.command()
def report(
    sets: Annotated[Path, typer.Option(help="Folder of evaluation sets.")],
    output: Annotated[Path, typer.Option(help="The document to write; pictures go to images/ beside it.")] = Path(
        "docs/quality.md"
    ),
) -> None:
    """Remake docs/quality.md from the shipped models."""
    from xlsr_model.report import write_report

    write_report(sets, output)
    print(output)


def _tensorflow() -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"  # only this one exports to .tflite
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        app()
    except ModuleNotFoundError as error:
        # Only for third-party modules; ours missing is a bug and shows as one.
        if (error.name or "").startswith("xlsr_model"):
            raise
        sys.exit(f"error: {error.name} is not installed: pip install 'streamsr[train]'")
    except (ValueError, KeyError, OSError) as error:
        sys.exit(f"error: {error.args[0] if isinstance(error, KeyError) else error}")


if __name__ == "__main__":
    main()
