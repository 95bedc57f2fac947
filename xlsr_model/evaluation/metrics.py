"""PSNR and SSIM as the super-resolution literature measures them: on 8-bit images."""

import cv2
import numpy as np
from numpy.typing import NDArray

from xlsr_model.data.images import Y_FROM_RGB, Image

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # Wang et al., "Image quality assessment", 2004
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def luma(image: Image) -> NDArray[np.float64]:
    """Convert RGB uint8 [H, W, 3] to Y [H, W, 1], 16..235."""
    return (image.astype(np.float64) @ Y_FROM_RGB + 16)[..., None]


def compare(image: Image, truth: Image, border: int) -> dict[str, float]:
    """Return psnr_y, psnr_rgb (dB), ssim_y and ssim_rgb of two RGB uint8 images of one shape.

    `border` pixels are cut from every side. Identical images have PSNR infinity.
    """
    if image.shape != truth.shape:
        raise ValueError(f"expected two images of one shape, got {image.shape} and {truth.shape}")
    if min(truth.shape[:2]) - 2 * border < SSIM_WINDOW:
        raise ValueError(
            f"image of {truth.shape[1]}x{truth.shape[0]} is too small to compare "
            f"with a border of {border}"
        )
    cut = slice(border, -border or None)
    image, truth = image[cut, cut], truth[cut, cut]
    values: dict[str, float] = {}
    for name, a, b in (
        ("y", luma(image), luma(truth)),
        ("rgb", image.astype(np.float64), truth.astype(np.float64)),
    ):
        values[f"psnr_{name}"] = psnr(a, b)
        values[f"ssim_{name}"] = ssim(a, b)
    return values


def psnr(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    error = float(np.mean(np.square(a - b)))
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean over channels and over the positions where the whole Gaussian window fits.

    [H, W, C] float64, 0..255.
    """
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a**2
    variance_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return float(np.mean(top / ((mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2))))


def _blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    half = SSIM_WINDOW // 2
    blurred = cv2.GaussianBlur(image, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    return np.asarray(blurred, np.float64)[half:-half, half:-half]
