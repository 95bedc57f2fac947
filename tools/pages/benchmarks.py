"""Fills docs/benchmarks.md and draws its plot from docs/data/benchmarks.json, which
tools/measure/benchmarks.py makes.

    python -m tools.pages.benchmarks

docs/scaling.md has figures of them too: `tools.pages.scaling`. Needs matplotlib, of the extra
``train``.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamsr.engines.fused.graph import read_network
from streamsr.model import find_model
from xlsr_model.report.markdown import table
from xlsr_model.report.page import fill, write_picture

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "benchmarks.md"
PLOT = DOCS / "images" / "benchmarks.png"
MAIN_CLIP = "bbb_640x360"

Numbers = Mapping[str, Any]
"""What the JSON file holds."""


def recorded() -> Numbers:
    numbers: Numbers = json.loads((DOCS / "data" / "benchmarks.json").read_text(encoding="utf-8"))
    return numbers


def parts() -> dict[str, str]:
    """The page's generated parts by their names."""
    numbers = recorded()
    return {
        "machine": machine(numbers),
        "stages": stages(numbers),
        "ratios": ratios(numbers),
        "kinds": kinds(numbers),
        "engines": engines(numbers),
        "without-vnni": without_vnni(numbers),
        "command": command(numbers),
        "reuse": reuse(numbers),
        "area": area(numbers),
        "share": share(numbers),
        "start": start(numbers),
    }


def machine(numbers: Numbers) -> str:
    used = dict(numbers["versions"])
    python = used.pop("python")
    return (
        f"Measured by `python -m tools.measure.benchmarks` on {numbers['date']}: "
        f"{numbers['reports'][MAIN_CLIP]['machine']}, Python {python}; "
        + ", ".join(f"{name} {version}" for name, version in used.items())
        + "."
    )


def stages(numbers: Numbers) -> str:
    rows = [
        [
            s["name"],
            *(f"{s[key]:.2f}" for key in ("minimum", "median", "cpu")),
            f"{1e3 / s['median']:.1f}",
        ]
        for s in numbers["reports"][MAIN_CLIP]["stages"]
    ]
    return table(["stage", "min ms", "median ms", "CPU ms", "frames/s (median)"], rows)


def ratios(numbers: Numbers) -> str:
    """What the engines' times make of one another, and of the processor's peak."""
    report, threads = numbers["reports"][MAIN_CLIP], numbers["threads"]
    times = {s["name"]: s for s in report["stages"]}
    fused = times["network: fused, 1 thread"]
    peak = report["peak_gmac_s"]

    def ratio(other: str) -> str:
        its = times[f"network: {other}, 1 thread"]
        return (
            f"{its['minimum'] / fused['minimum']:.2f} (minima), "
            f"{its['median'] / fused['median']:.2f} (medians)"
        )

    if not peak:
        lines = ["- This processor has no int8 dot product."]
    else:
        macs = read_network(find_model(report["model"]).content).macs
        done = macs * 640 * 360 / (fused["minimum"] * 1e6)
        lines = [
            f"- Peak of the int8 dot product on one core, registers only: {peak} GMAC/s.",
            f"- Fused engine: {done:.0f} GMAC/s of real multiply-adds, {done / peak:.0%} of that "
            "peak (asked 70 %, aim 80 %).",
            f"- LiteRT's time over the fused engine's, one thread each: {ratio('litert')} "
            "(asked 3.8).",
        ]
        lines += [
            f"- OpenVINO's time over the fused engine's: {ratio(e['engine'])} (asked 2.2)."
            for e in report["engines"]
            if e["engine"].startswith("openvino") and e["refused"] is None
        ]
    if "2" in threads:
        (least, median), (least_of_two, median_of_two) = threads["1"], threads["2"]
        lines.append(
            f"- Two threads: {least / least_of_two:.2f} (minima), "
            f"{median / median_of_two:.2f} (medians) times one (asked 1.7)."
        )
    return "\n".join(lines)


def kinds(numbers: Numbers) -> str:
    """CPU time by model, with LiteRT's over each."""
    names = list(next(iter(numbers["kinds"].values())))
    rows = []
    for model, times in numbers["kinds"].items():
        least, median = times["litert"]
        cells = [
            f"{times[name][0]:.1f} / {times[name][1]:.1f} ({least / times[name][0]:.2f} x)"
            for name in names
            if name != "litert"
        ]
        rows.append([model, *cells, f"{least:.1f} / {median:.1f}"])
    return table(["model", *names], rows)


