"""Judges video against its truth: by the FFmpeg in the wheel `imageio-ffmpeg`, and in NumPy.

That FFmpeg has libvmaf with its models, and XPSNR; PyAV's and distributions' often do not.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from xlsr_model.data.images import Image
from xlsr_model.evaluation.clips import planes

SAME = 100.0  # dB where nothing differs: JSON has no infinity
STILL = 1  # levels: a truth that changes by no more, also around it, stands still
# VMAF's own models by Netflix; NEG does not reward sharpening (Netflix, "Toward a better quality
# metric for the video community", 2020).
MODELS = r"version=vmaf_v0.6.1\:name=vmaf|version=vmaf_v0.6.1neg\:name=neg"
GRAPH = (
    "[0:v]null[a];[1:v]split=4[r0][r1][r2][r3];[a][r0]psnr[b];[b][r1]ssim[c];"
    "[c][r2]xpsnr[d];[d][r3]libvmaf=log_fmt=json:log_path=vmaf.json:model='" + MODELS + "'"
)


def ffmpeg() -> str:
    """Return the path of the judge's program.

    Raises ValueError where the wheel is not installed.
    """
    try:
        import imageio_ffmpeg  # the extra dev has it, which this package's users need not have
    except ModuleNotFoundError as error:
        raise ValueError("video is judged by: pip install imageio-ffmpeg") from error
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def judged(video: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Return FFmpeg's psnr_y (dB), ssim_y, xpsnr_y (dB), vmaf and vmaf_neg of two videos.

    Both are rows uint8 [N, H * 3 / 2, W] (`clips`). PSNR is of the mean error over all frames.
    What differs in nothing has SAME.
    """
    height, width = truth.shape[1] * 2 // 3, truth.shape[2]
    with tempfile.TemporaryDirectory(prefix="judge-") as folder:
        inputs: list[str] = []
        for name, rows in (("video.yuv", video), ("truth.yuv", truth)):
            rows.tofile(Path(folder, name))
            inputs += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}"]
            inputs += ["-i", name]
        command = [ffmpeg(), "-nostdin", "-nostats", "-hide_banner", "-threads", "1", *inputs]
        command += ["-filter_complex_threads", "1", "-lavfi", GRAPH, "-f", "null", "-"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"the judge failed: {done.stderr.strip().splitlines()[-1]}")
        pooled = json.loads(Path(folder, "vmaf.json").read_text(encoding="utf-8"))["pooled_metrics"]
    return {
        "psnr_y": min(_said(r"PSNR y:([\d.]+|inf)", done.stderr), SAME),
        "ssim_y": _said(r"SSIM Y:([\d.]+)", done.stderr),
        "xpsnr_y": min(_said(r"XPSNR\s+y: *([\d.]+|inf)", done.stderr), SAME),
        "vmaf": float(pooled["vmaf"]["mean"]),
        "vmaf_neg": float(pooled["neg"]["mean"]),
    }


def _said(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if not found:
        raise OSError(f"the judge said nothing of {pattern}: {text[-300:]}")
    return float(found[1])


def psnr_y(video: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Return PSNR of Y in dB as `judged` does, of the mean error over all frames, by NumPy."""
    error = float(np.mean(np.square(_luma(video) - _luma(truth))))
    return SAME if error == 0 else float(10 * np.log10(255**2 / error))


def color_shift(
    video: NDArray[np.uint8], truth: NDArray[np.uint8], matrix: NDArray[np.float64]
) -> dict[str, float]:
    """Return how much lighter the whole is in the mean than the truth: shift_y, shift_r, _g, _b.

    In levels of 255, signed. RGB are those of the mean Y, U and V, before a screen clips them.
    """
    moved = np.array(
        [
            plane.mean(dtype=np.float64) - other.mean(dtype=np.float64)
            for plane, other in zip(planes(video), planes(truth), strict=True)
        ]
    )
    red, green, blue = np.linalg.inv(matrix) @ moved
    shifts = {"y": moved[0], "r": red, "g": green, "b": blue}
    return {f"shift_{name}": float(value) for name, value in shifts.items()}


def flicker(video: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float | None]:
    """Return how Y changes from frame to frame otherwise than the truth's, in levels of 255.

    `flicker` is the mean of |change - the truth's change|; `flicker_still` the mean |change| where
    the truth stands still, in 3 x 3 pixels to STILL levels, or None if that is nowhere.
    """
    shown, real = np.diff(_luma(video), axis=0), np.diff(_luma(truth), axis=0)
    busy = np.stack([cv2.dilate(np.abs(change), np.ones((3, 3))) for change in real])
    still = busy <= STILL
    return {
        "flicker": float(np.mean(np.abs(shown - real))),
        "flicker_still": float(np.mean(np.abs(shown[still]))) if still.any() else None,
    }


def _luma(rows: Image) -> NDArray[np.float32]:
    return planes(rows)[0].astype(np.float32)


def measure(
    video: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    matrix: NDArray[np.float64],
) -> dict[str, float | None]:
    """Return everything that is measured of a video: `judged`, `color_shift` and `flicker`."""
    return {
        **judged(video, truth),
        **color_shift(video, truth, matrix),
        **flicker(video, truth),
    }
