"""Adam in NumPy on one vector, and its learning rate against step."""

from bisect import bisect_right
from collections.abc import Sequence
from math import cos, pi

import numpy as np

from xlsr_model.backend.checkpoint import State

BETA1, BETA2, ADAM_EPSILON = 0.9, 0.999, 1e-8  # the paper's


def learning_rate(points: Sequence[tuple[int, float]], curve: str, step: int) -> float:
    """Interpolate between (step, rate) points; constant before the first and after the last."""
    after = bisect_right([position for position, _ in points], step)
    if after == 0:
        return points[0][1]
    if after == len(points):
        return points[-1][1]
    (start, first), (end, last) = points[after - 1], points[after]
    share = (step - start) / (end - start)
    if curve == "cosine":
        share = (1 - cos(pi * share)) / 2
    return first + (last - first) * share


def adam(state: State, gradient: np.ndarray, rate: float) -> None:
    """Take one step (Kingma and Ba, 2015, algorithm 1). In NumPy: a resumed run is byte-exact."""
    state.updates += 1
    state.momentum += (1 - BETA1) * (gradient - state.momentum)
    state.variance += (1 - BETA2) * (gradient * gradient - state.variance)
    corrected = np.sqrt(state.variance / (1 - BETA2**state.updates)) + ADAM_EPSILON
    state.vector -= np.float32(rate / (1 - BETA1**state.updates)) * state.momentum / corrected