def engines(numbers: Numbers) -> str:
    rows = []
    for clip, report in numbers["reports"].items():
        for e in report["engines"]:
            if e["refused"] is not None:
                why = e["refused"].replace("|", "/")
                rows.append([e["engine"], clip, f"not used here: {why}", "", "", ""])
                continue
            psnr = "the same bytes" if e["psnr_db"] is None else f"{e['psnr_db']:.1f} dB"
            different = f"{e['different']} of {e['bytes']}"
            rows.append([e["engine"], clip, different, e["levels"], psnr, e["allowed"]])
    return table(
        [
            "engine",
            "clip",
            "bytes different",
            "largest, levels",
            "PSNR of the worst frame",
            "allowed",
        ],
        rows,
    )


def without_vnni(numbers: Numbers) -> str:
    header = ["engine", "pictures", "bytes different", "largest, levels"]
    return table([*header, "PSNR of the worst picture", "allowed"], numbers["without_vnni"])


def command(numbers: Numbers) -> str:
    rows = []
    for clip, report in numbers["reports"].items():
        c, own_s = report["command"], report["command"]["cpu_s"] / report["cores"]
        rows.append(
            [
                clip,
                c["frames"],
                f"{c['frames'] / c['steady_s']:.1f}",
                f"{c['steady_s']:.2f}",
                f"{c['bound_s']:.2f}",
                f"{c['steady_s'] / c['bound_s']:.2f}",
                f"{c['wall_s']:.2f}",
                f"{c['wall_s'] / own_s:.2f}",
                f"{c['peak_mib']:.0f} MiB",
            ]
        )
    header = ["clip", "frames", "frames/s", "seconds", "bound", "seconds / bound", "with start"]
    return table([*header, "with start / own CPU", "peak memory"], rows)


def reuse(numbers: Numbers) -> str:
    fixed = numbers["camera"]
    return (
        "- Fixed camera (`samples/bottle_640x360.mp4`), whose noise changes scattered blocks "
        "everywhere: a change\n"
        f"  reaches {fixed['pixels']:.1%} of the pixels, {fixed['affected']:.1%} of the 8x8 cells "
        f"and {fixed['blocks']:.1%} of the 32x32 blocks; the\n"
        f"  network takes {fixed['network']:.1%} of its full time (asked: at most the changed "
        "share plus 10 %).\n"
        f"- Finding what changed: {fixed['compare_ms']:.2f} ms a frame.\n"
        f"- A frame equal to the one before: {numbers['static_ms']:.2f} ms."
    )


def area(numbers: Numbers) -> str:
    per_pixel = {size: 1e6 * least / pixels(size) for size, (least, _) in numbers["area"].items()}
    rows = [
        [size, f"{least:.2f}", f"{median:.2f}", f"{per_pixel[size]:.1f}"]
        for size, (least, median) in numbers["area"].items()
    ]
    return (
        table(["LR frame", "min ms", "median ms", "ns a pixel"], rows)
        + f"\n\nTime grows with the area: {min(per_pixel.values()):.1f} to "
        f"{max(per_pixel.values()):.1f} ns a pixel over a 64-fold range."
    )


def share(numbers: Numbers) -> str:
    times = numbers["share"]
    rows = [
        [f"{s:.0%}", *(f"{times[f'{kind} {s}'][0]:.2f}" for kind in ("scattered", "one block"))]
        for s in shares(numbers)
    ]
    return table(["cells affected", "scattered, ms", "one block, ms"], rows)


def start(numbers: Numbers) -> str:
    first = numbers["first_frame_s"]
    return (
        f"- First upscaled frame {first['cold']:.2f} s after the start with an empty cache "
        f"(asked 1.5), {first['warm']:.2f} s with a warm one (asked 0.7).\n"
        f"- Help text: {numbers['help_s']:.2f} s (asked 0.2)."
    )


def pixels(size: str) -> int:
    width, height = map(int, size.split("x"))
    return width * height


def shares(numbers: Numbers) -> list[float]:
    return [float(key.split()[-1]) for key in numbers["share"] if key.startswith("scattered")]


def plot(numbers: Numbers) -> bytes:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6))
    times = numbers["area"]
    left.plot([pixels(size) / 1e3 for size in times], [least for least, _ in times.values()], "o-")
    left.set(
        xlabel="thousand LR pixels",
        ylabel="ms, one thread",
        title="Time against frame area",
        ylim=0,
        xlim=0,
    )
    whole = numbers["share"]["one block 1.0"][0]
    for kind in ("scattered", "one block"):
        right.plot(
            [100 * s for s in shares(numbers)],
            [100 * numbers["share"][f"{kind} {s}"][0] / whole for s in shares(numbers)],
            "o-",
            label=kind,
        )
    right.plot([0, 100], [0, 100], ":", color="gray", label="proportional")
    right.set(
        xlabel="% of 8x8 cells affected",
        ylabel="% of a whole frame's time",
        title="Exact recomputation",
    )
    right.legend()
    figure.tight_layout()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=90)
    return picture.getvalue()


def main() -> None:
    fill(PAGE, parts())
    write_picture(PLOT, plot(recorded()))


if __name__ == "__main__":
    main()
