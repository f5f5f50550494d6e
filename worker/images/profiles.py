"""Embedded colour profiles, applied to RGB, CMYK and grey pictures.

RGB and CMYK go through littlecms, each to RGB and in no other combination of modes: Pillow-SIMD lacks fixes for others.
What a grey profile does to 256 levels is a table that is made from its curve.
"""

import itertools
from functools import lru_cache
from io import BytesIO
from typing import TypeGuard

from PIL import Image, ImageChops, ImageCms

from worker.images.icc import grey_curve

MAX_PROFILE_BYTES = 1 << 20

MAX_CMYK_PROFILE_BYTES = 4 << 20
"""Those of presses hold large tables: 0.5 MB is usual, 1.8 MB not rare."""

TOLERANCE = 2
"""A profile that moves no colour by more than this many levels of 255 is taken for sRGB and left alone."""


def in_srgb(picture: Image.Image, profile: object) -> Image.Image:
    """Return an L, RGB, RGBA or CMYK picture with its colours brought to sRGB; what was CMYK is RGB.

    It is unchanged if the profile is none, broken, sRGB, or one for other pictures.
    """
    if picture.mode == "CMYK":
        transform = _cmyk_transform(profile) if is_cmyk_profile(profile) else None
        return picture.convert("RGB") if transform is None else transform.apply(picture)
    if not isinstance(profile, bytes) or len(profile) > MAX_PROFILE_BYTES:
        return picture
    if picture.mode in ("L", "LA"):
        return _grey_in_srgb(picture, profile)
    transform = _transform(profile) if is_rgb_profile(profile) else None
    if transform is None:
        return picture
    colours = transform.apply(picture.convert("RGB"))
    if picture.mode == "RGBA":
        colours.putalpha(picture.getchannel("A"))
    return colours


def _grey_in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    table = _grey_table(profile)
    if table is None:
        return picture
    return picture.point(table + list(range(256)) if picture.mode == "LA" else table)


@lru_cache(maxsize=16)
def _grey_table(profile: bytes) -> list[int] | None:
    """Return the level of sRGB for each of the 256 that a grey profile speaks of; None if they are much the same."""
    curve = grey_curve(profile)
    if curve is None:
        return None
    table = [round(255 * _srgb_level(min(max(curve(level / 255), 0.0), 1.0))) for level in range(256)]
    return table if max(abs(to - level) for level, to in enumerate(table)) > TOLERANCE else None


def _srgb_level(light: float) -> float:
    """Return the level, from 0 to 1, that sRGB shows so much light by; IEC 61966-2-1."""
    return light * 12.92 if light <= 0.0031308 else float(1.055 * light ** (1 / 2.4)) - 0.055


def is_rgb_profile(profile: bytes) -> bool:
    """Tell whether the header is one of an RGB monitor, scanner or colour space; ICC.1:2022, 7.2."""
    return (
        len(profile) <= MAX_PROFILE_BYTES
        and profile[12:16] in (b"mntr", b"scnr", b"spac")
        and profile[16:20] == b"RGB "
        and profile[36:40] == b"acsp"
    )


def is_cmyk_profile(profile: object) -> TypeGuard[bytes]:
    """Tell whether the header is one of a CMYK printer, scanner, monitor or colour space; ICC.1:2022, 7.2."""
    return (
        isinstance(profile, bytes)
        and len(profile) <= MAX_CMYK_PROFILE_BYTES
        and profile[12:16] in (b"prtr", b"scnr", b"mntr", b"spac")
        and profile[16:20] == b"CMYK"
        and profile[36:40] == b"acsp"
    )


@lru_cache(maxsize=2)  # they are large, and those of one source are alike
def _cmyk_transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """Return what brings the profile's colours to sRGB, or None where it cannot be read."""
    try:
        return ImageCms.buildTransform(BytesIO(profile), ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """Return what brings the profile's colours to sRGB, or None where they are there already or it cannot be read."""
    try:
        transform = ImageCms.buildTransform(BytesIO(profile), ImageCms.createProfile("sRGB"), "RGB", "RGB")
        return transform if _most_moved(transform) > TOLERANCE else None
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # a picture without its profile's fine tuning is better than none


def _most_moved(transform: ImageCms.ImageCmsTransform) -> int:
    """Return the most that the transform changes any channel over 216 colours, in levels."""
    colours = bytes(itertools.chain.from_iterable(itertools.product(range(0, 256, 51), repeat=3)))
    probe = Image.frombytes("RGB", (216, 1), colours)
    moved = ImageChops.difference(probe, transform.apply(probe))
    return max(max(channel.tobytes()) for channel in moved.split())
