"""Structural similarity on luma, after Wang, Bovik, Sheikh and Simoncelli (2004), in plain numpy."""

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Plane = NDArray[np.float64]

C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2

UNIFORM_7 = np.full(7, 1 / 7)
"""The window scikit-image takes unless told otherwise."""

_STEPS = np.arange(-5, 6)
GAUSSIAN_11 = np.exp(-(_STEPS**2) / (2 * 1.5**2)) / np.exp(-(_STEPS**2) / (2 * 1.5**2)).sum()
"""The window of the paper: 11 pixels wide, sigma 1.5."""


def luma(pixels: bytes, size: tuple[int, int]) -> Plane:
    """Return the luma (ITU-R BT.601) of RGB pixels of `size` (width, height), 0 to 255."""
    rgb = np.frombuffer(pixels, dtype=np.uint8).reshape(size[1], size[0], 3).astype(np.float64)
    return rgb @ np.array([0.299, 0.587, 0.114])


def ssim(first: Plane, second: Plane, window: Literal["gaussian", "uniform"] = "gaussian") -> float:
    """Return the mean similarity of two planes over all whole windows; 1.0 for the same picture."""
    weights = GAUSSIAN_11 if window == "gaussian" else UNIFORM_7
    mean_1, mean_2 = _filtered(first, weights), _filtered(second, weights)
    variance_1 = _filtered(first * first, weights) - mean_1 * mean_1
    variance_2 = _filtered(second * second, weights) - mean_2 * mean_2
    covariance = _filtered(first * second, weights) - mean_1 * mean_2
    similarity = ((2 * mean_1 * mean_2 + C1) * (2 * covariance + C2)) / (
        (mean_1**2 + mean_2**2 + C1) * (variance_1 + variance_2 + C2)
    )
    return float(similarity.mean())


def _filtered(plane: Plane, weights: Plane) -> Plane:
    down = sliding_window_view(plane, len(weights), axis=0) @ weights
    return sliding_window_view(down, len(weights), axis=1) @ weights
