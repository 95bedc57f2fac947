"""Draws pictures for training: flat, saturated colours with hard edges, as screens have them.

Photographs hold next to no saturated flat areas, and a network trained on them alone turns pure
green (0, 255, 0) into (9, 189, 34): the graph has no path that carries the input to the output.
"""

import cv2
import numpy as np

from xlsr_model.data.images import Image, Pair, shrunk_pair

SIDE = 480  # output pixels, divisible by every scale
OVERSAMPLED = 2  # drawn larger, so that edges are smooth at any position
SHAPES = 24


def drawn_pairs(count: int, scale: int, seed: int) -> list[Pair]:
    """Draw `count` pictures and shrink them; the same seed gives the same pictures."""
    pairs = []
    for number in range(count):
        hr = _draw(np.random.default_rng((seed, number)))
        pairs.append(shrunk_pair(f"drawn-{number}", hr, scale))
    return pairs


def _draw(rng: np.random.Generator) -> Image:
    side = SIDE * OVERSAMPLED
    image = np.empty((side, side, 3), np.uint8)
    image[:] = _color(rng)
    if rng.random() < 0.3:  # a slope from one colour to another
        weight = np.linspace(0, 1, side)[:, None, None]
        image[:] = weight * np.array(_color(rng)) + (1 - weight) * np.array(_color(rng)) + 0.5
    for _ in range(SHAPES):
        color, (x, y) = _color(rng), rng.integers(0, side, 2).tolist()
        size = int(2 ** rng.uniform(4, 8.5))
        kind = rng.integers(4)
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + size, y + int(size * rng.uniform(0.3, 2))), color, -1)
        elif kind == 1:
            cv2.ellipse(
                image,
                (x, y),
                (size, int(size * rng.uniform(0.3, 1))),
                rng.uniform(0, 180),
                0,
                360,
                color,
                -1,
            )
        elif kind == 2:
            corners = np.array([[x, y]]) + rng.integers(-size, size + 1, (rng.integers(3, 7), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], color)
        else:
            text = "".join(chr(c) for c in rng.integers(33, 127, 8))
            cv2.putText(
                image,
                text,
                (x - size, y),
                int(rng.integers(4)),
                size / 60,
                color,
                max(1, size // 20),
            )
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _color(rng: np.random.Generator) -> tuple[int, int, int]:
    """Pick a colour: half of the time a corner of the cube, each channel 0 or full.

    Full is 255 or a fixed lower level.
    """
    if rng.random() < 0.5:
        top = int(rng.choice([255, 255, 235, 191, 128]))
        red, green, blue = (int(top * bit) for bit in rng.integers(0, 2, 3))
    else:
        red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue
