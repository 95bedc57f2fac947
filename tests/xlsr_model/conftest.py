"""What the tests of xlsr_model share: the evaluation data where it is there, and TensorFlow where
it is installed.
"""

import importlib.util
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

os.environ["KERAS_BACKEND"] = (
    "tensorflow"  # the backend of the train extra; set before anything imports Keras
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    folder = ROOT.parent / "shared" / "data" / "benchmarks"
    if not folder.is_dir():
        pytest.skip(f"no evaluation sets at {folder}")
    return folder


@pytest.fixture(scope="session")
def tensorflow():
    """TensorFlow and Keras, imported when a test asks for them: it takes seconds."""
    if importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("keras") is None:
        pytest.skip("needs the train extra (TensorFlow and Keras)")
    import tensorflow

    return tensorflow


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of six small smooth pictures with edges."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(6):
        coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_CUBIC)
        image[20:40, 10 * number : 10 * number + 25] = rng.integers(0, 256, 3)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder
