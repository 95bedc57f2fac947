"""The command ``python -m xlsr_model train|export|quantize|evaluate|video|tables|report``.

Errors are one line on standard error, exit 1; usage errors exit 2.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xlsr_model.files import write_file

# Everything that imports Keras or TensorFlow is imported inside the command that needs it: help
# must stay fast, and evaluation must work without them.
FILE = click.Path(path_type=Path)
Function = TypeVar("Function", bound=Callable[..., Any])
_sets = click.option(
    "--sets", type=FILE, help="Folder of evaluation sets to measure for the model card."
)
_weights = click.option(
    "--weights",
    type=click.Choice(["best", "average"]),
    default="best",
    help="best on the held-out images, or average.",
)
_output = click.option("-o", "--output", type=FILE, required=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def app() -> None:
    """Train, quantise and measure XLSR."""


@app.command()
@click.argument("config", type=FILE)
@click.option(
    "--data", default="", help="Folder with the training folders; default the current one."
)
@click.option("--run", type=FILE, help="Folder of checkpoint and history; default runs/CONFIG.")
@click.option(
    "--backend",
    type=click.Choice(["tensorflow", "torch"]),
    help="What computes the gradient; default KERAS_BACKEND.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    help="Processes that share a batch; one per core is fastest.",
)
def train(config: Path, data: str, run: Path | None, backend: str | None, workers: int) -> None:
    """Train by a TOML configuration; goes on from the run's checkpoint if there is one."""
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    from xlsr_model.config import read_config
    from xlsr_model.train import train as run_training

    settings = read_config(config, data=data)
    state = run_training(settings, run or Path("runs") / config.stem, workers=workers)
    print(f"step {state.step}: best held-out RGB PSNR {state.best_psnr:.3f} dB")


@app.command()
@click.argument("checkpoint", type=FILE)
@_output
@_sets
@_weights
def export(checkpoint: Path, output: Path, sets: Path | None, weights: str) -> None:
    """Write a float32 .tflite and its model card."""
    _tensorflow()
    from xlsr_model.quantize import make_float

    make_float(checkpoint, output, which=weights, sets=sets)
    print(output)


@app.command()
@click.argument("checkpoint", type=FILE)
@_output
@click.option("--per-channel", is_flag=True, help="Per-channel weights, for CPUs.")
@click.option(
    "--data", multiple=True, help="Folder of calibration pictures; default the training folders."
)
@_sets
@click.option("--twin", type=FILE, help="The float .tflite to measure the loss against.")
@_weights
def quantize(
    checkpoint: Path,
    output: Path,
    per_channel: bool,
    data: tuple[str, ...],
    sets: Path | None,
    twin: Path | None,
    weights: str,
) -> None:
    """Write a uint8 .tflite and its model card.

    Its ranges are those of a quantisation-aware checkpoint, or calibrated ones.
    """
    _tensorflow()
    from xlsr_model.quantize import make_uint8

    make_uint8(
        checkpoint,
        output,
        which=weights,
        per_channel=per_channel,
        folders=list(data),
        sets=sets,
        twin=twin,
    )
    print(output)


@app.command()
@click.option(
    "--model", required=True, help="A .tflite file, the name of a shipped model, or bicubic."
)
@click.option(
    "--data",
    type=FILE,
    required=True,
    help="Folder of HR pictures, or of a benchmark with HR and LR_bicubic/X3.",
)
@click.option("--scale", type=int, help="Needed for bicubic; otherwise checked against the model.")
@click.option("--json", "json_file", type=FILE, help="Write the result there too.")
def evaluate(model: str, data: Path, scale: int | None, json_file: Path | None) -> None:
    """PSNR and SSIM, on Y and on RGB, border cut by the scale."""
    from xlsr_model import weights
    from xlsr_model.evaluation import evaluate as evaluation

    if model == "bicubic":
        upscaler = evaluation.bicubic(scale or 3)
    else:
        file = weights.path(model) if model in weights.names() else Path(model)
        upscaler = evaluation.tflite(file)
    if scale not in (None, upscaler.scale):
        raise ValueError(f"{model} upscales by {upscaler.scale}, not by {scale}")
    result = evaluation.evaluate_folder(upscaler, data)
    for name, values in [*result["images"].items(), ("mean", result["mean"])]:
        y = f"{values['psnr_y']:6.3f} dB {values['ssim_y']:.4f}"
        rgb = f"{values['psnr_rgb']:6.3f} dB {values['ssim_rgb']:.4f}"
        print(f"{name:24} Y {y}   RGB {rgb}")
    if json_file:
        about = {"model": model, "scale": upscaler.scale, "data": data.name}
        _write_json(json_file, about | result)


