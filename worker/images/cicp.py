"""Colours that a file names by number (ITU-T H.273, "CICP" or "nclx") as an ICC profile: one way serves both."""

import math
from functools import lru_cache

from worker.images.icc import Chromaticity, Curve, matrix_profile

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)

_PRIMARIES: dict[int, tuple[Chromaticity, Chromaticity, Chromaticity, Chromaticity]] = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
"""Colour primaries → where red, green, blue and white lie (x, y); H.273, table 2."""

_SRGB_CURVES = frozenset({1, 2, 6, 13, 14, 15})
"""Transfer characteristics that browsers show with sRGB's curve: its own, and video's, which is meant for it."""

_REFERENCE_WHITE, _PEAK = 203.0, 1000.0
"""What counts as white, and as the brightest, of a picture with a high dynamic range, in cd/m²; ITU-R BT.2408."""


@lru_cache(maxsize=32)
def profile(primaries: int, transfer: int) -> bytes | None:
    """Return a profile of these colours; None where they are sRGB's, unspecified or unknown."""
    if primaries not in _PRIMARIES:
        primaries = 1
    curve = _curve(transfer)
    if primaries == 1 and curve is None:
        return None
    return matrix_profile(_PRIMARIES[primaries], curve or srgb)


def _curve(transfer: int) -> Curve | None:
    """Return what makes light of a level, both from 0 to 1; None for sRGB's curve."""
    if transfer in _SRGB_CURVES:
        return None
    curves: dict[int, Curve] = {
        4: lambda level: float(level**2.2),
        5: lambda level: float(level**2.8),
        8: lambda level: level,
        16: lambda level: _toned(_pq(level) / _REFERENCE_WHITE),
        18: lambda level: _toned(_hlg(level) ** 1.2 * _PEAK / _REFERENCE_WHITE),
    }
    return curves.get(transfer)


def srgb(level: float) -> float:
    """Return the light of a level of sRGB; IEC 61966-2-1."""
    return level / 12.92 if level <= 0.04045 else float(((level + 0.055) / 1.055) ** 2.4)


def _pq(level: float) -> float:
    """Return the light of a level of SMPTE ST 2084, in cd/m²."""
    root = level ** (1 / 78.84375)
    return float(10_000 * (max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125))


def _hlg(level: float) -> float:
    """Return the light of a level of ARIB STD-B67, from 0 to 1."""
    if level <= 0.5:
        return level * level / 3
    return (math.exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12


def _toned(light: float) -> float:
    """Bring light, of which 1 is white and more is brighter, into the range from 0 to 1, about as Chromium does.

    White and what is darker is halved, so that there is a place for what is brighter.
    """
    if light <= 1:
        return light / 2
    most = _PEAK / _REFERENCE_WHITE
    missing = (most - min(light, most)) / (most - 1)
    return 1 - missing * missing / 2
