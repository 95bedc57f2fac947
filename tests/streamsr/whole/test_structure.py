"""The shape of the program: which module may import what, and that names said twice agree."""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import streamsr
from tests.conftest import ROOT
from tests.support.command import streamsr as streamsr_line
from tests.support.media import look, make_video
from tests.support.processes import run

MODULES = sorted(
    path for package in ("streamsr", "xlsr_model") for path in (ROOT / package).rglob("*.py")
)
SHARED = {"weights", "files", "inputs", "system"}
"""Of xlsr_model, what streamsr may import: it needs nothing but the standard library."""

TRAINING = {"tensorflow", "keras", "torch", "jax", "numba"}

EXCEPTIONS = {"interrupt.py", "segments/resume.py", "cli/streams.py"}
"""Events that a signal or another thread sets; a hook that tells what a thread died of."""


def in_package(path: Path) -> str:
    return path.relative_to(ROOT).as_posix().partition("/")[2]


def imports(path: Path) -> Iterator[str]:
    """Every module that this file names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    names = set(imports(path))
    tops = {name.split(".")[0] for name in names}
    if package == "streamsr":
        assert not tops & TRAINING
        ours = {name for name in names if name.split(".")[0] == "xlsr_model"}
        assert all(name == "xlsr_model" or name.split(".")[1] in SHARED for name in ours), ours
    else:
        assert "streamsr" not in tops
    if package == "xlsr_model" and (path.parent.name == "weights" or path.stem in SHARED):
        assert tops <= {*sys.stdlib_module_names, "xlsr_model"}


def test_only_the_channel_and_the_pipeline_know_threads() -> None:
    """The engines' pools of workers come from concurrent.futures."""
    users = {in_package(path) for path in MODULES if "threading" in set(imports(path))}
    # The loops of the two servers have a thread each; so have publishing, which waits for whoever
    # receives, reading from a network, which waits for whoever sends, and a microphone.
    assert users <= {
        "channel.py",
        "cli/metrics.py",
        "pipeline.py",
        "web/server.py",
        "sinks/publish.py",
        "sources/microphone.py",
        "sources/read_ahead.py",
        *EXCEPTIONS,
    }
    locks = {
        in_package(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node).startswith("threading.")
        and node.attr in ("Lock", "RLock", "Condition", "Event", "Semaphore")
    }
    assert locks <= {"channel.py", *EXCEPTIONS}


def test_public_names_are_sorted_and_importable() -> None:
    assert streamsr.__all__ == sorted(streamsr.__all__)
    assert all(getattr(streamsr, name).__name__ == name for name in streamsr.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        streamsr.nonsense  # noqa: B018 - looking it up is the test


def test_the_command_line_offers_what_there_is() -> None:
    from streamsr import options
    from streamsr.engines import choose
    from streamsr.media import codecs

    assert ("auto", *choose.OPENERS) == options.ENGINES
    assert tuple(codecs.CODECS) == options.CODECS
    assert {name for name, codec in codecs.CODECS.items() if codec.crf is None} == options.LOSSLESS


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["upscale", "--help"], ["info", "--help"]]
)
def test_help_waits_for_no_heavy_import(words: list[str]) -> None:
    script = (
        "import sys\nfrom streamsr.cli import main\n"
        f"sys.argv = ['streamsr', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'numpy', 'av', 'cv2', 'ai_edge_litert', 'llvmlite', 'rich.progress'} & "
        "set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = run([sys.executable, "-c", script])
    assert done.returncode == 0, done.stderr
    assert "streamsr" in done.stdout


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("streamsr")
    if not command.exists():
        pytest.skip("streamsr is not installed beside this Python")
    done = run([command, "--version"])
    assert done.stdout == f"streamsr, version {streamsr.__version__}\n"


def test_importing_the_library_is_silent_and_starts_nothing() -> None:
    script = "import streamsr, threading\nassert threading.active_count() == 1\n"
    words = [sys.executable, "-W", "error", "-c", script]
    done = run(words, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.stdout + done.stderr == ""


LIBGL = "libGL.so.1: cannot open shared object file: No such file or directory"

WITHOUT_OPENCV = (
    "upscale in.mkv -o out.mkv",
    "upscale in.mkv -o out.mkv --model video --sharpen 0.5 --scale 2",
    "upscale in.mkv -o out.mkv --resume",
    "upscale in.mkv -o out.mkv --dry-run --to 480p",
    "info in.mkv",
    "info",
)
"""Commands that films are upscaled with."""

WITH_OPENCV = (
    "upscale in.png -o out.png",
    "upscale in.mkv -o out.mkv --to 480p",
    "upscale in.mkv -o out.mkv --strength 0.5",
    "upscale deep.mkv -o out.mkv",
    "upscale in.mkv deep.mkv -o out/",
    "audit in.mkv in.mkv",
    "compare in.mkv",
    "live in.mkv",
    "live test: --preview web --port 0",
    "bench",
)


@pytest.fixture(scope="module")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with films and a broken cv2, which stands in for a server without libGL."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "broken").mkdir()
    (folder / "broken" / "cv2.py").write_text(f"raise ImportError({LIBGL!r})\n")
    make_video(folder / "in.mkv", pts=range(4))
    make_video(folder / "deep.mkv", pts=range(4), pix_fmt="yuv420p10le")
    (folder / "in.png").write_text("x")
    return folder


def on_bare_server(folder: Path, line: str) -> Any:
    path = (str(folder / "broken"), str(ROOT), os.environ.get("PYTHONPATH"))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    return run(streamsr_line(*line.split()), env=env, cwd=folder)


@pytest.mark.parametrize("line", WITHOUT_OPENCV)
def test_films_do_without_opencv(bare_server: Path, line: str) -> None:
    done = on_bare_server(bare_server, line)
    assert done.returncode == 0, done.stderr
    if "--dry-run" not in line and "upscale" in line:
        made = bare_server / "out.mkv"
        assert look(made).size == ((128, 96) if "--scale" in line else (192, 144))
        made.unlink()
    if line == "info":
        assert "realtime  not known: libGL.so.1" in done.stdout
        assert "apt-get install libgl1" in done.stdout


@pytest.mark.parametrize("line", WITH_OPENCV)
def test_what_wants_opencv_says_how_to_get_it(bare_server: Path, line: str) -> None:
    done = on_bare_server(bare_server, line)
    assert done.returncode == 1, done.stderr
    said = (
        f"streamsr: this installation is not complete: {LIBGL}; OpenCV wants it: apt-get install "
        "libgl1 libglib2.0-0"
    )
    others = ("in.mkv -> ", "deep.mkv -> ", "out/in.mkv: ", "1 of 2 files ", "open http")
    lines = [text for text in done.stderr.splitlines() if not text.startswith(others)]
    assert lines == [said]
    assert {path.name for path in bare_server.iterdir()} <= {
        *("broken", "in.mkv", "deep.mkv", "in.png", "out")
    }


def test_an_installation_without_opencv_says_how_to_get_it(bare_server: Path) -> None:
    broken = bare_server / "broken" / "cv2.py"
    before = broken.read_text()
    broken.write_text("raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')\n")
    try:
        done = on_bare_server(bare_server, "upscale in.png -o out.png")
    finally:
        broken.write_text(before)
    assert done.stderr == (
        "streamsr: this installation is not complete: No module named 'cv2'; pip install "
        "opencv-python-headless brings it, without windows\n"
    )
