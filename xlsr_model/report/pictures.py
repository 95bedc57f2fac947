"""The pictures of the quality page."""

import csv
import io
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from matplotlib.figure import Figure

from xlsr_model import weights
from xlsr_model.data.imresize import imresize
from xlsr_model.evaluation.evaluate import tflite
from xlsr_model.report.page import write_picture

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "samples" / "bbb_640x360.mp4"
FRAME = 60
CROP = np.s_[40:200, 225:435]
QUALITY = 95  # of WebP: no difference to be seen in a seventh of the bytes of a PNG


def draw_training_curve(file: Path) -> None:
    """Plot held-out PSNR against steps of every run whose history was kept."""
    histories = sorted((ROOT / "xlsr_model" / "checkpoints").glob("*.csv"))
    if not histories:
        return
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    for history in histories:
        with history.open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["psnr"]]
        steps = [int(row["step"]) for row in rows]
        axes.plot(steps, [float(row["psnr"]) for row in rows], label=history.stem)
    axes.set(xlabel="step", ylabel="held-out RGB PSNR, dB")
    axes.legend()
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, bbox_inches="tight")
    write_picture(file, picture.getvalue())


def write_crops(file: Path) -> None:
    """Put a frame that was shrunk by 3 side by side: by bicubic, by us, as it was."""
    if not CLIP.is_file():
        return
    with av.open(str(CLIP)) as container:
        frame = next(frame for n, frame in enumerate(container.decode(video=0)) if n == FRAME)
        hr = np.asarray(frame.to_ndarray(format="rgb24")[:, :639], np.uint8)
    lr = imresize(hr, Fraction(1, 3))
    parts = [imresize(lr, 3), tflite(weights.path(weights.default(3))).run(lr), hr]
    enlarged = [
        cv2.resize(part[CROP], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) for part in parts
    ]
    bgr = np.hstack(enlarged)[..., ::-1]
    webp = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]
    write_picture(file, webp.tobytes())
