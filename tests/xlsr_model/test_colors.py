"""Flat colours come out as they went in, however saturated: photographs alone do not teach that."""

from itertools import product

import numpy as np
import pytest

from xlsr_model import weights
from xlsr_model.evaluation.evaluate import shipped

LARGEST_ERROR = 8  # of 255; models trained on photographs alone are off by 40 to 90
COLORS = [
    *product((0, 255), repeat=3),
    *product((0, 191), repeat=3),
    (128, 128, 128),
    (16, 16, 16),
    (235, 235, 235),
]


@pytest.mark.parametrize("name", weights.names())
def test_flat_colors_stay(name: str) -> None:
    upscaler = shipped(name)
    border = 8 * upscaler.scale
    for color in COLORS:
        lr = np.empty((24, 24, 3), np.uint8)
        lr[:] = color
        inner = np.asarray(upscaler.run(lr))[border:-border, border:-border].astype(np.int16)
        assert np.abs(inner - color).max() <= LARGEST_ERROR, (color, inner[0, 0])