def _chosen(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Split a list of names at its commas; ``all`` is all that the help names."""
    known = tuple(str(parameter.metavar).split("|"))
    names = known if value == "all" else tuple(value.split(","))
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(known)}", context)
    return names


def _names(option: str, known: str, default: str, text: str) -> Callable[[Function], Function]:
    return click.option(
        option, default=default, show_default=True, metavar=known, callback=_chosen, help=text
    )


@app.command()
@click.option(
    "--clips",
    type=FILE,
    multiple=True,
    required=True,
    help="A clip, or a folder of clips, as good as they are had; may be repeated.",
)
@click.option("--model", "models", multiple=True, help="A .tflite file to measure too; repeatable.")
@click.option(
    "--shader",
    "shaders",
    type=FILE,
    multiple=True,
    help="A shader of the player mpv to compare with; needs Vulkan; repeatable.",
)
@click.option("--scale", type=click.IntRange(2, 8), default=3, show_default=True)
@click.option(
    "--frames", type=click.IntRange(2), default=8, show_default=True, help="Of each clip."
)
@_names(
    "--kernels",
    "area|bicubic|matlab|lanczos|mitchell|bilinear|gaussian",
    "area,bicubic",
    "How the clips are shrunk, by FFmpeg; matlab by imresize.",
)
@_names("--codecs", "x264|x265|svtav1|vp9|mpeg2|mpeg4", "x264", "What the small clips are sent as.")
@_names(
    "--qualities",
    "near|high|medium|low|poor",
    "near,medium,low",
    "How well they are sent: about x264's CRF 4, 18, 23, 28 and 33.",
)
@_names(
    "--finish",
    "raw|consistent|consistent-cubic|consistent-box|consistent-sharp|consistent-5|consistent-luma",
    "raw",
    "What follows every model.",
)
@click.option("--json", "json_file", type=FILE, help="Write all cells there.")
@click.option(
    "--cache",
    type=FILE,
    default="runs/video",
    show_default=True,
    help="Folder of what was measured before.",
)
def video(
    clips: tuple[Path, ...],
    models: tuple[str, ...],
    shaders: tuple[Path, ...],
    scale: int,
    frames: int,
    kernels: tuple[str, ...],
    codecs: tuple[str, ...],
    qualities: tuple[str, ...],
    finish: tuple[str, ...],
    json_file: Path | None,
    cache: Path,
) -> None:
    """Measure models on video as people have it: shrunk, encoded, decoded, enlarged.

    Each clip is the truth; bicubic, lanczos and the shipped models are always measured. The names
    of a list are separated by commas; "all" is all of them. Needs the package imageio-ffmpeg.
    """
    from xlsr_model import weights
    from xlsr_model.evaluation.cells import measure_cells, write_cells
    from xlsr_model.evaluation.clips import find_clips, read_clip
    from xlsr_model.evaluation.variants import variants
    from xlsr_model.report.video_cells import all_tables

    files = [weights.path(name) if name in weights.names() else Path(name) for name in models]
    rows = measure_cells(
        [read_clip(file, scale, frames) for file in find_clips(clips)],
        variants(scale, files, finish, shaders),
        scale=scale,
        kernels=kernels,
        sent_as=[(codec, quality) for codec in codecs for quality in qualities],
        cache=cache,
    )
    print(all_tables(rows))
    if json_file:
        write_cells(json_file, rows, scale=scale, frames=frames)


@app.command()
@click.option("--sets", type=FILE, required=True, help="Folder of evaluation sets.")
@click.option(
    "--output",
    type=FILE,
    default="docs/quality.md",
    show_default=True,
    help="The document to write; pictures go to images/ beside it.",
)
def report(sets: Path, output: Path) -> None:
    """Remake docs/quality.md from the shipped models."""
    from xlsr_model.report.quality_page import write_report

    write_report(sets, output)
    print(output)


@app.command()
@click.option(
    "--runs",
    type=FILE,
    default="runs",
    show_default=True,
    help="Where configs/compare_*.toml were trained.",
)
@click.option("--sets", type=FILE, required=True, help="Folder of evaluation sets.")
@click.option(
    "-o", "--output", type=FILE, default="docs/data/quality_tables.json", show_default=True
)
def tables(runs: Path, sets: Path, output: Path) -> None:
    """Measure what quantisation costs each network, for the report."""
    _tensorflow()
    from xlsr_model.report.paper_tables import measure_tables

    _write_json(output, measure_tables(runs, sets))
    print(output)


def _write_json(file: Path, content: dict[str, Any]) -> None:
    write_file(file, (json.dumps(content, indent=1) + "\n").encode(), overwrite=True)


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
