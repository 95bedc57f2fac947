"""Remakes the measured part of docs/quality.md, with its pictures, from the files that are shipped.

Everything between the two markers is overwritten; what stands around them is written by people.
"""

import io
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from xlsr_model import weights
from xlsr_model.data.images import find_images, load_pairs
from xlsr_model.evaluation.evaluate import bicubic, evaluate, tflite
from xlsr_model.evaluation.model_card import measure
from xlsr_model.files import write_file
from xlsr_model.network import NETWORKS, macs_per_pixel, parameter_count
from xlsr_model.report.paper_tables import calibration_table, networks_table

START, END = "<!-- measured: start -->", "<!-- measured: end -->"
# Y and RGB PSNR in dB, measured with this evaluation (x3): the best public float weights of XLSR, and ABPN (42.5K
# parameters, quantisation-aware int8). The paper's own numbers are Y of its float32 network.
OTHERS: dict[str, dict[str, tuple[float | None, float | None]]] = {
    "XLSR, best public weights, float": {
        "Set5": (33.27, 31.32),
        "Set14": (29.63, 27.75),
        "B100": (28.61, 27.26),
    },
    "ABPN, int8, 42.5K parameters": {
        "Set5": (33.47, 31.47),
        "Set14": (29.74, 27.83),
        "B100": (28.68, 27.32),
    },
    "XLSR, the paper, float (Y)": {
        "Set5": (33.42, None),
        "Set14": (29.73, None),
        "B100": (28.55, None),
    },
}
SENT_AS = (
    ("libx264", 4),
    ("libx264", 18),
    ("libx264", 23),
    ("libx264", 28),
    ("libx264", 33),
    ("libx265", 28),
)
PAPER_PARAMETERS = {"xlsr": "22K", "fsrcnn": "25K", "espcn": "31K"}

Means = dict[str, dict[str, float]]  # set -> measure -> value


def write_report(sets: Path, document: Path) -> None:
    """Measures every shipped model on every set in `sets`; the first run makes the document."""
    text = (
        document.read_text(encoding="utf-8")
        if document.is_file()
        else f"# Quality\n\n{START}\n{END}\n"
    )
    if START not in text or END not in text:
        raise ValueError(f"{document}: the markers {START} and {END} are missing")
    images = document.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    part = "\n\n".join(
        [
            f"Measured by `python -m xlsr_model report --sets ...` on {platform.machine()}, {os.cpu_count()} cores; "
            "every file through LiteRT as it is shipped. Border of one scale cut; Y as MATLAB's, not rounded.",
            "### The shipped files\n\n" + _shipped_table(sets),
            "### Against others at x3 (the paper's Table 4)\n\n" + _others_table(sets),
            "### Size (Table 1)\n\n" + _size_table(),
            *_quantisation_tables(document.with_name("quality_tables.json")),
            "### Challenge score (Table 3)\n\n" + _score_table(sets),
            "### On video\n\n" + _video_table(),
            _curve(images / "quality_curve.png"),
            _crops(images / "quality_crops.png"),
        ]
    )
    before, after = text.split(START)[0], text.split(END)[1]
    write_file(document, f"{before}{START}\n{part}\n{END}{after}".encode(), overwrite=True)


def _shipped_table(sets: Path) -> str:
    rows = []
    for name in weights.names():
        means, card = measure(weights.path(name), sets), weights.card(name)
        loss = card.get("loss_against", {}).get("db", {})
        for set_name, mean in means.items():
            lost = f"{loss[set_name]['psnr_rgb']:.2f}" if set_name in loss else ""
            rows.append([name, set_name, *_four(mean), lost])
    return _table(
        ["file", "set", "Y dB", "RGB dB", "Y SSIM", "RGB SSIM", "RGB dB lost to its float twin"],
        rows,
    )


def _four(mean: dict[str, float]) -> list[str]:
    return [
        f"{mean[key]:.{2 if 'psnr' in key else 4}f}"
        for key in ("psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb")
    ]


def _others_table(sets: Path) -> str:
    names = sorted(folder.name for folder in sets.iterdir() if folder.is_dir())
    ours: dict[str, Means] = {"bicubic": _bicubic_means(sets, names)}
    for name in weights.names():
        if name.startswith("xlsr_x3"):
            ours[f"ours, `{name}`"] = measure(weights.path(name), sets)
    rows = [
        [label, *(f"{m[n]['psnr_y']:.2f} / {m[n]['psnr_rgb']:.2f}" for n in names)]
        for label, m in ours.items()
    ]
    for label, values in OTHERS.items():
        pairs = (values.get(name, (None, None)) for name in names)
        rows.append(
            [label, *(" / ".join(f"{v:.2f}" if v else "-" for v in pair) for pair in pairs)]
        )
    return _table(["Y / RGB, dB", *names], rows)


def _bicubic_means(sets: Path, names: list[str]) -> Means:
    return {
        name: evaluate(bicubic(3), load_pairs(find_images(sets / name), 3, smallest=12))["mean"]
        for name in names
    }


def _size_table() -> str:
    rows: list[list[Any]] = []
    for network in sorted(NETWORKS):
        for scale in (2, 3, 4):
            paper = PAPER_PARAMETERS[network] if scale == 3 else ""
            rows.append(
                [
                    network,
                    scale,
                    f"{parameter_count(network, scale):,}",
                    paper,
                    macs_per_pixel(network, scale),
                ]
            )
    return _table(["network", "scale", "parameters", "paper", "MAC per low-resolution pixel"], rows)


