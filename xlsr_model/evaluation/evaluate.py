"""Measures what a .tflite file makes of a folder of pictures, through LiteRT as it runs in use."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from xlsr_model import weights
from xlsr_model.data.images import Image, Pair, find_images, load_pairs
from xlsr_model.data.imresize import imresize
from xlsr_model.evaluation.consistency import consistent
from xlsr_model.evaluation.metrics import compare
from xlsr_model.network import CLIP_AT


@dataclass(frozen=True)
class Upscaler:
    """An upscaling function under a name.

    `run` takes uint8 RGB [H, W, 3] to uint8 RGB [H*scale, W*scale, 3].
    """

    name: str
    scale: int
    run: Callable[[Image], Image]


def bicubic(scale: int) -> Upscaler:
    return Upscaler("bicubic", scale, lambda lr: imresize(lr, scale))


def shown(upscaler: Upscaler) -> Upscaler:
    """Let the enlarged picture agree with the small one, as `streamsr` shows it."""

    def run(lr: Image) -> Image:
        return consistent(upscaler.run(lr), lr)

    return Upscaler(upscaler.name, upscaler.scale, run)


def as_trained(upscaler: Upscaler, about: Mapping[str, Any]) -> Upscaler:
    """Make it consistent where its card, or the configuration of its training, says so."""
    return shown(upscaler) if about.get("consistent") else upscaler


def shipped(name: str) -> Upscaler:
    """Open a shipped model as it was trained."""
    return as_trained(tflite(weights.path(name)), weights.card(name))


def tflite(file: Path, *, threads: int | None = None) -> Upscaler:
    """Open a .tflite super-resolution file.

    Uint8 in and out, or float32 (RGB/255 in, 0..6 or 0..1 out). Raises ValueError for any other.
    """
    if not file.is_file():
        raise ValueError(f"no such model file: {file}")
    try:
        interpreter = Interpreter(str(file), num_threads=threads or os.cpu_count())
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{file}: not a .tflite model: {error}") from error
    given, made = interpreter.get_input_details(), interpreter.get_output_details()
    kinds = [detail["dtype"] for detail in (*given, *made)]
    if (
        len(kinds) != 2
        or kinds[0] != kinds[1]
        or kinds[0] not in (np.uint8, np.float32)
        or given[0]["shape"][-1] != 3
    ):
        raise ValueError(
            f"{file}: expected one uint8 or float32 image in and one out, "
            f"got {len(given)} and {len(made)}"
        )

    def invoke(lr: np.ndarray) -> np.ndarray:
        if tuple(interpreter.get_input_details()[0]["shape"]) != (1, *lr.shape):
            interpreter.resize_tensor_input(given[0]["index"], (1, *lr.shape))
            interpreter.allocate_tensors()
        interpreter.set_tensor(given[0]["index"], lr[None])
        interpreter.invoke()
        output: np.ndarray = interpreter.get_tensor(made[0]["index"])[0]
        return output

    probe = invoke(np.full((16, 16, 3), 255 if kinds[0] == np.uint8 else 1, kinds[0]))
    scale, rest = divmod(probe.shape[0], 16)
    if rest or probe.shape != (16 * scale, 16 * scale, 3):
        raise ValueError(
            f"{file}: not a super-resolution model: a 16x16 image became {probe.shape}"
        )
    white = CLIP_AT if _ends_in_relu6(file) else 1.0
    step, zero = made[0]["quantization"]
    if kinds[0] == np.uint8 and zero == 0 and np.isclose(step * 255, white):
        return Upscaler(file.stem, scale, invoke)  # bytes are pixels

    def run_scaled(lr: Image) -> Image:
        output = invoke(lr) if kinds[0] == np.uint8 else invoke(lr.astype(np.float32) / 255)
        values = (output.astype(np.float32) - zero) * step if step else output
        return np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8)

    return Upscaler(file.stem, scale, run_scaled)


def _ends_in_relu6(file: Path) -> bool:
    """Tell whether a convolution is clipped at 6.

    That is our export's form of Clipped ReLU, whose white is 6 and not 1.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))
    options = [operator.builtinOptions for operator in model.subgraphs[0].operators]
    relu6 = schema.ActivationFunctionType.RELU6
    return any(
        isinstance(o, schema.Conv2DOptionsT) and o.fusedActivationFunction == relu6 for o in options
    )


def evaluate(upscaler: Upscaler, pairs: list[Pair]) -> dict[str, Any]:
    """Return {"mean": {psnr_y, psnr_rgb, ssim_y, ssim_rgb}, "images": {name: the same}}.

    The border cut is the scale.
    """
    images = {pair.name: compare(upscaler.run(pair.lr), pair.hr, upscaler.scale) for pair in pairs}
    keys = next(iter(images.values()))
    return {
        "mean": {key: float(np.mean([values[key] for values in images.values()])) for key in keys},
        "images": images,
    }


def evaluate_folder(upscaler: Upscaler, folder: Path) -> dict[str, Any]:
    """Evaluate on every picture of a folder.

    Or of its ``HR`` folder, with ``LR_bicubic/X3`` beside it where there is one.
    """
    # 11 pixels of SSIM window and two borders must fit.
    return evaluate(upscaler, load_pairs(find_images(folder), upscaler.scale, smallest=12))
