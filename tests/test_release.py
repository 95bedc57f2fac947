"""What is released: the wheel and the sdist, and the wheel at work in an environment of its own."""

import ast
import os
import re
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import streamsr
from tests.conftest import ROOT
from tests.support.engine import EXACT
from tests.support.processes import run
from xlsr_model import weights

pytest.importorskip("hatchling", reason="needs the dev extra")

MOST_BYTES = 5_000_000

SYSTEM = {"gi", "pyvirtualcam"}
"""Packages that come with the system or are asked for by a message, and are no dependency."""


def build(project: Path, kind: str, folder: Path) -> Path:
    """By the build backend itself: without isolation, so without the network."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder]
    run(words, cwd=project, check=True, timeout_s=200)
    return next(folder.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment with nothing installed but the wheel.

    What the wheel depends on is read from the environment of the tests, as this one has no network
    to fetch it from. So the wheel's own content and its command are shown to be enough; whether its
    list of dependencies is, see `test_every_import_is_a_dependency`.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    python = folder / "bin" / "python"
    words = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    run(words, check=True, timeout_s=200)
    site = next(folder.glob("lib/python*/site-packages"))
    others = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "dependencies.pth").write_text(
        "\n".join(others) + "\n"
    )  # behind the wheel's own packages
    return folder / "bin"


def test_the_wheel_has_what_it_needs_and_no_more(wheel: Path) -> None:
    assert wheel.name == f"streamsr-{streamsr.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < MOST_BYTES
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "streamsr/py.typed",
        "xlsr_model/py.typed",
        "streamsr/gstreamer/python/streamsr_element.py",
    } <= names
    assert {
        f"xlsr_model/weights/{name}.{kind}"
        for name in weights.names()
        for kind in ("tflite", "json")
    } <= names
    for package in ("streamsr", "xlsr_model"):
        tracked = run(["git", "ls-files", package], cwd=ROOT)
        assert {name for name in tracked.stdout.split() if "/checkpoints/" not in name} <= names
    assert {name.split("/")[0] for name in names} == {
        "streamsr",
        "xlsr_model",
        f"streamsr-{streamsr.__version__}.dist-info",
    }
    assert not [name for name in names if "__pycache__" in name or name.endswith(".npz")]


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    assert sdist.stat().st_size < MOST_BYTES
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    assert (tmp_path / sdist.name.removesuffix(".tar.gz") / "tools" / "pages").is_dir(), (
        "the tests and the documentation need it"
    )
    again = build(tmp_path / sdist.name.removesuffix(".tar.gz"), "wheel", tmp_path / "again")
    first, second = zipfile.ZipFile(wheel), zipfile.ZipFile(again)
    assert sorted(first.namelist()) == sorted(second.namelist())
    for name in first.namelist():
        assert first.read(name) == second.read(name), name


def test_the_installed_wheel_upscales_a_clip(installed: Path, tmp_path: Path) -> None:
    own = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }  # no path to this tree

    def printed(*words: object) -> str:
        line = [installed / str(words[0]), *words[1:]]
        return str(run(line, cwd=tmp_path, env=own, timeout_s=200, check=True).stdout)

    files = printed(
        "python", "-c", "import streamsr, xlsr_model; print(streamsr.__file__, xlsr_model.__file__)"
    )
    assert all(Path(file).is_relative_to(installed.parent) for file in files.split())
    clip = ROOT / "samples" / "bbb_640x360.mp4"
    options = ("--duration", 0.2, "--preset", "ultrafast", "--engine", EXACT)
    printed("streamsr", "upscale", clip, "-o", "out.mp4", *options)
    assert "1920x1080" in printed("streamsr", "info", "out.mp4")
    assert printed("streamsr", "--version") == f"streamsr, version {streamsr.__version__}\n"


def test_every_import_is_a_dependency(wheel: Path) -> None:
    """Of the plain install or of an extra. (That the plain ones are enough was tried by hand:
    docs/design.md.)"""
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(
        next(name for name in archive.namelist() if name.endswith("METADATA"))
    ).decode()
    needs = re.findall(r"^Requires-Dist: ([\w.-]+)", metadata, re.M)
    known = {name.lower().replace("_", "-") for name in needs}
    homes = packages_distributions()
    for name in archive.namelist():
        if not name.endswith(".py") or not name.startswith("streamsr/"):
            continue
        for node in ast.walk(ast.parse(archive.read(name))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in {module.split(".")[0] for module in modules} - SYSTEM:
                if module in sys.stdlib_module_names or module in ("streamsr", "xlsr_model"):
                    continue
                packages = homes.get(module, [module])
                assert {package.lower().replace("_", "-") for package in packages} & known, (
                    f"{name}: {module}"
                )


def test_the_version_stands_in_one_place() -> None:
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    number = re.escape(streamsr.__version__)
    for path in (ROOT / "streamsr").rglob("*.py"):
        if path.name != "__init__.py":
            assert not re.search(rf"[\"']{number}[\"']", path.read_text(encoding="utf-8")), path
    assert re.search(rf"^## {number}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
