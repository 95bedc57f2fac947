"""Remake docs/benchmarks.md and its plot on this machine: ``python docs/make_benchmarks.py``. About
ten minutes.

Needs the sample clips and matplotlib (in the ``train`` extra). Everything compared takes turns
within one run.
"""

import datetime
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from streamsr import FileSource, Upscaler
from streamsr.bench import FRAMES, Report, measure
from streamsr.engines import Tile
from streamsr.engines.fused import FusedEngine
from streamsr.machine import processor_name, usable_cores
from streamsr.model import find_model
from streamsr.region import Region
from streamsr.stats import versions
from streamsr.tiling.changes import affected_cells, tiles_of

ROOT = Path(__file__).parents[1]
SIZES = [(160, 90), (320, 180), (480, 270), (640, 360), (960, 540), (1280, 720)]
SHARES = [0.0, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0]


def turns(
    works: dict[object, Callable[[], None]], repetitions: int
) -> dict[object, tuple[float, float]]:
    """Minimum and median milliseconds of each, taken in turn."""
    seen: dict[object, list[float]] = {name: [] for name in works}
    for repetition in range(repetitions + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if repetition:  # the first is a warm-up
                seen[name].append((time.perf_counter() - start) * 1e3)
    return {name: (min(times), statistics.median(times)) for name, times in seen.items()}


def by_area() -> dict[object, tuple[float, float]]:
    engine = FusedEngine(find_model(), threads=1)
    works = {}
    for width, height in SIZES:
        lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        tile = Tile(lr, np.empty((height * 3, width * 3, 3), np.uint8), Region.of(width, height))
        works[width, height] = lambda tile=tile: engine.run([tile])
    return turns(works, 40)


def by_share() -> dict[object, tuple[float, float]]:
    engine = FusedEngine(find_model(), threads=1)
    rng = np.random.default_rng(0)
    lr, hr = rng.integers(0, 256, (360, 640, 3), np.uint8), np.empty((1080, 1920, 3), np.uint8)
    works = {}
    for share in SHARES:
        for kind in ("scattered", "one block"):
            cells = rng.random((45, 80)) < share
            if kind == "one block":
                cells[:] = False
                cells[: round(45 * share**0.5), : round(80 * share**0.5)] = True
            works[kind, share] = lambda cells=cells: engine.run(
                [Tile(lr, hr, Region.of(640, 360), cells)]
            )
    return turns(works, 40)


def by_threads() -> dict[object, tuple[float, float]]:
    lr = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    tile = Tile(lr, np.empty((1080, 1920, 3), np.uint8), Region.of(640, 360))
    works = {}
    for threads in range(1, usable_cores() + 1):
        engine = FusedEngine(find_model(), threads=threads)
        works[threads] = lambda engine=engine: engine.run([tile])
    return turns(works, 60)


def camera(frames: int = 120) -> dict[str, float]:
    """The fixed camera: what changes from frame to frame, and the network's time for it, least of
    three runs each."""
    import cv2

    shares: dict[str, list[float]] = {
        "pixels": [],
        "affected": [],
        "blocks": [],
        "network": [],
        "compare_ms": [],
    }
    engine = FusedEngine(find_model(), threads=1)
    hr = np.empty((1080, 1920, 3), np.uint8)

    def least(work: Callable[[], object]) -> float:
        return turns({0: work}, 3)[0][0]

    with FileSource(ROOT / "samples" / "bottle_640x360.mp4") as source:
        pictures = [frame.rgb for frame in itertools.islice(source, frames)]
    whole = least(
        lambda: [engine.run([Tile(lr, hr, Region.of(640, 360))]) for lr in pictures]
    ) / len(pictures)
    for last, lr in itertools.pairwise(pictures):
        cells = affected_cells(last, lr)
        changed = (last != lr).any(axis=2).astype(np.uint8)
        shares["pixels"].append(float(cv2.dilate(changed, np.ones((11, 11), np.uint8)).mean()))
        shares["affected"].append(float(cells.mean()))
        shares["blocks"].append(
            float(np.pad(cells, ((0, 3), (0, 0))).reshape(12, 4, 20, 4).any(axis=(1, 3)).mean())
        )
        shares["network"].append(
            least(lambda lr=lr, c=cells: engine.run(tiles_of(engine, lr, hr, c))) / whole
        )
        shares["compare_ms"].append(least(lambda last=last, lr=lr: affected_cells(last, lr)))
    return {name: statistics.mean(values) for name, values in shares.items()}


def static(frames: int = 200) -> float:
    """Milliseconds for a frame that equals the one before."""
    with FileSource(ROOT / "samples" / "bbb_640x360.mp4") as source, Upscaler() as upscaler:
        frame = next(iter(source))
        copies = [type(frame)(frame.rgb.copy(), i, frame.time_base) for i in range(8)]
        upscaler.frames([frame])
        works = {0: lambda: upscaler.frames([copies[np.random.randint(8)]])}
        return turns(works, frames)[0][1]


def first_frame(runs: int = 5) -> dict[str, float]:
    """Seconds from the start of the process to the first upscaled frame, least of the runs."""
    script = (
        "import sys\nfrom streamsr import FileSource, Pipeline, Upscaler\n"
        "with Upscaler() as upscaler:\n"
        "    next(iter(Pipeline(FileSource(sys.argv[1]), upscaler)))\n"
        "    print(flush=True)\n"
    )
    best = {"cold": float("inf"), "warm": float("inf")}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as cache:
            for kind in ("cold", "warm"):
                start = time.perf_counter()
                child = subprocess.Popen(
                    [sys.executable, "-c", script, str(ROOT / "samples" / "bbb_640x360.mp4")],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "XDG_CACHE_HOME": cache},
                )
                assert child.stdout is not None
                child.stdout.readline()
                best[kind] = min(best[kind], time.perf_counter() - start)
                child.communicate()
    return best


