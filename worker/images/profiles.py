"""Embedded colour profiles, applied to RGB only: Pillow-SIMD lacks fixes for other combinations of modes."""

import itertools
from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageChops, ImageCms

MAX_PROFILE_BYTES = 1 << 20

TOLERANCE = 2
"""A profile that moves no colour by more than this many levels of 255 is taken for sRGB and left alone."""


def in_srgb(picture: Image.Image, profile: object) -> Image.Image:
    """Return an RGB or RGBA picture with its colours brought to sRGB; unchanged if the profile is none, bad or sRGB."""
    transform = _transform(profile) if isinstance(profile, bytes) and is_rgb_profile(profile) else None
    if transform is None:
        return picture
    colours = transform.apply(picture.convert("RGB"))
    if picture.mode == "RGBA":
        colours.putalpha(picture.getchannel("A"))
    return colours


def is_rgb_profile(profile: bytes) -> bool:
    """Tell whether the header is one of an RGB monitor, scanner or colour space; ICC.1:2022, 7.2."""
    return (
        len(profile) <= MAX_PROFILE_BYTES
        and profile[12:16] in (b"mntr", b"scnr", b"spac")
        and profile[16:20] == b"RGB "
        and profile[36:40] == b"acsp"
    )


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
