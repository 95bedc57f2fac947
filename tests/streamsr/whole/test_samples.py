"""The scripts in samples/ run as their docstrings say."""

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.conftest import ROOT
from tests.support.processes import run as run_program

SAMPLES = ROOT / "samples"


def run(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, str(SAMPLES / script), *map(str, arguments)]
    done: subprocess.CompletedProcess[str] = run_program(command, timeout_s=200, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "in.png"
    capture = cv2.VideoCapture(str(SAMPLES / "bbb_640x360.mp4"))
    cv2.imwrite(str(path), capture.read()[1][:90, :160])
    capture.release()
    return path


def test_upscale_image(picture: Path, tmp_path: Path) -> None:
    assert "160x90 -> 480x270" in run("upscale_image.py", picture, tmp_path / "out.png")
    assert cv2.imread(str(tmp_path / "out.png")).shape == (270, 480, 3)


def test_frames_loop_stops_after_a_second() -> None:
    assert len(run("frames_loop.py", SAMPLES / "bbb_640x360.mp4").splitlines()) == 26


def test_live_push_pull() -> None:
    lines = run("live_push_pull.py").splitlines()
    assert all("480x270" in line for line in lines[:-1])
    assert "30 in" in lines[-1]


def test_live_async() -> None:
    assert "frames while the event loop ticked" in run("live_async.py", SAMPLES / "bbb_640x360.mp4")


@pytest.mark.slow
def test_upscale_file(tmp_path: Path) -> None:
    assert "132 frames" in run("upscale_file.py", SAMPLES / "bbb_640x360.mp4", tmp_path / "out.mp4")
