"""ICC profiles that are read and made without littlecms."""

import io
import struct

import pytest
from PIL import Image, ImageCms

from worker.images.icc import grey_curve, matrix_profile


def grey_profile(curve: bytes, *, device: bytes = b"prtr", space: bytes = b"GRAY") -> bytes:
    """Return a profile of one curve."""
    size = 132 + 12 + len(curve)
    header = struct.pack(">I4sI4s4s4s", size, b"", 0x0240_0000, device, space, b"XYZ ")
    header = header.ljust(36, b"\0") + b"acsp"
    return header.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"kTRC", 144, len(curve)) + curve


def table(*levels: int) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(levels)}H", len(levels), *levels)


def parametric(kind: int, *numbers: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(number * 65536) for number in numbers))


@pytest.mark.parametrize(
    ("curve", "level", "light"),
    [
        (table(), 0.25, 0.25),
        (table(round(2.2 * 256)), 0.5, 0.2177),
        (table(0, 65535), 0.3, 0.3),
        (table(0, 0, 65535), 0.75, 0.5),
        (table(0, 0, 65535), 1.0, 1.0),
        (parametric(0, 2.0), 0.5, 0.25),
        (parametric(1, 2.0, 2.0, -1.0), 0.75, 0.25),
        (parametric(1, 2.0, 2.0, -1.0), 0.25, 0.0),
        (parametric(2, 2.0, 2.0, -1.0, 0.125), 0.75, 0.375),
        (parametric(2, 2.0, 2.0, -1.0, 0.125), 0.25, 0.125),
        (parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), 0.5, 0.2140),
        (parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), 0.02, 0.00155),
        (parametric(4, 2.0, 1.0, 0.0, 0.5, 0.25, 0.125, 0.0625), 0.5, 0.375),
        (parametric(4, 2.0, 1.0, 0.0, 0.5, 0.25, 0.125, 0.0625), 0.125, 0.125),
    ],
)
def test_the_curve_of_a_grey_profile_tells_light_by_level(curve: bytes, level: float, light: float) -> None:
    found = grey_curve(grey_profile(curve))
    assert found is not None
    assert found(level) == pytest.approx(light, abs=0.001)


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"not a profile" * 20,
        grey_profile(table(), space=b"RGB "),
        grey_profile(table(), device=b"link"),
        grey_profile(table(0, 65535)[:-1]),
        grey_profile(table(0, 65535)[:10]),
        grey_profile(b"curv\0\0\0\0\xff\xff\xff\xff"),
        grey_profile(parametric(5, *range(12))),
        grey_profile(parametric(4, 1.0)),
        grey_profile(parametric(1, 1.0, 0.0, 1.0)),
        grey_profile(b"mft2" + bytes(40)),
        grey_profile(table()).replace(b"kTRC", b"A2B0"),
        grey_profile(table())[:140],
    ],
)
def test_a_profile_without_a_curve_that_can_be_read_has_none(profile: bytes) -> None:
    assert grey_curve(profile) is None


def test_a_profile_of_srgb_s_primaries_and_curve_changes_nothing() -> None:
    colours = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290))
    made = matrix_profile(
        colours, lambda level: level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4
    )
    picture = Image.effect_noise((16, 16), 80).convert("RGB")
    picture.paste((255, 0, 0), (0, 0, 4, 4))
    shown = ImageCms.profileToProfile(picture, io.BytesIO(made), ImageCms.createProfile("sRGB"))
    assert shown is not None
    differences = zip(shown.tobytes(), picture.tobytes(), strict=True)
    assert max(abs(have - want) for have, want in differences) <= 1
