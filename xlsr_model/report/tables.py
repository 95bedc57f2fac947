"""The tables of the quality page that the shipped files alone give."""

from pathlib import Path
from typing import Any

from xlsr_model import weights
from xlsr_model.data.images import find_images, load_pairs
from xlsr_model.evaluation.evaluate import bicubic, evaluate, shown, tflite
from xlsr_model.evaluation.video import compare_on_video
from xlsr_model.network import NETWORKS, macs_per_pixel, parameter_count
from xlsr_model.report.markdown import table
from xlsr_model.report.timing import runtime_ms

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
"""Y and RGB PSNR in dB at x3, measured by this evaluation; the paper's own numbers are Y alone."""

SENT_AS = (
    ("libx264", 4),
    ("libx264", 18),
    ("libx264", 23),
    ("libx264", 28),
    ("libx264", 33),
    ("libx265", 28),
)
PAPER_PARAMETERS = {"xlsr": "22K", "fsrcnn": "25K", "espcn": "31K"}  # Table 1, at x3
SAMPLES = Path(__file__).resolve().parents[2] / "samples"

Means = dict[str, dict[str, float]]
"""{set: {psnr_y, psnr_rgb, ssim_y, ssim_rgb}}."""


def shipped_table(measured: dict[str, Means]) -> str:
    """Make the table of the shipped files; `measured` is {file: means}."""
    rows = []
    for name, means in measured.items():
        loss = weights.card(name).get("loss_against", {}).get("db", {})
        for set_name, mean in means.items():
            lost = f"{loss[set_name]['psnr_rgb']:.2f}" if set_name in loss else ""
            db = [f"{mean[key]:.2f}" for key in ("psnr_y", "psnr_rgb")]
            ssim = [f"{mean[key]:.4f}" for key in ("ssim_y", "ssim_rgb")]
            rows.append([name, set_name, *db, *ssim, lost])
    header = ["file", "set", "Y dB", "RGB dB", "Y SSIM", "RGB SSIM"]
    return table([*header, "RGB dB lost to its float twin"], rows)


def comparison_table(measured: dict[str, Means], sets: Path) -> str:
    """Make the table of bicubic, our x3 files and `OTHERS`."""
    names = sorted(folder.name for folder in sets.iterdir() if folder.is_dir())
    ours: dict[str, Means] = {"bicubic": _bicubic_means(sets, names)}
    for name, means in measured.items():
        if name.startswith("xlsr_x3"):
            ours[f"ours, `{name}`"] = means
    rows = []
    for label, means in ours.items():
        of_sets = [means[name] for name in names]
        rows.append([label, *(f"{m['psnr_y']:.2f} / {m['psnr_rgb']:.2f}" for m in of_sets)])
    for label, values in OTHERS.items():
        pairs = (values.get(name, (None, None)) for name in names)
        rows.append([label, *(" / ".join(f"{v:.2f}" if v else "-" for v in p) for p in pairs)])
    return table(["Y / RGB, dB", *names], rows)


def _bicubic_means(sets: Path, names: list[str]) -> Means:
    return {
        name: evaluate(bicubic(3), load_pairs(find_images(sets / name), 3, smallest=12))["mean"]
        for name in names
    }


def size_table() -> str:
    """Make the table of parameters and multiply-accumulates."""
    rows: list[list[Any]] = []
    for network in sorted(NETWORKS, key=lambda name: macs_per_pixel(name, 3)):
        for scale in (2, 3, 4):
            paper = PAPER_PARAMETERS.get(network, "") if scale == 3 else ""
            parameters = f"{parameter_count(network, scale):,}"
            rows.append([network, scale, parameters, paper, macs_per_pixel(network, scale)])
    header = ["network", "scale", "parameters", "paper", "MAC per low-resolution pixel"]
    return table(header, rows)


def score_table(measured: dict[str, Means]) -> str:
    """Make the table of the challenge's score, 2^(2 * PSNR) / (C * runtime).

    C only sets the unit: here our uint8 file is 1. On B100, or else the first set there is.
    """
    rows: list[list[str]] = []
    first: float | None = None
    for name in ("xlsr_x3_u8", "xlsr_x3_f32"):
        if name not in measured:
            continue
        means = measured[name]
        set_name = "B100" if "B100" in means else min(means)
        psnr = means[set_name]["psnr_rgb"]
        runtime = runtime_ms(weights.path(name))
        score = 2 ** (2 * psnr) / runtime
        first = first or score
        rows.append([name, f"{psnr:.2f} ({set_name})", f"{runtime:.1f}", f"{score / first:.2f}"])
    header = ["file", "RGB dB", "ms for 1920x1080, LiteRT, one thread", "score, ours uint8 = 1"]
    return table(header, rows)


def video_table() -> str:
    """Make the table of the repository's clips, shrunk, encoded, decoded and shown."""
    rows = []
    for scale in (2, 3):
        models = (weights.path(f"{family}_x{scale}_u8") for family in ("xlsr", "xlsr-video"))
        upscalers = [bicubic(scale), *(shown(tflite(model)) for model in models)]
        for clip in sorted(SAMPLES.glob("*.mp4")):
            for codec, crf in SENT_AS:
                means = compare_on_video(clip, upscalers, codec=codec, crf=crf)
                values = [f"{value:.2f}" for value in means.values()]
                rows.append([scale, clip.stem, f"{codec} {crf}", *values])
    header = ["scale", "clip, Y dB", "low resolution sent as"]
    return table([*header, "bicubic", "clean model", "video model"], rows)
