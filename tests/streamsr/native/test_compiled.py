"""Compiled loops work wherever the package lies."""

import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.support.command import run
from tests.support.media import make_video
from tests.support.processes import run as run_program

LARGEST_FILE = 5000
"""Bytes: enough for a film of two small frames, too few for the code of a loop."""


def test_an_installation_that_cannot_be_written_to_still_converts(tmp_path: Path) -> None:
    """Neither beside the package nor in a home is there a place for compiled code."""
    for package in ("streamsr", "xlsr_model"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for folder in (tmp_path / "streamsr").rglob("*"):
        if folder.is_dir():
            (folder / "__pycache__").write_text("in the way")
    (tmp_path / "streamsr" / "__pycache__").write_text("in the way")
    script = (
        "import numpy as np, streamsr\nfrom streamsr.color import ColorTags\nfrom "
        "streamsr.picture.yuv import Converter\n"
        "assert streamsr.__file__.startswith(__import__('sys').argv[1])\n"
        "out, y = np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 235, np.uint8)\n"
        "c = np.full((1, 1), 128, np.uint8)\n"
        "Converter(ColorTags(1, 1, 1, 1)).to_rgb((y, c, c), out)\nassert (out == 255).all()\n"
    )
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "PYTHONPATH": str(tmp_path)}
    done = run_program(
        [sys.executable, "-B", "-c", script, str(tmp_path)],
        timeout_s=200,
        cwd=tmp_path,
        env={**os.environ, **nowhere},
    )
    assert done.returncode == 0, done.stderr


def test_a_full_disk_under_the_cache_costs_nothing_but_time(tmp_path: Path, model: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))

    done = run(
        "upscale",
        source,
        "-o",
        tmp_path / "out.mp4",
        "--model",
        model,
        "--engine",
        "litert",
        preexec_fn=limited,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 0
    assert not list((tmp_path / "cache").rglob("*_rgb_*.o"))
    assert "Traceback" not in done.stderr
