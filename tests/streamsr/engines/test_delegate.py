"""A real delegate library, built from delegate.c, through the path an NPU's would take."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from streamsr import ModelError, Upscaler
from streamsr.engines.delegate import DelegateError, open_delegate
from streamsr.model import find_model
from tests.streamsr.conftest import Command, command
from tests.streamsr.media import make_video, picture

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="building a delegate needs gcc")


def build(target: Path, mode: str = "nothing") -> Path:
    source = Path(__file__).with_name("delegate.c")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f'-DMODE="{mode}"']
    subprocess.run(["gcc", *flags, "-o", target, source], check=True)
    return target


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build(tmp_path_factory.mktemp("delegate") / "libtest_delegate.so"))


def test_a_delegate_that_computes_right_is_used(library: str, model: Path) -> None:
    with Upscaler(model, delegate=library) as upscaler, Upscaler(model, engine="litert", threads=1) as cpu:
        assert upscaler.engine.name == f"litert+{library}"
        assert "passed its self-test" in upscaler.why
        difference = np.abs(upscaler(picture(0)).astype(int) - cpu(picture(0)).astype(int))
    assert difference.max() <= 4


def test_a_delegate_that_computes_wrong_is_refused(library: str, model: Path) -> None:
    with pytest.raises(ModelError, match="wrong results"):
        Upscaler(model, delegate=library, delegate_options={"mode": "junk"})


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("null", "no such device"), ("prepare", "cannot run the model"), ("invoke", "cannot run the model")],
)
def test_a_delegate_that_fails_says_why(library: str, model: Path, mode: str, reason: str) -> None:
    with pytest.raises(DelegateError, match=reason) as raised:
        open_delegate(find_model(model), library, {"mode": mode}, batch=None)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("batch", [1, 2])
def test_frames_go_to_the_device_in_batches(library: str, model: Path, batch: int) -> None:
    with open_delegate(find_model(model), library, {}, batch=batch) as engine:
        assert engine.batch == batch


def test_no_such_library(model: Path) -> None:
    with pytest.raises(ModelError, match="cannot open shared object"):
        Upscaler(model, delegate="libnowhere_delegate.so")


def test_a_file_that_is_no_library(model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("not a library")
    with pytest.raises(ModelError, match=r"invalid ELF header|file too short"):
        Upscaler(model, delegate=str(tmp_path / "text.so"))


def test_a_library_that_is_no_delegate(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int nothing_here;\n")
    subprocess.run(["gcc", "-shared", "-o", tmp_path / "empty.so", tmp_path / "empty.c"], check=True)
    with pytest.raises(ModelError, match="not a TFLite external delegate"):
        Upscaler(model, delegate=str(tmp_path / "empty.so"))


def test_the_command_line_fails_when_the_delegate_asked_for_does(
    upscale: Command, library: str, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    result = upscale(source, tmp_path / "out.mp4", "--delegate", library, "--delegate-option", "mode=junk")
    assert result.status == 1
    assert len(result.lines) == 1
    assert "wrong results" in result.err
    assert not list(tmp_path.glob("out*"))


def test_the_command_line_runs_on_the_delegate_asked_for(upscale: Command, library: str, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(3))
    result = upscale(source, tmp_path / "out.mp4", "--delegate", library)
    assert result.status == 0, result.err
    assert "litert+" in result.lines[0]


def _probe(tmp_path: Path, model: Path, mode: str) -> "subprocess.CompletedProcess[str]":
    """Run with a library of a well-known name where the loader looks."""
    build(tmp_path / "libvx_delegate.so", mode)
    source = make_video(tmp_path / "in.mp4", pts=range(3))
    paths = f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return command(
        "upscale", source, "-o", tmp_path / "out.mp4", "--model", model, "--preset", "ultrafast", "--engine", "auto",
        env={**os.environ, "LD_LIBRARY_PATH": paths},
    )  # fmt: skip


def test_an_npu_that_was_found_and_passes_is_used(tmp_path: Path, model: Path) -> None:
    result = _probe(tmp_path, model, "nothing")
    assert result.returncode == 0, result.stderr
    assert "litert+VeriSilicon" in result.stderr
    assert "passed its self-test" in result.stderr


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("junk", "wrong results"), ("null", "no such device"), ("prepare", "cannot run the model")],
)
def test_an_npu_that_was_found_and_fails_gives_way_to_the_cpu_with_the_reason(
    tmp_path: Path, model: Path, mode: str, reason: str
) -> None:
    result = _probe(tmp_path, model, mode)
    assert result.returncode == 0, result.stderr
    warning = result.stderr.splitlines()[0]
    assert warning.startswith("streamsr: delegate libvx_delegate.so: ")
    assert reason in warning
    assert warning.endswith("; using the CPU")
    assert (tmp_path / "out.mp4").exists()
