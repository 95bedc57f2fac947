"""OpenVINO: right on any processor or not used, one Core that stays, the bytes that were hashed."""

import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from streamsr import ModelError, Upscaler
from streamsr.cluster import worker
from streamsr.engines import Tile
from streamsr.engines.openvino import OpenVINOEngine
from streamsr.jobs.options import FileOptions
from streamsr.model import ModelFile, find_model
from streamsr.options import EngineChoice
from streamsr.region import Region
from tests.support.command import run as command
from tests.support.media import make_video
from tests.support.processes import run as run_program
from xlsr_model import weights

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
x86_only = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="pretends to be an x86 processor without VNNI"
)

WITHOUT_VNNI = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "STREAMSR_FUSED": "none"}
"""The environment of a machine with AVX2 at most, for oneDNN, which computes for OpenVINO."""


def run(
    script: str, *args: object, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return run_program(
        [sys.executable, "-c", script, *map(str, args)],
        timeout_s=200,
        env=env,
    )


CLOSED_IN_ORDER = """
import gc, os, signal, sys
import numpy as np
from streamsr.engines import Tile
from streamsr.engines.openvino import OpenVINOEngine
from streamsr.model import find_model
from streamsr.region import Region

opened = [OpenVINOEngine(find_model(), threads=1) for _ in range(2)]
for engine in opened:
    lr, hr = np.zeros((8, 8, 3), np.uint8), np.zeros((24, 24, 3), np.uint8)
    engine.run([Tile(lr, hr, Region.of(8, 8))])
came = []
number = getattr(signal, sys.argv[1])
signal.signal(number, lambda *_: came.append(1))
while opened:
    opened.pop(0 if sys.argv[2] == "first" else -1).close()
    engine = None
    gc.collect()
    os.kill(os.getpid(), number)
assert len(came) == 2
"""


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("signal", ["SIGALRM", "SIGINT"])
def test_a_signal_after_engines_were_closed_is_handled(signal: str, order: str) -> None:
    """A Core that is destroyed takes the stack with it on which Python's handlers run."""
    done = run(CLOSED_IN_ORDER, signal, order)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr}"


def picture(engine: OpenVINOEngine, width: int = 40, height: int = 30) -> np.ndarray:
    lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    hr = np.zeros((height * engine.scale, width * engine.scale, 3), np.uint8)
    engine.run([Tile(lr, hr, Region.of(width, height))])
    return hr


def test_the_bytes_that_were_read_are_run_whatever_the_path_holds_later(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(weights.path("xlsr_x3_u8").read_bytes())
    with OpenVINOEngine(find_model(path), threads=1) as engine:
        before = picture(engine)
        path.write_bytes(weights.path("xlsr_x2_u8").read_bytes())
        np.testing.assert_array_equal(picture(engine), before)
        assert picture(engine, 33, 21).shape == (63, 99, 3)
        path.unlink()
        assert picture(engine, 31, 20).shape == (60, 93, 3)


def test_a_model_needs_no_file_at_all() -> None:
    content = weights.path("xlsr_x2_u8").read_bytes()
    with OpenVINOEngine(ModelFile("m", Path("/nowhere/m.tflite"), content), threads=1) as engine:
        assert picture(engine).shape == (60, 80, 3)


def test_a_node_of_a_farm_needs_no_file_either(tmp_path: Path) -> None:
    """The driver's path means nothing there, and nothing of the node's own is left in its place."""
    content = weights.path("xlsr_x3_u8").read_bytes()
    model = ModelFile("own", tmp_path / "own.tflite", content)
    options = FileOptions(choice=EngineChoice("openvino", threads=1))
    work = SimpleNamespace(model=model, shipped=False, engine="openvino", options=options)
    with Upscaler(model, engine="openvino", threads=1) as driver:
        work.engine = driver.engine.name
        with worker._upscaler(work) as node:  # type: ignore[arg-type]  # all that is asked of a RemoteWork
            lr = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
            np.testing.assert_array_equal(node(lr), driver(lr))


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="no device TPU"):
        OpenVINOEngine(find_model(), device="TPU")


FIGURES = """
import sys
from streamsr import ModelError, Upscaler
from streamsr.cluster import worker
from streamsr.engines import openvino
from streamsr.model import find_model

if sys.argv[2] == "int8 only":
    openvino.NO_INT8.clear()
try:
    with openvino.OpenVINOEngine(find_model(sys.argv[1]), threads=1) as engine:
        print(engine.name, engine.difference.levels, engine.difference.psnr_db)
except ModelError as error:
    print("refused:", error)
"""


@x86_only
@pytest.mark.parametrize("name", [name for name in weights.names() if name.endswith("_u8")])
def test_without_vnni_it_computes_in_float32_and_right(name: str) -> None:
    done = run(FIGURES, name, "as it is", env=WITHOUT_VNNI)
    assert done.returncode == 0, done.stderr
    engine, levels, psnr_db = done.stdout.split()
    assert engine == "openvino-f32"
    assert int(levels) <= 3
    assert float(psnr_db) >= 60


@x86_only
def test_without_vnni_its_8_bit_arithmetic_is_refused() -> None:
    """White becomes (135, 153, 197)."""
    done = run(FIGURES, "xlsr_x3_u8", "int8 only", env=WITHOUT_VNNI)
    assert done.returncode == 0, done.stderr
    assert "refused: " in done.stdout
    assert "computes otherwise than LiteRT: white: up to 1" in done.stdout
    assert "allowed 3 levels, 60 dB" in done.stdout


@x86_only
@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_film_upscaled_without_vnni_has_litert_colours(
    tmp_path: Path, model: Path, engine: str
) -> None:
    import av

    source = make_video(tmp_path / "in.mp4", pts=range(3))
    pictures = []
    for name in (engine, "litert"):
        output = tmp_path / f"{name}.mkv"
        done = command(
            "upscale",
            source,
            "-o",
            output,
            "--model",
            model,
            "--codec",
            "ffv1",
            "--engine",
            name,
            env=WITHOUT_VNNI,
        )
        assert done.returncode == 0, done.stderr
        with av.open(str(output)) as container:
            pictures.append([frame.to_ndarray().astype(int) for frame in container.decode(video=0)])
    assert len(pictures[0]) == 3
    assert all(np.abs(a - b).max() <= 4 for a, b in zip(*pictures, strict=True))
