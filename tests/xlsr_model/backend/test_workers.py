import os
from functools import partial

import numpy as np
import pytest

from xlsr_model.backend.workers import gradient_workers


def squares(factor):
    """A stand-in for a gradient: of factor * sum of squares of the batch, by the weight."""

    def gradient(weights, batch):
        (x,) = batch
        return float(factor * np.sum(x**2)), {"w": weights["w"] * x.sum()}

    return gradient


def dying():
    return lambda weights, batch: os._exit(3)  # noqa: ARG005 (the signature of a gradient)


def test_parts_are_averaged_in_order():
    with gradient_workers(partial(squares, 2), 2) as gradient:
        loss, gradients = gradient({"w": np.array([1.0, 2.0])}, (np.array([1.0, 1.0, 3.0, 3.0]),))
    assert loss == pytest.approx((4 + 36) / 2)
    assert gradients["w"] == pytest.approx([4, 8])


def test_a_dead_process_is_an_error_and_not_a_hang():
    with (
        gradient_workers(dying, 2) as gradient,
        pytest.raises(RuntimeError, match="a gradient process died"),
    ):
        gradient({"w": np.zeros(1)}, (np.zeros(4),))
