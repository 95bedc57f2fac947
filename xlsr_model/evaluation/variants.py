"""What enlarges low-resolution video in the measurements: resizes, models, what follows a model."""

import hashlib
import importlib.metadata
import inspect
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from xlsr_model import weights
from xlsr_model.data.codec import to_rgb, to_yuv
from xlsr_model.data.images import Image
from xlsr_model.evaluation import consistency
from xlsr_model.evaluation.clips import KERNELS, TO_YUV_709, rescale
from xlsr_model.evaluation.consistency import BOX, BOX_5, NO_BLUR, consistent, cubic_up
from xlsr_model.evaluation.evaluate import Upscaler, tflite
from xlsr_model.evaluation.judge import ffmpeg

Frames = NDArray[np.uint8]
Finish = Callable[[Image, Image], Image]
"""Takes what a network made and its low-resolution input, RGB uint8 both, to what is shown."""


def _raw(made: Image, lr: Image) -> Image:  # noqa: ARG001  as all finishes are called
    return made


FINISHES: dict[str, Finish] = {
    "raw": _raw,
    "consistent": consistent,
    "consistent-cubic": partial(consistent, enlarge=cubic_up),
    "consistent-box": partial(consistent, blur=BOX),
    "consistent-sharp": partial(consistent, blur=NO_BLUR),
    "consistent-5": partial(consistent, blur=BOX_5),
    "consistent-luma": partial(consistent, luma=True),
}
"""What may follow the network; a new operator is a new row."""


@dataclass(frozen=True)
class Variant:
    """One column of the measurements.

    `run` takes rows uint8 [N, h * 3 / 2, w] (`clips`) and the matrix of their colours to rows
    [N, h * s * 3 / 2, w * s]. `key` differs when what `run` does may differ.
    """

    name: str
    key: str
    run: Callable[[Frames, NDArray[np.float64]], Frames]


def resize(kernel: str, scale: int) -> Variant:
    """Enlarge the planes by FFmpeg's resize, as a player does."""
    options = KERNELS[kernel]
    assert options is not None

    def run(frames: Frames, matrix: NDArray[np.float64]) -> Frames:  # noqa: ARG001  as all
        height, width = frames.shape[1] * 2 // 3, frames.shape[2]
        return np.stack(rescale(list(frames), (width * scale, height * scale), options))

    return Variant(kernel, _digest(kernel, str(scale), options, av.__version__), run)


def model(file: Path, finish: str = "raw") -> Variant:
    """Open a .tflite file, followed by one of FINISHES."""
    name = file.stem if finish == "raw" else f"{file.stem}+{finish}"
    code: list[ModuleType | Callable[..., Any]] = [to_rgb, to_yuv, through_rgb]
    if finish != "raw":
        code += [consistency, sys.modules[__name__]]  # FINISHES says with what it is called
    key = _digest(
        hashlib.sha256(file.read_bytes()).hexdigest(),
        finish,
        importlib.metadata.version("ai-edge-litert"),
        *(inspect.getsource(part) for part in code),
    )
    return Variant(name, key, through_rgb(tflite(file), FINISHES[finish]))


def shader(file: Path, scale: int) -> Variant:
    """Enlarge by a shader of the player mpv, through the judge's libplacebo.

    Needs Vulkan, of which Debian's mesa-vulkan-drivers has one without a GPU. Shaders mostly
    enlarge Y by 2; libplacebo does the rest.
    """

    def run(frames: Frames, matrix: NDArray[np.float64]) -> Frames:
        height, width = frames.shape[1] * 2 // 3, frames.shape[2]
        name = "bt709" if np.array_equal(matrix, TO_YUV_709) else "smpte170m"
        graph = (
            f"setparams=colorspace={name}:range=tv,setsar=1,"
            f"libplacebo=w={width * scale}:h={height * scale}:upscaler=ewa_lanczos"
            ":custom_shader_path=shader.glsl:format=yuv420p:dithering=none"
        )
        with tempfile.TemporaryDirectory(prefix="shader-") as folder:
            Path(folder, "shader.glsl").write_bytes(code)
            frames.tofile(Path(folder, "low.yuv"))
            command = [ffmpeg(), "-nostdin", "-hide_banner", "-init_hw_device", "vulkan=v:0"]
            command += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}"]
            command += ["-i", "low.yuv", "-vf", graph, "-f", "rawvideo", "high.yuv"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise OSError(f"{file}: {done.stderr.strip().splitlines()[-1]}")
            made = np.fromfile(Path(folder, "high.yuv"), np.uint8)
        return made.reshape(len(frames), height * scale * 3 // 2, width * scale)

    code = file.read_bytes()
    made_by = (importlib.metadata.version("imageio-ffmpeg"), inspect.getsource(shader))
    key = _digest(hashlib.sha256(code).hexdigest(), str(scale), *made_by)
    return Variant(file.stem, key, run)


def through_rgb(
    upscaler: Upscaler, finish: Finish
) -> Callable[[Frames, NDArray[np.float64]], Frames]:
    """Let a function of RGB pictures enlarge rows; every conversion is rounded once."""

    def run(frames: Frames, matrix: NDArray[np.float64]) -> Frames:
        made = []
        for rows in frames:
            lr = to_rgb(rows, matrix)
            made.append(to_yuv(finish(upscaler.run(lr), lr), matrix))
        return np.stack(made)

    return run


def variants(
    scale: int,
    files: Sequence[Path] = (),
    finishes: Sequence[str] = ("raw",),
    shaders: Sequence[Path] = (),
) -> list[Variant]:
    """List bicubic, lanczos, shaders, the shipped models and the files, with each finish.

    Raises ValueError for a file of another scale, one that is no model, or two of one name.
    """
    shipped = [
        weights.path(weights.default(scale, kind, rung))
        for kind in weights.KINDS
        for rung in weights.rungs(scale, kind)
    ]
    found = [resize(kernel, scale) for kernel in ("bicubic", "lanczos")]
    found += [shader(file, scale) for file in shaders]
    for file in (*shipped, *files):
        if (its := tflite(file).scale) != scale:
            raise ValueError(f"{file} upscales by {its}, not by {scale}")
        found += [model(file, finish) for finish in finishes]
    names = [variant.name for variant in found]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"two variants are called {twice}")
    return found


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
