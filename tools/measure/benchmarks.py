"""Measures what docs/benchmarks.md shows on this machine, in about ten minutes, into
docs/data/benchmarks.json.

    python -m tools.measure.benchmarks

Needs the sample clips. Everything compared takes turns within one run.
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
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from streamsr import FileSource, Upscaler
from streamsr.bench import measure
from streamsr.engines import Cells, Engine, Image, Tile
from streamsr.engines.fused import FusedEngine
from streamsr.engines.fused.codegen.library import host_kinds
from streamsr.engines.litert import LiteRTEngine
from streamsr.machine import processor_name, usable_cores, versions
from streamsr.model import find_model
from streamsr.region import Region
from streamsr.tiling.changes import affected_cells, tiles_for
from xlsr_model import weights

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "docs" / "data" / "benchmarks.json"
CLIPS = ("bbb_640x360", "bottle_640x360")
SIZES = [(160, 90), (320, 180), (480, 270), (640, 360), (960, 540), (1280, 720)]
SHARES = [0.0, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0]


def turns(
    works: Mapping[str, Callable[[], object]],
    repetitions: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, tuple[float, float]]:
    """Minimum and median milliseconds of each, taken in turn."""
    seen: dict[str, list[float]] = {name: [] for name in works}
    for repetition in range(repetitions + 1):
        for name, work in works.items():
            start = clock()
            work()
            if repetition:  # the first is a warm-up
                seen[name].append((clock() - start) * 1e3)
    return {name: (min(times), statistics.median(times)) for name, times in seen.items()}


def by_area() -> dict[str, tuple[float, float]]:
    engine = FusedEngine(find_model(), threads=1)
    works = {}
    for width, height in SIZES:
        lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        tile = Tile(lr, np.empty((height * 3, width * 3, 3), np.uint8), Region.of(width, height))
        works[f"{width}x{height}"] = partial(engine.run, [tile])
    return turns(works, 40)


def by_share() -> dict[str, tuple[float, float]]:
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
            tile = Tile(lr, hr, Region.of(640, 360), cells)
            works[f"{kind} {share}"] = partial(engine.run, [tile])
    return turns(works, 40)


def by_threads() -> dict[str, tuple[float, float]]:
    lr = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    tile = Tile(lr, np.empty((1080, 1920, 3), np.uint8), Region.of(640, 360))
    works = {}
    for threads in range(1, usable_cores() + 1):
        engine = FusedEngine(find_model(), threads=threads)
        works[str(threads)] = partial(engine.run, [tile])
    return turns(works, 60)


def by_kind() -> dict[str, dict[str, tuple[float, float]]]:
    """CPU milliseconds of one thread for a frame: of each shipped model, on each kind of kernels
    that this processor runs and in LiteRT."""
    with FileSource(ROOT / "samples" / f"{CLIPS[0]}.mp4") as source:
        lr = next(itertools.islice(source, 40, None)).rgb
    result = {}
    for name in (name for name in weights.names() if name.endswith("_u8")):
        model = find_model(name)
        engines: dict[str, Engine] = {
            isa.name: FusedEngine(model, threads=1, kind=isa.name) for isa in host_kinds()
        }
        engines["litert"] = LiteRTEngine(model, threads=1)
        works: dict[str, Callable[[], object]] = {}
        for label, engine in engines.items():
            hr = np.empty((lr.shape[0] * engine.scale, lr.shape[1] * engine.scale, 3), np.uint8)
            tile = Tile(lr, hr, Region.of(lr.shape[1], lr.shape[0]))
            works[label] = partial(engine.run, [tile])
        result[name] = turns(works, 20, time.process_time)
    return result


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
        return turns({"work": work}, 3)["work"][0]

    with FileSource(ROOT / "samples" / "bottle_640x360.mp4") as source:
        pictures = [frame.rgb for frame in itertools.islice(source, frames)]

    def every_picture() -> None:
        for lr in pictures:
            engine.run([Tile(lr, hr, Region.of(640, 360))])

    whole = least(every_picture) / len(pictures)
    for last, lr in itertools.pairwise(pictures):
        cells = affected_cells(last, lr)
        changed = (last != lr).any(axis=2).astype(np.uint8)
        shares["pixels"].append(float(cv2.dilate(changed, np.ones((11, 11), np.uint8)).mean()))
        shares["affected"].append(float(cells.mean()))
        shares["blocks"].append(
            float(np.pad(cells, ((0, 3), (0, 0))).reshape(12, 4, 20, 4).any(axis=(1, 3)).mean())
        )
        shares["network"].append(least(partial(run_cells, engine, lr, hr, cells)) / whole)
        shares["compare_ms"].append(least(partial(affected_cells, last, lr)))
    return {name: statistics.mean(values) for name, values in shares.items()}


def run_cells(engine: FusedEngine, lr: Image, hr: Image, cells: Cells) -> None:
    """Cutting the cells into tiles counts too."""
    engine.run(tiles_for(engine, lr, hr, cells))


def static(frames: int = 200) -> float:
    """Milliseconds for a frame that equals the one before."""
    with FileSource(ROOT / "samples" / "bbb_640x360.mp4") as source, Upscaler() as upscaler:
        frame = next(iter(source))
        copies = [type(frame)(frame.rgb.copy(), i, frame.time_base) for i in range(8)]
        upscaler.frames([frame])
        works = {"same": lambda: upscaler.frames([copies[np.random.randint(8)]])}
        return turns(works, frames)["same"][1]


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


WITHOUT_VNNI = """
import json
from streamsr.engines import conformity
from streamsr.engines.difference import WrongResults
from streamsr.engines.openvino import NO_INT8, OpenVINOEngine
from streamsr.model import find_model
engine = OpenVINOEngine(find_model("clean"))
d = engine.difference
seen = [f"{d.different} of {d.size}", str(d.levels), f"{d.psnr_db:.1f} dB", str(engine.bound)]
rows = [[engine.name, "test pictures", *seen]]
for name in NO_INT8:
    engine._options.pop(name, None)
engine._requests = {}
try:
    conformity.check(engine, find_model("clean"))
except WrongResults as error:
    rows += [["openvino in 8 bits", "test pictures", f"not used: {error}", "", "", ""]]
print(json.dumps(rows))
"""
"""In a process whose oneDNN is told that there is no VNNI: what the engine does, and what 8 bits
would have done."""


def without_vnni() -> list[list[str]]:
    """Rows of the engines' table for a processor without VNNI, simulated; none where OpenVINO is
    not installed."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    words = [sys.executable, "-c", WITHOUT_VNNI]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    rows: list[list[str]] = json.loads(done.stdout or "[]")
    return rows


def main() -> None:
    reports = {name: measure(ROOT / "samples" / f"{name}.mp4") for name in CLIPS}
    numbers = {
        "date": str(datetime.date.today()),
        "machine": processor_name(),
        "versions": versions(),
        "reports": {name: json.loads(report.json()) for name, report in reports.items()},
        "without_vnni": without_vnni(),
        "area": by_area(),
        "share": by_share(),
        "threads": by_threads(),
        "kinds": by_kind(),
        "camera": camera(),
        "static_ms": static(),
        "first_frame_s": first_frame(),
        "help_s": help_text(),
    }
    RESULT.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    print(RESULT)


if __name__ == "__main__":
    main()
