import hashlib
import sys

import numpy as np
import pytest

from streamsr.options import SCALES
from tests.support.processes import run
from xlsr_model import weights
from xlsr_model.evaluation.evaluate import evaluate_folder, shipped, tflite
from xlsr_model.network import parameter_count


def test_default_of_x3_is_shipped_and_listed():
    name = weights.default(3)
    assert name == "xlsr_x3_u8"
    assert name in weights.names()
    assert weights.names() == sorted(weights.names())
    assert weights.path(name).is_file()


def test_unknown_names_and_scales_list_the_known():
    with pytest.raises(KeyError, match=r"unknown model 'xlsr_x9_u8'; shipped models: .*xlsr_x3_u8"):
        weights.path("xlsr_x9_u8")
    with pytest.raises(
        KeyError, match=r"no shipped clean model upscales by 9; shipped models: .*xlsr_x3_u8"
    ):
        weights.default(9)


def test_card_of_a_file_without_one_is_empty_and_of_a_broken_one_an_error(tmp_path):
    assert weights.card(tmp_path / "model.tflite") == {}
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        weights.card(tmp_path / "model.tflite")
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(ValueError, match="expected a JSON object, got list"):
        weights.card(tmp_path / "model.tflite")


def test_a_shipped_model_has_the_same_card_by_name_and_by_path():
    assert weights.card("xlsr_x3_u8") == weights.card(weights.path("xlsr_x3_u8"))


@pytest.mark.parametrize("name", weights.names())
def test_card_describes_the_file_beside_it(name):
    card, file = weights.card(name), weights.path(name)
    assert card["name"] == name
    assert card["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert tflite(file).scale == card["scale"]
    assert card["parameters"] == parameter_count(weights.rung_named(name), card["scale"])
    if card["input"]["dtype"] == "uint8":
        assert (card["input"]["scale"], card["input"]["zero_point"]) == (pytest.approx(1 / 255), 0)
        assert (card["output"]["scale"], card["output"]["zero_point"]) == (
            pytest.approx(6 / 255),
            0,
        )


@pytest.mark.parametrize("name", [name for name in weights.names() if "u8" in name])
def test_black_and_white_stay_black_and_white(name):
    upscaler = shipped(name)
    for value in (0, 255):
        image = upscaler.run(np.full((24, 32, 3), value, np.uint8))
        inner = image[
            6 * upscaler.scale : -6 * upscaler.scale, 6 * upscaler.scale : -6 * upscaler.scale
        ]
        assert np.abs(inner.astype(int) - value).max() <= 3


def test_shipped_x3_is_clearly_better_than_bicubic(benchmarks):
    measured = evaluate_folder(tflite(weights.path("xlsr_x3_u8")), benchmarks / "Set5")["mean"]
    assert measured["psnr_y"] >= 32.5
    card = weights.card("xlsr_x3_u8")["measured"]["Set5"]
    # Other machines round differently inside XNNPACK.
    assert measured["psnr_y"] == pytest.approx(card["psnr_y"], abs=0.02)


def test_importing_the_weights_imports_nothing_heavy():
    heavy = {"numpy", "keras", "tensorflow", "cv2"}
    code = f"import sys, xlsr_model.weights; print({heavy} & set(sys.modules))"
    assert run([sys.executable, "-c", code], check=True).stdout == "set()\n"


def test_every_kind_is_shipped_at_every_scale_that_can_be_asked_for():
    assert {tuple(weights.scales(kind)) for kind in weights.KINDS} == {SCALES}


def test_a_rung_is_shipped_by_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_FOLDER", tmp_path)
    for name in ("xlsr_x3_u8", "xlsr-plus_x3_u8", "xlsr-lite-video_x3_u8", "xlsr-max-video_x2_u8"):
        (tmp_path / f"{name}.tflite").touch()
    assert weights.rungs(3) == ["xlsr", "plus"]
    assert weights.rungs(3, "video") == ["lite"]
    assert weights.rungs(4) == []
    assert weights.scales("video", "max") == [2]
    assert weights.default(3, "video", "lite") == "xlsr-lite-video_x3_u8"
    for name in weights.names():
        kind, rung, scale = weights.kind_named(name), weights.rung_named(name), int(name[-4])
        assert weights.default(scale, kind, rung) == name
    with pytest.raises(KeyError, match=r"no shipped clean model of quality lite upscales by 3; .*"):
        weights.default(3, "clean", "lite")