def _quantisation_tables(file: Path) -> list[str]:
    """From what ``python -m xlsr_model tables`` measured, if it did."""
    if not file.is_file():
        return []
    measured = json.loads(file.read_text(encoding="utf-8"))
    steps = next(iter(measured["networks"].values()))["steps"]
    return [
        "### Quantised after training (Tables 2 and 5)\n\n"
        f"Each trained for {steps:,} steps by `configs/compare_*.toml`, then quantised per tensor; RGB dB, "
        "float → uint8.\n\n" + _table(*networks_table(measured)),
        "### Calibration\n\nRGB dB that post-training quantisation of the first of these costs, by the pictures that "
        "its ranges are taken from.\n\n" + _table(*calibration_table(measured)),
    ]


def _score_table(sets: Path) -> str:
    """2^(2 * PSNR) / (C * runtime), the challenge's formula; C only sets the unit, here our uint8 file is 1."""
    rows: list[list[str]] = []
    first: float | None = None
    for name in ("xlsr_x3_u8", "xlsr_x3_f32"):
        if name not in weights.names():
            continue
        set_name = (
            "B100"
            if (sets / "B100").is_dir()
            else sorted(entry.name for entry in sets.iterdir())[0]
        )
        psnr = measure(weights.path(name), sets)[set_name]["psnr_rgb"]
        runtime = runtime_ms(weights.path(name))
        score = 2 ** (2 * psnr) / runtime
        first = first or score
        rows.append([name, f"{psnr:.2f} ({set_name})", f"{runtime:.1f}", f"{score / first:.2f}"])
    return _table(
        ["file", "RGB dB", "ms for 1920x1080, LiteRT, one thread", "score, ours uint8 = 1"], rows
    )


def _video_table() -> str:
    """Clips of the repository, shrunk, encoded and decoded: bicubic, the clean model, the video model."""
    from xlsr_model.evaluation.video import compare_on_video

    rows = []
    for scale in (2, 3):
        upscalers = [
            bicubic(scale),
            *(tflite(weights.path(f"{kind}_x{scale}_u8")) for kind in ("xlsr", "xlsr-video")),
        ]
        for clip in sorted((Path(__file__).resolve().parents[2] / "samples").glob("*.mp4")):
            for codec, crf in SENT_AS:
                means = compare_on_video(clip, upscalers, codec=codec, crf=crf)
                rows.append(
                    [
                        scale,
                        clip.stem,
                        f"{codec} {crf}",
                        *(f"{value:.2f}" for value in means.values()),
                    ]
                )
    return _table(
        ["scale", "clip, Y dB", "low resolution sent as", "bicubic", "clean model", "video model"],
        rows,
    )


def runtime_ms(model: Path, *, runs: int = 10) -> float:
    """Fastest of `runs` on a 640x360 frame, one thread: the minimum is what the machine's other work disturbs least."""
    interpreter = Interpreter(str(model), num_threads=1)
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], (1, 360, 640, 3))
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], np.full((1, 360, 640, 3), 1, detail["dtype"]))
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


def _curve(file: Path) -> str:
    """Held-out PSNR against steps of every run whose history was kept."""
    import csv

    import matplotlib

    matplotlib.use("Agg")  # no display needed
    from matplotlib import pyplot

    histories = sorted((Path(__file__).parents[1] / "checkpoints").glob("*.csv"))
    if not histories:
        return ""
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for history in histories:
        with history.open(newline="") as stream:
            points = [
                (int(row["step"]), float(row["psnr"]))
                for row in csv.DictReader(stream)
                if row["psnr"]
            ]
        axes.plot(*zip(*points, strict=True), label=history.stem)
    axes.set(xlabel="step", ylabel="held-out RGB PSNR, dB")
    axes.legend()
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    write_file(file, picture.getvalue(), overwrite=True)
    return f"### Training\n\n![held-out PSNR against steps](images/{file.name})"


def _crops(file: Path) -> str:
    """A frame of a shipped clip shrunk by 3, brought back by bicubic and by us, beside the original."""
    import av
    import cv2

    clip = Path(__file__).resolve().parents[2] / "samples" / "bbb_640x360.mp4"
    if not clip.is_file():
        return ""
    with av.open(str(clip)) as container:
        frames = (frame for n, frame in enumerate(container.decode(video=0)) if n == 60)
        hr = np.asarray(next(frames).to_ndarray(format="rgb24")[:, :639], np.uint8)
    from fractions import Fraction

    from xlsr_model.data.imresize import imresize

    lr = imresize(hr, Fraction(1, 3))
    parts = [imresize(lr, 3), tflite(weights.path(weights.default(3))).run(lr), hr]
    crops = [
        cv2.resize(part[40:200, 225:435], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        for part in parts
    ]
    write_file(file, cv2.imencode(".png", np.hstack(crops)[..., ::-1])[1].tobytes(), overwrite=True)
    caption = "bicubic, ours (uint8), original; Big Buck Bunny, (c) Blender Foundation, CC BY 3.0"
    return f"### Crops\n\n![{caption}](images/{file.name})\n\n{caption[0].upper()}{caption[1:]}."


def _table(header: list[str], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
