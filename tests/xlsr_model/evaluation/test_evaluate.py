import numpy as np
import pytest

from xlsr_model import weights
from xlsr_model.data.images import find_images, load_pairs
from xlsr_model.evaluation.evaluate import bicubic, evaluate_folder, tflite


@pytest.mark.parametrize(("name", "y", "rgb"), [("Set5", 30.40, 28.62), ("Set14", 27.63, 25.94)])
def test_bicubic_has_its_published_psnr(benchmarks, name, y, rgb):
    mean = evaluate_folder(bicubic(3), benchmarks / name)["mean"]
    assert (mean["psnr_y"], mean["psnr_rgb"]) == (
        pytest.approx(y, abs=0.015),
        pytest.approx(rgb, abs=0.015),
    )


def test_every_image_and_the_mean_are_reported(pictures):
    result = evaluate_folder(bicubic(3), pictures)
    assert set(result["images"]) == {str(number) for number in range(6)}
    assert result["mean"]["psnr_y"] == pytest.approx(
        np.mean([v["psnr_y"] for v in result["images"].values()])
    )


def test_a_model_takes_images_of_any_size(pictures):
    upscaler = tflite(weights.path("xlsr_x3_u8"))
    lr = load_pairs(find_images(pictures), 3)[0].lr
    assert upscaler.run(lr).shape == (lr.shape[0] * 3, lr.shape[1] * 3, 3)
    assert upscaler.run(lr[:7, :11]).shape == (21, 33, 3)


@pytest.mark.parametrize("content", [b"", b"not a model at all, just text"])
def test_what_is_not_a_model_is_refused(tmp_path, content):
    file = tmp_path / "model.tflite"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.tflite: not a \.tflite model"):
        tflite(file)


def test_missing_model_is_named(tmp_path):
    with pytest.raises(ValueError, match="no such model file"):
        tflite(tmp_path / "none.tflite")
