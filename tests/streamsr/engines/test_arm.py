"""The whole program on ARM processors that qemu emulates gives LiteRT's bytes.

On demand: ``STREAMSR_TEST_ARM=DIR pytest -m slow tests/streamsr/engines/test_arm.py``. DIR holds an
ARM Linux: ``root`` with /usr/bin/python3.11 and the libraries it needs, ``site`` with the wheels of
the project's dependencies for aarch64, and ``cpuinfo``, what such a machine has in /proc/cpuinfo:
LiteRT and LLVM read the processor there, and LiteRT dies of a segmentation fault by the host's.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import streamsr
from tests.support.command import run as streamsr_run
from tests.support.media import look, make_video
from tests.support.processes import run
from xlsr_model import weights

PYTHON = "root/usr/bin/python3.11"
PROJECT = Path(streamsr.__file__).parents[1]

# Without SME: LiteRT takes it where it is, and qemu 7.2 computes it wrongly.
WITH_I8MM = "max,sme=off"
KINDS = [(WITH_I8MM, "arm-usdot"), (WITH_I8MM, "arm-sdot"), ("cortex-a76", "arm-sdot")]
BY_ITSELF = {WITH_I8MM: "arm-usdot", "cortex-a76": "arm-sdot"}

MOUNTED = """
mount --bind "$1/cpuinfo" /proc/cpuinfo && exec qemu-aarch64 -cpu "$2" -L "$1/root" "$1/$3" "${@:4}"
"""

TIMEOUT_S = 900

MODELS = [name for name in weights.names() if name.endswith("_u8")]

OPENED = """
import sys
from streamsr.engines.fused import FusedEngine
from streamsr.model import find_model

for name in sys.argv[1:]:
    with FusedEngine(find_model(name), threads=2) as engine:
        print(name, engine.kind)
"""

SIZES = """
import numpy as np
from streamsr.engines import Tile
from streamsr.engines.fused import FusedEngine
from streamsr.engines.litert import LiteRTEngine
from streamsr.model import find_model
from streamsr.region import CELL, Region

def run(engine, lr, region, cells=None):
    height, width = lr.shape[:2]
    hr = np.zeros((height * 3, width * 3, 3), np.uint8)
    engine.run([Tile(lr, hr, region, cells)])
    return hr

rng = np.random.default_rng(0)
model = find_model("xlsr_x3_u8")
with FusedEngine(model, threads=2) as fused, LiteRTEngine(model, threads=1) as litert:
    for width, height in ((1, 1), (3, 5), (33, 7), (97, 40)):
        lr = rng.integers(0, 256, (height, width, 3), np.uint8)
        whole = Region.of(width, height)
        want = run(litert, lr, whole)
        assert (run(fused, lr, whole) == want).all()
        part = Region(width // 3, height // 3, -(-width // 2), -(-height // 2))
        got = run(fused, lr, part)[part.scaled(3).slices]
        assert (got == want[part.scaled(3).slices]).all()
        cells = rng.random((-(-height // CELL), -(-width // CELL))) < 0.4
        asked = cells.repeat(3 * CELL, 0).repeat(3 * CELL, 1)[: 3 * height, : 3 * width]
        assert (run(fused, lr, whole, cells)[asked] == want[asked]).all()
    print(fused.kind)
"""


def why_not() -> str:
    """Why there is no emulated machine; empty where there is one."""
    if not os.environ.get("STREAMSR_TEST_ARM"):
        return "STREAMSR_TEST_ARM=DIR names no ARM Linux"
    folder = Path(os.environ["STREAMSR_TEST_ARM"])
    missing = [name for name in (PYTHON, "site", "cpuinfo") if not (folder / name).exists()]
    if missing:
        return f"{folder} has no {', '.join(missing)}"
    programs = [name for name in ("qemu-aarch64", "unshare") if shutil.which(name) is None]
    return f"not installed: {', '.join(programs)}" if programs else ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]


def emulated(
    processor: str, folder: Path, *words: object, kind: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Python with these words on this processor, its caches in ``folder``, and with ``kind`` no
    other kernels."""
    machine = Path(os.environ["STREAMSR_TEST_ARM"]).resolve()
    own = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    return run(
        [*own, "bash", "-c", MOUNTED, "bash", machine, processor, PYTHON, *words],
        timeout_s=TIMEOUT_S,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": f"{machine / 'site'}{os.pathsep}{PROJECT}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "STREAMSR_FUSED": kind,
        },
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "in.mp4", size=(64, 36), pts=range(3))


@pytest.fixture(scope="module")
def expected(clip: Path) -> list[np.ndarray]:
    """LiteRT's pictures, on this machine."""
    output = clip.with_name("here.mkv")
    streamsr_run("upscale", clip, "-o", output, "--codec", "ffv1", "--engine", "litert", check=True)
    return look(output, keep_frames=True).frames


def upscaled(
    processor: str, clip: Path, folder: Path, engine: str, kind: str = ""
) -> list[np.ndarray]:
    """The clip's pictures from the whole command, without loss, by this engine."""
    output, stats = folder / f"{engine}.mkv", folder / f"{engine}.json"
    words = ["-m", "streamsr", "upscale", clip, "-o", output, "--codec", "ffv1"]
    words += ["--engine", engine, "--threads", 2, "--stats-json", stats]
    emulated(processor, folder, *words, kind=kind)
    assert json.loads(stats.read_text())["engine"] == engine
    return look(output, keep_frames=True).frames


@pytest.mark.parametrize(("processor", "kind"), KINDS, ids=lambda value: value.split(",")[0])
def test_a_clip_has_the_bytes_of_litert(
    processor: str, kind: str, clip: Path, expected: list[np.ndarray], tmp_path: Path
) -> None:
    fused = upscaled(processor, clip, tmp_path, "fused", kind)
    litert = upscaled(processor, clip, tmp_path, "litert")
    assert len(fused) == len(litert) == len(expected) == 3
    for one, there, here in zip(fused, litert, expected, strict=True):
        assert np.array_equal(one, there)
        assert np.array_equal(one, here)


@pytest.mark.parametrize(("processor", "kind"), KINDS, ids=lambda value: value.split(",")[0])
def test_pictures_parts_and_cells_of_any_size_have_the_bytes_of_litert(
    processor: str, kind: str, tmp_path: Path
) -> None:
    assert emulated(processor, tmp_path, "-c", SIZES, kind=kind).stdout.strip() == kind


@pytest.mark.parametrize(("processor", "kind"), BY_ITSELF.items(), ids=["max", "cortex-a76"])
def test_every_shipped_model_passes_the_conformity_test_on_the_kind_that_is_chosen(
    processor: str, kind: str, tmp_path: Path
) -> None:
    done = emulated(processor, tmp_path, "-c", OPENED, *MODELS)
    assert done.stdout.splitlines() == [f"{name} {kind}" for name in MODELS]
