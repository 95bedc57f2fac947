"""A real delegate library, built from delegate.c, through the path an NPU's would take."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from streamsr import ModelError, Upscaler
from streamsr.engines import delegate
from streamsr.engines.delegate import DelegateError, open_delegate
from streamsr.model import find_model
from tests.support.command import Command
from tests.support.command import run as command
from tests.support.delegate import build
from tests.support.media import make_video, picture

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="building a delegate needs gcc")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build(tmp_path_factory.mktemp("delegate") / "libtest_delegate.so"))


def test_a_delegate_that_computes_right_is_used(library: str, model: Path) -> None:
    with (
        Upscaler(model, delegate=library) as upscaler,
        Upscaler(model, engine="litert", threads=1) as cpu,
    ):
        assert upscaler.engine.name == f"litert+{library}"
        assert "passed its self-test" in upscaler.engine_reason
        difference = np.abs(upscaler(picture(0)).astype(int) - cpu(picture(0)).astype(int))
    assert difference.max() <= 4


def test_a_delegate_that_computes_wrong_is_refused(library: str, model: Path) -> None:
    with pytest.raises(ModelError, match="wrong results"):
        Upscaler(model, delegate=library, delegate_options={"mode": "junk"})


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("null", "no such device"),
        ("prepare", "cannot run the model"),
        ("invoke", "cannot run the model"),
    ],
)
def test_a_delegate_that_fails_says_why(library: str, model: Path, mode: str, reason: str) -> None:
    with pytest.raises(DelegateError, match=reason) as raised:
        open_delegate(find_model(model), library, {"mode": mode}, batch=None)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("batch", [1, 2])
def test_frames_go_to_the_device_in_batches(library: str, model: Path, batch: int) -> None:
    with open_delegate(find_model(model), library, {}, batch=batch) as engine:
        assert engine.batch == batch


@pytest.mark.parametrize("batch", [1, 2, 4, 7])
def test_a_device_that_computes_the_whole_batch_is_used(
    library: str, model: Path, batch: int
) -> None:
    with open_delegate(find_model(model), library, {"mode": "right"}, batch=batch) as engine:
        assert engine.batch == batch


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_a_device_that_computes_only_the_first_of_a_batch_is_refused(
    library: str, model: Path, batch: int
) -> None:
    with open_delegate(find_model(model), library, {"mode": "first"}, batch=1) as engine:
        assert engine.batch == 1
    with pytest.raises(
        DelegateError, match=r"wrong results: .* pictures at once: .*; allowed 3 levels, 60 dB"
    ):
        open_delegate(find_model(model), library, {"mode": "first"}, batch=batch)


def test_the_command_line_refuses_a_batch_that_comes_out_wrong(
    upscale: Command, library: str, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    result = upscale(
        source,
        tmp_path / "out.mp4",
        "--delegate",
        library,
        "--delegate-option",
        "mode=first",
        "--batch",
        "2",
    )
    assert result.status == 1
    assert len(result.lines) == 1
    assert "wrong results" in result.err
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("paths", [":/x", "/x:", "/x::/y", ".", "", ":", "lib:/x", ";"])
def test_a_library_in_the_working_directory_is_never_run(
    tmp_path: Path, model: Path, paths: str
) -> None:
    """The loader takes an empty element for the working directory, and a relative one from
    there."""
    mark = tmp_path / "loaded"
    (tmp_path / "lib").mkdir()
    for folder in (tmp_path, tmp_path / "lib"):
        build(folder / "libvx_delegate.so", mark=mark)
    done = command("info", model, cwd=tmp_path, env={**os.environ, "LD_LIBRARY_PATH": paths})
    assert done.returncode == 0, done.stderr
    assert not mark.exists()
    done = command(
        "info", model, cwd=tmp_path, env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    )
    assert mark.exists(), "the absolute path is searched, so the test can fail"


def test_a_bare_name_is_searched_and_a_path_is_taken_from_here(tmp_path: Path, model: Path) -> None:
    build(tmp_path / "libmine_delegate.so")
    source = make_video(tmp_path / "in.mp4", pts=range(2))

    def run(delegate: str, paths: str) -> "subprocess.CompletedProcess[str]":
        return command(
            "upscale",
            source,
            "-o",
            tmp_path / "out.mp4",
            "--model",
            model,
            "--preset",
            "ultrafast",
            "--overwrite",
            "--delegate",
            delegate,
            cwd=tmp_path,
            env={**os.environ, "LD_LIBRARY_PATH": paths},
        )

    refused = run("libmine_delegate.so", ":.")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "give its path, such as ./libmine_delegate.so" in refused.stderr
    for name, paths in (("./libmine_delegate.so", ""), ("libmine_delegate.so", str(tmp_path))):
        done = run(name, paths)
        assert done.returncode == 0, done.stderr
        assert f"litert+{name}" in done.stderr


def test_the_system_loader_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libvx_delegate.so"
    library.touch()
    (tmp_path / "ld.so.cache").write_bytes(
        b"glibc-ld.so.cache1.1\0libvx_delegate.so\0" + os.fsencode(library) + b"\0x"
    )
    monkeypatch.setattr(delegate, "LOADER_CACHE", tmp_path / "ld.so.cache")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert delegate.find_library("libvx_delegate.so") == library
    assert delegate.find_library("x_delegate.so") is None


def test_no_such_library(model: Path) -> None:
    with pytest.raises(ModelError, match="cannot open shared object"):
        Upscaler(model, delegate="libnowhere_delegate.so")


def test_a_file_that_is_no_library(model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("not a library")
    with pytest.raises(ModelError, match=r"invalid ELF header|file too short"):
        Upscaler(model, delegate=str(tmp_path / "text.so"))


def test_a_library_that_is_no_delegate(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int nothing_here;\n")
    subprocess.run(
        ["gcc", "-shared", "-o", tmp_path / "empty.so", tmp_path / "empty.c"], check=True
    )
    with pytest.raises(ModelError, match="not a TFLite external delegate"):
        Upscaler(model, delegate=str(tmp_path / "empty.so"))


def test_the_command_line_fails_when_the_delegate_asked_for_does(
    upscale: Command, library: str, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    result = upscale(
        source, tmp_path / "out.mp4", "--delegate", library, "--delegate-option", "mode=junk"
    )
    assert result.status == 1
    assert len(result.lines) == 1
    assert "wrong results" in result.err
    assert not list(tmp_path.glob("out*"))


def test_the_command_line_runs_on_the_delegate_asked_for(
    upscale: Command, library: str, tmp_path: Path
) -> None:
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
        "upscale",
        source,
        "-o",
        tmp_path / "out.mp4",
        "--model",
        model,
        "--preset",
        "ultrafast",
        "--engine",
        "auto",
        env={**os.environ, "LD_LIBRARY_PATH": paths},
    )


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