def help_text(runs: int = 10) -> float:
    command = [sys.executable, "-m", "streamsr", "upscale", "--help"]
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


def plot(area: dict, share: dict, target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6))
    left.plot([w * h / 1e3 for w, h in area], [times[0] for times in area.values()], "o-")
    left.set(
        xlabel="thousand LR pixels",
        ylabel="ms, one thread",
        title="Time against frame area",
        ylim=0,
        xlim=0,
    )
    for kind in ("scattered", "one block"):
        points = [(s, share[kind, s][0]) for s in SHARES]
        right.plot(
            [100 * s for s, _ in points],
            [100 * t / share["one block", 1.0][0] for _, t in points],
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
    figure.savefig(target, dpi=90)


def stage_table(report: Report) -> list[str]:
    return [
        "| stage | min ms | median ms | CPU ms | frames/s (median) |",
        "|---|---|---|---|---|",
        *(
            f"| {s.name} | {s.minimum:.2f} | {s.median:.2f} | {s.cpu:.2f} | {1e3 / s.median:.1f} |"
            for s in report.stages
        ),
    ]


def engine_table(reports: dict[str, Report]) -> list[str]:
    lines = [
        "| engine | clip | bytes different | largest, levels | PSNR of the worst frame | allowed |",
        "|---|---|---|---|---|---|",
    ]
    for name, report in reports.items():
        for e in report.engines:
            if e.refused is not None:
                lines.append(
                    f"| {e.engine} | {name} | not used here: {e.refused.replace('|', '/')} | | | |"
                )
                continue
            psnr = "the same bytes" if e.psnr_db is None else f"{e.psnr_db:.1f} dB"
            lines.append(
                f"| {e.engine} | {name} | {e.different} of {e.bytes} | {e.levels} | {psnr} | "
                f"{e.allowed} |"
            )
    return lines


WITHOUT_VNNI = """
from streamsr.engines import conformity
from streamsr.engines.difference import WrongResults
from streamsr.engines.openvino import NO_INT8, OpenVINOEngine
from streamsr.model import find_model
engine = OpenVINOEngine(find_model("clean"))
d = engine.difference
print(f"| {engine.name} | test pictures | {d.different} of {d.size} | {d.levels}", end="")
print(f" | {d.psnr_db:.1f} dB | {engine.bound} |")
for name in NO_INT8:
    engine._options.pop(name, None)
engine._requests = {}
try:
    conformity.check(engine, find_model("clean"))
except WrongResults as error:
    print(f"| openvino in 8 bits | test pictures | not used: {error} | | | |")
"""
"""In a process whose oneDNN is told that there is no VNNI: what the engine does, and what 8 bits
would have done."""


def without_vnni() -> list[str]:
    """Rows of the engines' table for a processor without VNNI, simulated; none where OpenVINO is
    not installed."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    words = [sys.executable, "-c", WITHOUT_VNNI]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def main() -> None:
    reports = {
        name: measure(ROOT / "samples" / f"{name}.mp4")
        for name in ("bbb_640x360", "bottle_640x360")
    }
    area, share, threads = by_area(), by_share(), by_threads()
    fixed, still, first, help_s = camera(), static(), first_frame(), help_text()
    images = ROOT / "docs" / "images"
    plot(area, share, images / "benchmarks.png")
    report = reports["bbb_640x360"]
    stages = {s.name: s for s in report.stages}
    peak = report.peak_gmac_s

    def ratio(other: str) -> str:
        a, b = stages[f"network: {other}, 1 thread"], stages["network: fused, 1 thread"]
        return f"{a.minimum / b.minimum:.2f} (minima), {a.median / b.median:.2f} (medians)"

    per_pixel = [1e6 * times[0] / (w * h) for (w, h), times in area.items()]
    lines = [
        "# Benchmarks",
        "",
        f"Made by `python docs/make_benchmarks.py` on {datetime.date.today()}: {report.machine}, "
        f"Python {versions()['python']}; "
        + ", ".join(f"{k} {v}" for k, v in versions().items() if k != "python")
        + ".",
        "`streamsr bench` makes the first table on any machine. Compared things took turns within "
        "one run; the ratios",
        "are worth more than the absolute times. Quoted are minima and medians.",
        "",
        f"## Stages, {report.source} to {report.result}, `samples/bbb_640x360.mp4`",
        "",
        *stage_table(report),
        "",
        f"- Peak of the int8 dot product on one core, registers only: {peak} GMAC/s."
        if peak
        else "- This processor has no int8 dot product.",
    ]
    if peak:
        from streamsr.engines.fused.peak import macs

        done = macs(3) * 640 * 360 / (stages["network: fused, 1 thread"].minimum * 1e6)
        lines += [
            f"- Fused engine: {done:.0f} GMAC/s of real multiply-adds, {done / peak:.0%} of that "
            f"peak "
            "(asked 70 %, aim 80 %).",
            f"- LiteRT's time over the fused engine's, one thread each: {ratio('litert')} (asked "
            f"3.8).",
        ]
        openvino = next(
            (
                e.engine
                for e in report.engines
                if e.engine.startswith("openvino") and e.refused is None
            ),
            None,
        )
        if openvino is not None:
            lines.append(
                f"- OpenVINO's time over the fused engine's: {ratio(openvino)} (asked 2.2)."
            )
    if 2 in threads:
        lines.append(
            f"- Two threads: {threads[1][0] / threads[2][0]:.2f} (minima), "
            f"{threads[1][1] / threads[2][1]:.2f} (medians) times one (asked 1.7)."
        )
    lines += [
        "",
        "## Each engine against LiteRT",
        "",
        f"On {FRAMES} frames of each clip, by `streamsr bench`. One beyond what is allowed is "
        f"neither timed nor used.",
        "",
        *engine_table(reports),
        "",
        "OpenVINO as on a processor without VNNI, simulated on this one by "
        "`ONEDNN_MAX_CPU_ISA=AVX2`, in the test that",
        "each engine makes when it is opened:",
        "",
        "| engine | pictures | bytes different | largest, levels | PSNR of the worst picture | "
        "allowed |",
        "|---|---|---|---|---|---|",
        *without_vnni(),
    ]
    lines += [
        "",
        "## The whole command",
        "",
        "`streamsr upscale CLIP --preset superfast --no-reuse`, h264, best of three runs.",
        "",
    ]
    lines += [
        "| clip | frames | frames/s | seconds | bound | seconds / bound | with start "
        "| with start / own CPU | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, r in reports.items():
        c = r.command
        lines.append(
            f"| {name} | {c.frames} | {c.steady_fps:.1f} | {c.steady_s:.2f} | {c.bound_s:.2f} | "
            f"{c.steady_s / c.bound_s:.2f} | {c.wall_s:.2f} | {c.wall_s / (c.cpu_s / r.cores):.2f} "
            f"| "
            f"{c.peak_mib:.0f} MiB |"
        )
    lines += [
        "",
        "The bound is the CPU time of decoding, network, conversion and encoding measured alone, "
        "divided by the cores",
        "(asked: at most 1.15 times it, and 30 frames a second). *Seconds* count from the opened "
        "command line,",
        "*with start* from the shell; the last ratio is to the CPU seconds that the command itself "
        "used, divided by",
        "the cores: 1.00 would be no idle core. The bound is too low for a film whose frames cost "
        "the encoder more in",
        f"their order than the {FRAMES} frames in turn that were measured.",
        "",
        "## Reuse of unchanged parts",
        "",
        "- Fixed camera (`samples/bottle_640x360.mp4`), whose noise changes scattered blocks "
        "everywhere: a change",
        f"  reaches {fixed['pixels']:.1%} of the pixels, {fixed['affected']:.1%} of the 8x8 cells "
        f"and "
        f"{fixed['blocks']:.1%} of the 32x32 blocks; the",
        f"  network takes {fixed['network']:.1%} of its full time (asked: at most the changed "
        f"share plus 10 %).",
        f"- Finding what changed: {fixed['compare_ms']:.2f} ms a frame.",
        f"- A frame equal to the one before: {still:.2f} ms.",
        "",
        "![Time against frame area, and against the share of cells "
        "affected](images/benchmarks.png)",
        "",
        "| LR frame | min ms | median ms | ns a pixel |",
        "|---|---|---|---|",
    ]
    for (w, h), times in area.items():
        lines.append(
            f"| {w}x{h} | {times[0]:.2f} | {times[1]:.2f} | {1e6 * times[0] / (w * h):.1f} |"
        )
    lines += [
        "",
        f"Time grows with the area: {min(per_pixel):.1f} to {max(per_pixel):.1f} ns a pixel over a "
        f"64-fold range.",
        "",
        "| cells affected | scattered, ms | one block, ms |",
        "|---|---|---|",
    ]
    for s in SHARES:
        lines.append(
            f"| {s:.0%} | {share['scattered', s][0]:.2f} | {share['one block', s][0]:.2f} |"
        )
    lines += [
        "",
        "## Start",
        "",
        f"- First upscaled frame {first['cold']:.2f} s after the start with an empty cache (asked "
        f"1.5), "
        f"{first['warm']:.2f} s with a warm one (asked 0.7).",
        f"- Help text: {help_s:.2f} s (asked 0.2).",
        "",
    ]
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(lines), encoding="utf-8")
    numbers = {
        "machine": processor_name(),
        "reports": {name: json.loads(r.json()) for name, r in reports.items()},
        "area": {f"{w}x{h}": t for (w, h), t in area.items()},
        "share": {f"{k} {s}": t for (k, s), t in share.items()},
        "threads": threads,
        "camera": fixed,
        "static_ms": still,
        "first_frame_s": first,
        "help_s": help_s,
    }
    (ROOT / "docs" / "benchmarks.json").write_text(
        json.dumps(numbers, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
