"""``python -m xlsr_model``: one clear line for every bad input."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.support.processes import run as run_program
from tests.xlsr_model.evaluation.video_clips import moving, write
from xlsr_model import weights
from xlsr_model.__main__ import app
from xlsr_model.backend import checkpoint
from xlsr_model.evaluation.clips import KERNELS
from xlsr_model.evaluation.codecs import CODECS, LEVELS
from xlsr_model.evaluation.variants import FINISHES
from xlsr_model.network import initial_weights


def run(*arguments: object, cwd=None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xlsr_model", *map(str, arguments)]
    return run_program(command, cwd=cwd, env=os.environ | environment, timeout_s=200)


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The last line on standard error; only LiteRT's own notices may come before it."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_evaluate_prints_and_writes_the_means(pictures, tmp_path):
    file = tmp_path / "result.json"
    result = run("evaluate", "--model", "xlsr_x3_u8", "--data", pictures, "--json", file)
    assert result.returncode == 0, result.stderr
    content = json.loads(file.read_text())
    assert f"Y {content['mean']['psnr_y']:6.3f} dB" in result.stdout.splitlines()[-1]
    assert (content["model"], content["scale"], len(content["images"])) == ("xlsr_x3_u8", 3, 6)


def test_model_of_another_scale_is_refused(pictures):
    assert "upscales by 3, not by 2" in error_line(
        run("evaluate", "--model", "xlsr_x3_u8", "--data", pictures, "--scale", "2")
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [("none.tflite", "no such model file"), ("text.tflite", "not a .tflite model")],
)
def test_bad_model_is_named(pictures, tmp_path, model, message):
    (tmp_path / "text.tflite").write_text("text")
    assert message in error_line(run("evaluate", "--model", tmp_path / model, "--data", pictures))


def test_folder_without_usable_pictures_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((6, 6, 3), np.uint8))
    assert "no usable picture" in error_line(
        run("evaluate", "--model", "bicubic", "--data", tmp_path)
    )


def test_unknown_key_in_a_configuration_is_named(tmp_path):
    pytest.importorskip("keras", reason="needs the train extra")
    (tmp_path / "c.toml").write_text('folders = ["x"]\nstepz = 1\n')
    assert "unknown key 'stepz'" in error_line(run("train", tmp_path / "c.toml"))


def test_checkpoint_that_is_none_is_named(tmp_path):
    pytest.importorskip("keras", reason="needs the train extra")
    (tmp_path / "c.npz").write_text("text")
    assert "c.npz: not a checkpoint" in error_line(
        run("export", tmp_path / "c.npz", "-o", tmp_path / "m.tflite")
    )
    assert not (tmp_path / "m.tflite").exists()


def test_export_without_tensorflow_says_what_to_install(tmp_path):
    state = checkpoint.new_state(initial_weights("xlsr", 3, seed=0))
    checkpoint.save(
        tmp_path / "c.npz", state, {"config": {"network": "xlsr", "scale": 3, "clipped": True}}
    )
    for module in ("keras", "tensorflow"):  # found before the real one, and as good as absent
        text = f"raise ModuleNotFoundError('No module', name='{module}')"
        (tmp_path / f"{module}.py").write_text(text)
    result = run(
        "export", tmp_path / "c.npz", "-o", tmp_path / "m.tflite", PYTHONPATH=str(tmp_path)
    )
    assert "is not installed: pip install 'streamsr[train]'" in error_line(result)


def test_unknown_options_are_usage_errors():
    assert run("evaluate", "--nonsense").returncode == 2


def test_help_imports_neither_keras_nor_tensorflow():
    heavy = {"keras", "tensorflow", "torch"}
    code = f"import sys, xlsr_model.__main__; print({heavy} & set(sys.modules))"
    assert run_program([sys.executable, "-c", code], check=True).stdout == "set()\n"


def test_video_measures_the_shipped_models_and_a_file(tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="the judge is in the extra dev")
    clip = write(moving(frames=3), tmp_path / "moving.mkv")
    model = tmp_path / "mine.tflite"
    model.write_bytes(weights.path("xlsr_x3_u8").read_bytes())
    result = run(
        *("video", "--clips", clip, "--model", model, "--frames", 2, "--kernels", "area"),
        *("--qualities", "medium", "--codecs", "x264,mpeg2", "--json", "cells.json"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    shipped = ("xlsr-lite_x3_u8", "xlsr_x3_u8", "xlsr-lite-video_x3_u8", "xlsr-video_x3_u8")
    assert f"| codec | {' | '.join(shipped)} | mine |" in result.stdout
    content = json.loads((tmp_path / "cells.json").read_text())
    assert [cell["codec"] for cell in content["cells"]] == ["x264", "mpeg2"]
    measures = content["cells"][0]["measures"]
    assert measures["mine"] == measures["xlsr_x3_u8"] != measures["xlsr-video_x3_u8"]


def test_names_that_video_does_not_know_are_a_usage_error(tmp_path):
    result = run("video", "--clips", tmp_path, "--kernels", "area,sinc")
    assert result.returncode == 2
    assert "'sinc' is not one of area, bicubic" in result.stderr


def test_the_names_that_video_offers_are_those_there_are():
    options = {option.name: option.metavar for option in app.commands["video"].params}
    assert options["kernels"] == "|".join(KERNELS)
    assert options["codecs"] == "|".join(CODECS)
    assert options["qualities"] == "|".join(LEVELS)
    assert options["finish"] == "|".join(FINISHES)
