"""Makes an enlarged picture agree with the small one that it was made from.

What was shrunk is known: the enlarged picture, shrunk again by the mean of its blocks, must give
the input. What is missing is enlarged smoothly and added. This is the plain reference in float64;
`streamsr` computes the same in integers. Irani and Peleg's back-projection ("Improving resolution
by image registration", 1991), once, with the difference blurred so that noise is not sharpened.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from xlsr_model.data.images import Y_FROM_RGB, Image

Floats = NDArray[np.float64]
Enlarge = Callable[[Floats, int], Floats]
"""Enlarges [h, w, C] by a whole factor s to [h*s, w*s, C]."""


def area_down(image: Image, scale: int) -> Floats:
    """Return the means of s x s blocks of [h*s, w*s, C]: [h, w, C]."""
    height, width, channels = image.shape
    blocks = image.reshape(height // scale, scale, width // scale, scale, channels)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64))


def linear_up(image: Floats, scale: int) -> Floats:
    """Enlarge bilinearly with the pixels' centres aligned and the edges repeated."""
    return _resized(image, scale, cv2.INTER_LINEAR)


def cubic_up(image: Floats, scale: int) -> Floats:
    """Enlarge by Keys' kernel with a = -0.5 (Catmull-Rom), centres aligned, edges repeated."""
    offsets = (np.arange(scale) + 0.5) / scale - 0.5  # of the new centres, in old pixels
    for axis in (0, 1):
        length = image.shape[axis]
        padded = np.concatenate(
            [image.take([0] * 3, axis), image, image.take([length - 1] * 3, axis)], axis
        )
        phases = []
        for offset in offsets:
            first = int(np.floor(offset)) - 1
            taps = np.arange(first, first + 4)
            near = np.abs(offset - taps)
            weights = np.where(
                near <= 1,
                1.5 * near**3 - 2.5 * near**2 + 1,
                -0.5 * near**3 + 2.5 * near**2 - 4 * near + 2,
            )
            phases.append(
                sum(
                    weight * padded.take(np.arange(length) + 3 + tap, axis)
                    for weight, tap in zip(weights, taps, strict=True)
                )
            )
        shape = list(image.shape)
        shape[axis] *= scale
        image = np.stack(phases, axis + 1).reshape(shape)
    return image


def _resized(image: Floats, scale: int, interpolation: int) -> Floats:
    height, width, channels = image.shape
    enlarged = cv2.resize(image, (width * scale, height * scale), interpolation=interpolation)
    return np.asarray(enlarged, np.float64).reshape(height * scale, width * scale, channels)


BOX, BOX_5, BINOMIAL, NO_BLUR = (1, 1, 1), (1, 1, 1, 1, 1), (1, 2, 1), (1,)
"""Blurs: weights along each axis."""


def consistent(
    enlarged: Image,
    lr: Image,
    *,
    blur: Sequence[int] = BINOMIAL,
    enlarge: Enlarge = linear_up,
    luma: bool = False,
) -> Image:
    """Return `enlarged` with what it lacks of `lr` added, rounded once: RGB uint8 [h*s, w*s, 3].

    `lr` is RGB uint8 [h, w, 3]. The difference is taken per channel, or of Y alone (`luma`), and
    smoothed by the weights of `blur` along each axis, with the edges repeated.
    """
    scale = enlarged.shape[0] // lr.shape[0]
    difference = lr - area_down(enlarged, scale)
    if luma:
        difference = (difference @ (Y_FROM_RGB / Y_FROM_RGB.sum()))[..., None]
    weights = np.array(blur) / sum(blur)
    smooth = cv2.sepFilter2D(difference, -1, weights, weights, borderType=cv2.BORDER_REPLICATE)
    added = enlarge(np.asarray(smooth, np.float64).reshape(difference.shape), scale)
    return np.clip(np.rint(enlarged + added), 0, 255).astype(np.uint8)
