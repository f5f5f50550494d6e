"""The bytes of an image become its cell, or one reason why not."""

import importlib.metadata
import io
import platform
import random
import struct
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import PIL
import pytest
from PIL import Image, ImageCms, ImageOps, features

from tests.unit.pictures import (
    BACKGROUND,
    PHOTOS,
    encoded,
    exif_with_orientation,
    photo,
    png_16_bit,
    press_profile,
    raw_png,
    wide_gamut_profile,
    with_alpha,
)
from tests.unit.ssim import luma, ssim
from worker.errors import ImageError, ImageReason
from worker.images import profiles, sniff
from worker.images.cell import CellSpec, make_cell

LANCZOS = Image.Resampling.LANCZOS
SPEC = CellSpec(size=40, background=BACKGROUND, min_side=10, max_pixels=4_000_000)
WIDE, TALL = photo(120, 60, 1), photo(60, 101, 2)


def golden(picture: Image.Image, size: int) -> Image.Image:
    """Make a cell as the system before this one did, by its own formula: everything decoded, scaled, then cropped."""
    width, height = picture.size
    scaled = (int(width * size / height), size) if width / height > 1 else (size, int(height * size / width))
    left, top = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    return picture.resize(scaled, LANCZOS).crop((left, top, left + size, top + size))


def over_background(picture: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", picture.size, (*BACKGROUND, 255))
    return Image.alpha_composite(canvas, picture.convert("RGBA")).convert("RGB")


def opened(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        picture = Image.open(io.BytesIO(data))
        picture.load()
        return picture


def assert_looks_like(data: bytes, expected: Image.Image, spec: CellSpec = SPEC, most: int = 2) -> None:
    cell = make_cell(data, spec)
    assert len(cell.pixels) == spec.size * spec.size * 3
    wanted = np.asarray(golden(expected, spec.size)).astype(int)
    got = np.frombuffer(cell.pixels, np.uint8).reshape(wanted.shape).astype(int)
    assert np.abs(got - wanted).max() <= most


def reason_of(data: bytes, spec: CellSpec = SPEC) -> ImageReason:
    with pytest.raises(ImageError) as refusal:
        make_cell(data, spec)
    return refusal.value.reason


def test_pillow_simd_with_its_codecs_is_what_decodes() -> None:
    assert features.check("jpg")
    assert features.check("webp")
    assert features.check("zlib")
    assert features.check("littlecms2")
    assert "pillow" not in {(found.metadata["Name"] or "").lower() for found in importlib.metadata.distributions()}
    if platform.machine() == "x86_64":
        assert importlib.metadata.version("pillow-simd") == PIL.__version__
        assert ".post" in PIL.__version__


@pytest.mark.parametrize(
    "picture", [WIDE, TALL, photo(64, 64), photo(40, 40), photo(17, 19)], ids=lambda p: str(p.size)
)
@pytest.mark.parametrize(
    ("file_format", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("WEBP", {"quality": 80}), ("JPEG", {"quality": 90})],
)
def test_every_format_comes_out_as_fully_decoded_scaled_and_cropped(
    picture: Image.Image, file_format: str, options: dict[str, object]
) -> None:
    data = encoded(picture, file_format, **options)
    assert_looks_like(data, opened(data).convert("RGB"))
    cell = make_cell(data, SPEC)
    assert (cell.width, cell.height, cell.format) == (*picture.size, file_format)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_png_mode_is_shown_in_its_colours(mode: str) -> None:
    source = with_alpha(WIDE) if mode in ("LA", "RGBA") else WIDE
    data = encoded(source.convert(mode), "PNG")
    assert opened(data).mode == mode
    assert_looks_like(data, over_background(opened(data)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_colour_declared_transparent_shows_the_background(mode: str) -> None:
    picture = WIDE.convert(mode)
    colour = picture.getpixel((60, 30))
    data = encoded(picture, "PNG", transparency=colour)
    shown = over_background(opened(data).convert("RGBA"))
    assert shown.getpixel((60, 30)) == BACKGROUND
    assert_looks_like(data, shown)


def test_a_palette_with_partly_transparent_colours_is_blended() -> None:
    palette = WIDE.convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    data = encoded(palette, "PNG", transparency=bytes((0, 40, 80, 120, 160, 200, 240, 255)))
    assert_looks_like(data, over_background(opened(data).convert("RGBA")))


def test_alpha_does_not_bleed_hidden_colours_into_edges() -> None:
    picture = Image.new("RGBA", (80, 80), (0, 255, 0, 0))
    picture.paste((255, 255, 255, 255), (0, 0, 41, 80))
    cell = make_cell(encoded(picture, "PNG"), replace(SPEC, background=(255, 255, 255)))
    assert min(cell.pixels) >= 254


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255)])
def test_a_16_bit_grey_ramp_keeps_its_shades(background: tuple[int, int, int]) -> None:
    ramp = np.tile(np.linspace(0, 65535, 80), (80, 1)).round()
    data = png_16_bit(ramp[..., None], colour_type=0)
    assert opened(data).mode == "I;16"
    expected = Image.fromarray((ramp / 257).round().astype(np.uint8)).convert("RGB")
    assert_looks_like(data, expected, replace(SPEC, background=background))


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_and_alpha_keep_their_shades(colour_type: int, channels: int) -> None:
    values = np.random.default_rng(3).integers(0, 65536, size=(9, 13, channels))
    values = np.kron(values, np.ones((9, 9, 1), dtype=int))
    bytes_ = (values >> 8).astype(np.uint8)
    eight = Image.fromarray(bytes_[..., :3] if channels > 2 else bytes_[..., 0]).convert("RGBA")
    if channels in (2, 4):
        eight.putalpha(Image.fromarray(bytes_[..., -1]))
    assert_looks_like(png_16_bit(values, colour_type), over_background(eight))


def test_a_cmyk_jpeg_is_not_shown_inverted() -> None:
    data = encoded(WIDE.convert("CMYK"), "JPEG", quality=95, subsampling=0)
    assert opened(data).mode == "CMYK"
    assert_looks_like(data, opened(data).convert("RGB"))
    assert_looks_like(data, WIDE, most=40)


def test_the_inks_of_a_cmyk_jpeg_are_those_of_its_profile() -> None:
    data = encoded(WIDE.convert("CMYK"), "JPEG", quality=95, subsampling=0, icc_profile=press_profile())
    expected = ImageCms.profileToProfile(
        opened(data), io.BytesIO(press_profile()), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert np.abs(np.asarray(expected).astype(int) - np.asarray(WIDE).astype(int)).mean() > 20
    cell = np.frombuffer(make_cell(data, SPEC).pixels, np.uint8).astype(float)
    assert np.abs(cell - np.asarray(golden(expected, 40)).astype(float).ravel()).mean() < 2
    assert_looks_like(data, expected, replace(SPEC, size=WIDE.height), most=3)


@pytest.mark.parametrize(
    "profile",
    [
        press_profile()[:200],
        press_profile(device=b"link"),
        press_profile().replace(b"mft2", b"none"),
        press_profile().ljust(profiles.MAX_CMYK_PROFILE_BYTES + 1, b"\0"),
        wide_gamut_profile(space=b"CMYK"),
    ],
    ids=["cut", "device link", "without a table", "too large", "without inks"],
)
def test_a_cmyk_profile_that_cannot_be_used_changes_nothing_that_is_seen(profile: bytes) -> None:
    picture = WIDE.convert("CMYK")
    odd = make_cell(encoded(picture, "JPEG", icc_profile=profile), SPEC)
    plain = make_cell(encoded(picture, "JPEG"), SPEC)
    difference = np.frombuffer(odd.pixels, np.uint8).astype(int) - np.frombuffer(plain.pixels, np.uint8).astype(int)
    assert np.abs(difference).mean() < 1


def test_a_grey_jpeg_is_grey() -> None:
    data = encoded(WIDE.convert("L"), "JPEG", quality=95)
    assert_looks_like(data, opened(data).convert("RGB"))
    pixels = make_cell(data, SPEC).pixels
    assert pixels[0::3] == pixels[1::3] == pixels[2::3]


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_only_the_first_frame_of_an_animation_is_shown(file_format: str) -> None:
    frames = [WIDE, Image.new("RGB", WIDE.size, (0, 255, 0)), Image.new("RGB", WIDE.size, (0, 0, 255))]
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], duration=50)
    first = opened(data)
    assert first.n_frames == 3
    assert_looks_like(data, first.convert("RGB"))


def test_a_gif_that_is_see_through_shows_the_background() -> None:
    palette = WIDE.convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    data = encoded(palette, "GIF", transparency=palette.getpixel((3, 3)))
    expected = over_background(opened(data).convert("RGBA"))
    assert expected.getpixel((3, 3)) == BACKGROUND
    assert_looks_like(data, expected)


def test_the_first_picture_of_a_multi_picture_jpeg_is_shown() -> None:
    data = encoded(WIDE, "MPO", save_all=True, append_images=[WIDE.transpose(Image.Transpose.ROTATE_180)])
    cell = make_cell(data, SPEC)
    assert cell.format == "JPEG"
    assert_looks_like(data, opened(data).convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(61, 38), (38, 61), (45, 45), (200, 41)])
@pytest.mark.parametrize(("file_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {})])
def test_exif_orientation_is_applied_as_pillow_applies_it(
    orientation: int, size: tuple[int, int], file_format: str, options: dict[str, object]
) -> None:
    # without the hard edges at which two passes of LANCZOS, clipped between them, depend on their order
    soft = photo(*size).resize((7, 5), Image.Resampling.BOX).resize(size, Image.Resampling.BICUBIC)
    data = encoded(soft, file_format, exif=exif_with_orientation(orientation), **options)
    upright = ImageOps.exif_transpose(opened(data)).convert("RGB")
    assert_looks_like(data, upright, replace(SPEC, size=20), most=1)
    cell = make_cell(data, replace(SPEC, size=20))
    assert (cell.width, cell.height) == upright.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_a_jpeg_that_is_scaled_while_decoding(orientation: int) -> None:
    data = encoded(photo(403, 717), "JPEG", quality=95, exif=exif_with_orientation(orientation))
    upright = ImageOps.exif_transpose(opened(data)).convert("RGB")
    cell = luma(make_cell(data, SPEC).pixels, (40, 40))
    assert ssim(cell, luma(golden(upright, 40).tobytes(), (40, 40))) > 0.98


@pytest.mark.parametrize(
    "exif",
    [
        exif_with_orientation(0).tobytes(),
        exif_with_orientation(9).tobytes(),
        exif_with_orientation(65535).tobytes(),
        b"Exif\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0not a TIFF header",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        # an orientation of type ASCII
        b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\2six\0\0\0\0\0",
    ],
)
def test_an_orientation_that_makes_no_sense_counts_as_upright(exif: bytes) -> None:
    data = encoded(TALL, "JPEG", exif=exif)
    assert_looks_like(data, opened(data).convert("RGB"))


def test_colours_of_a_wide_gamut_are_brought_to_srgb() -> None:
    profile = wide_gamut_profile()
    data = encoded(WIDE, "PNG", icc_profile=profile)
    expected = ImageCms.profileToProfile(WIDE, io.BytesIO(profile), ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(expected).astype(int) - np.asarray(WIDE).astype(int)).max() > 20
    cell = np.frombuffer(make_cell(data, SPEC).pixels, np.uint8).astype(float)
    wanted = np.asarray(golden(expected, 40)).astype(float).ravel()
    assert np.abs(cell - wanted).mean() < 1  # only ringing at hard edges differs between before and after
    plain = replace(SPEC, size=WIDE.height)
    assert_looks_like(encoded(WIDE, "PNG", icc_profile=profile), expected, plain, most=1)


def test_colours_of_a_wide_gamut_with_alpha_are_brought_to_srgb_before_they_meet_the_background() -> None:
    flat = Image.new("RGBA", (60, 60), (90, 200, 60, 128))
    profile = wide_gamut_profile()
    data = encoded(flat, "PNG", icc_profile=profile)
    colours = ImageCms.profileToProfile(flat.convert("RGB"), io.BytesIO(profile), ImageCms.createProfile("sRGB"))
    colours.putalpha(128)
    assert_looks_like(data, over_background(colours))


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile",
        wide_gamut_profile()[:200],
        wide_gamut_profile(space=b"CMYK"),
        wide_gamut_profile(space=b"GRAY"),
        wide_gamut_profile(device=b"link"),
        wide_gamut_profile() + bytes(profiles.MAX_PROFILE_BYTES),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
    ids=["junk", "cut", "cmyk", "grey", "device link", "too large", "srgb"],
)
def test_a_profile_that_is_bad_foreign_or_srgb_changes_nothing(profile: bytes) -> None:
    odd = encoded(WIDE, "WEBP", icc_profile=profile, lossless=True)
    assert make_cell(odd, SPEC).pixels == make_cell(encoded(WIDE, "PNG"), SPEC).pixels


@pytest.mark.parametrize(
    ("profile", "usable"),
    [
        (wide_gamut_profile(), True),
        (wide_gamut_profile(device=b"spac"), True),
        (wide_gamut_profile(device=b"link"), False),
        (wide_gamut_profile(device=b"abst"), False),
        (wide_gamut_profile(space=b"CMYK"), False),
        (wide_gamut_profile(space=b"GRAY"), False),
        (wide_gamut_profile().replace(b"acsp", b"pcsa"), False),
        (wide_gamut_profile().ljust(profiles.MAX_PROFILE_BYTES, b"\0"), True),
        (wide_gamut_profile().ljust(profiles.MAX_PROFILE_BYTES + 1, b"\0"), False),
        (b"", False),
    ],
)
def test_only_the_profile_of_an_rgb_device_is_given_to_the_colour_library(profile: bytes, usable: bool) -> None:
    assert profiles.is_rgb_profile(profile) is usable


def test_an_srgb_profile_costs_no_transform() -> None:
    assert profiles._transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) is None
    assert profiles._transform(wide_gamut_profile()) is not None


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_profile_on_a_picture_of_other_colours_is_never_applied(mode: str) -> None:
    picture = WIDE.convert(mode)
    for profile in (wide_gamut_profile(), *([press_profile()] if mode == "L" else [])):
        odd = encoded(picture, "JPEG", icc_profile=profile)
        assert make_cell(odd, SPEC).pixels == make_cell(encoded(picture, "JPEG"), SPEC).pixels


@pytest.mark.parametrize("size", [(50, 5000), (5000, 50), (10, 900)])
def test_very_thin_images_fill_their_cell(size: tuple[int, int]) -> None:
    picture = photo(*size)
    assert_looks_like(encoded(picture, "PNG"), picture, replace(SPEC, size=100))


def test_a_cell_larger_than_the_side_an_image_is_kept_at_shows_the_reduced_image() -> None:
    picture = photo(640, 480)
    reduced = picture.resize((40, 30), LANCZOS)
    spec = replace(SPEC, size=160, keep_side=40)
    for data in (encoded(picture, "PNG"), encoded(picture, "JPEG", quality=98, subsampling=0)):
        cell = luma(make_cell(data, spec).pixels, (160, 160))
        assert ssim(cell, luma(golden(reduced, 160).tobytes(), (160, 160))) > 0.995
        assert ssim(cell, luma(golden(picture, 160).tobytes(), (160, 160))) < 0.98


def test_a_small_image_is_not_enlarged_to_be_kept() -> None:
    picture = photo(60, 50)
    assert_looks_like(encoded(picture, "PNG"), picture, replace(SPEC, size=160, keep_side=100))


def test_the_side_an_image_is_kept_at_costs_nothing_where_the_cell_is_smaller() -> None:
    data = encoded(photo(640, 200), "PNG")
    assert make_cell(data, replace(SPEC, keep_side=40)) == make_cell(data, replace(SPEC, keep_side=4_000))


def test_photographs_keep_their_likeness_to_full_decoding() -> None:
    scores = []
    for path in PHOTOS:
        data = path.read_bytes()
        upright = over_background(ImageOps.exif_transpose(opened(data)))
        for size in (90, 150, 200):
            cell = luma(make_cell(data, replace(SPEC, size=size)).pixels, (size, size))
            whole = luma(golden(upright, size).tobytes(), (size, size))
            scores += [(ssim(cell, whole, window), size, path.name) for window in ("gaussian", "uniform")]
    assert len(scores) > 60 * 6
    assert min(scores)[0] >= 0.96, min(scores)
    assert sum(score for score, _, _ in scores) / len(scores) >= 0.985


def test_the_same_bytes_give_the_same_cell() -> None:
    data = encoded(photo(500, 700), "JPEG")
    assert make_cell(data, SPEC) == make_cell(data, SPEC)


@pytest.mark.parametrize("size", [(9, 100), (100, 9)])
def test_an_image_with_a_side_too_short_is_refused(size: tuple[int, int]) -> None:
    assert reason_of(encoded(photo(*size), "PNG")) is ImageReason.TOO_SMALL
    assert make_cell(encoded(photo(10, 10), "PNG"), SPEC)


def patched_jpeg(width: int, height: int) -> bytes:
    data = bytearray(encoded(WIDE, "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def vp8x(width: int, height: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        raw_png(60_000, 60_000, 8, 2, b"\0" * 100),
        raw_png(2_001, 2_000, 8, 2, b"\0" * 100),
        patched_jpeg(65_000, 65_000),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;",
        vp8x(16_384, 16_384),
        encoded(Image.new("L", (2_100, 2_000)), "WEBP", lossless=True),
        encoded(Image.new("L", (2_100, 2_000)), "WEBP"),
    ],
    ids=["png", "png just above", "jpeg", "gif", "webp canvas", "webp lossless", "webp lossy"],
)
def test_an_image_with_too_many_pixels_is_refused_by_its_header(data: bytes) -> None:
    assert reason_of(data) is ImageReason.TOO_MANY_PIXELS


def test_the_cap_on_pixels_is_inclusive_and_leaves_no_trace() -> None:
    before = Image.MAX_IMAGE_PIXELS
    data = encoded(photo(100, 80), "PNG")
    assert make_cell(data, replace(SPEC, max_pixels=8_000))
    assert reason_of(data, replace(SPEC, max_pixels=7_999)) is ImageReason.TOO_MANY_PIXELS
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encoded(WIDE, "BMP"), "BMP"),
        (encoded(WIDE, "TIFF"), "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (encoded(WIDE.resize((16, 16)), "ICO"), "ICO"),
        (b"8BPS\0\1" + bytes(30), "PSD"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"%PDF-1.7\n", "PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a -->\n<!DOCTYPE svg PUBLIC "x">\n<svg>', "SVG"),
        (b"P6\n1 1\n255\nabc", "PNM"),
    ],
)
def test_an_image_of_another_format_is_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=name) as refusal:
        make_cell(data, SPEC)
    assert refusal.value.reason is ImageReason.UNSUPPORTED_FORMAT
    assert "allowed are JPEG, PNG, WEBP, GIF, AVIF, HEIC" in str(refusal.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\xff\xd8",
        b"<!doctype html><html><body><svg></svg></body></html>",
        b'{"error": "expired"}',
        b"BM is how this text begins, and goes on for a while",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"RIFF\0\0\0\0WAVEfmt ",
        bytes(100_000),
        b"<!---->" * 200,
    ],
)
def test_what_is_no_image_is_told_apart_from_a_broken_one(data: bytes) -> None:
    assert reason_of(data) is ImageReason.NOT_AN_IMAGE


FILES = {
    "jpeg": encoded(photo(64, 48), "JPEG", quality=60),
    "jpeg-progressive": encoded(photo(64, 48), "JPEG", quality=60, progressive=True),
    "jpeg-exif-icc": encoded(
        photo(32, 24), "JPEG", quality=40, exif=exif_with_orientation(6), icc_profile=wide_gamut_profile()
    ),
    "png": encoded(photo(24, 20), "PNG"),
    "png-palette": encoded(photo(32, 24).convert("P"), "PNG", transparency=3),
    "gif": encoded(photo(24, 20).quantize(16), "GIF"),
    "webp-lossy": encoded(photo(64, 48), "WEBP", quality=30),
    "webp-lossless": encoded(photo(24, 20).quantize(16), "WEBP", lossless=True),
    "webp-animated": encoded(
        photo(24, 20), "WEBP", quality=20, save_all=True, append_images=[photo(24, 20, 9)], duration=40
    ),
}
BROKEN = {ImageReason.TRUNCATED, ImageReason.NOT_AN_IMAGE}


def outcome(data: bytes) -> ImageReason | None:
    try:
        cell = make_cell(data, replace(SPEC, size=16))
    except ImageError as refusal:
        error = refusal
    else:
        assert len(cell.pixels) == 16 * 16 * 3
        return None
    assert len(str(error)) < 400
    assert "0x" not in str(error), "an address in a text makes it differ from run to run"
    return error.reason


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_a_cell_or_refused_as_broken(name: str) -> None:
    data = FILES[name]
    found = [outcome(data[:length]) for length in range(len(data))]
    assert outcome(data) is None
    assert set(found) <= BROKEN | {None}
    assert set(found[: len(data) // 2]) <= BROKEN
    assert found[len(data) // 2] is ImageReason.TRUNCATED


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_flipped_bits_never_raises_anything_else(name: str) -> None:
    chance = random.Random(name)
    for _ in range(150):
        data = bytearray(FILES[name])
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        assert outcome(bytes(data)) in BROKEN | {
            *(None, ImageReason.TOO_SMALL, ImageReason.TOO_MANY_PIXELS),
            ImageReason.UNSUPPORTED_FORMAT,  # one bit makes a baseline JPEG one with arithmetic coding
        }


def test_pillow_s_warnings_on_odd_metadata_do_not_get_out() -> None:
    odd = b"Exif\0\0MM\0*\0\0\0\x08\0\2\x01\x12\0\3\0\0\0\1\0\6\0\0\x01\x0f\0\2\0\0\xff\xff\0\0\xff\0\0\0\0\0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cell = make_cell(encoded(TALL, "JPEG", exif=odd), SPEC)
    assert (cell.width, cell.height) == (TALL.height, TALL.width)


def test_memory_that_runs_out_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "resize", run_out)
    assert reason_of(encoded(WIDE, "PNG")) is ImageReason.DECODE_MEMORY


@pytest.mark.parametrize(("size", "options"), [((300, 211), {}), ((300, 211), {"lossless": True})])
@pytest.mark.parametrize("make", [lambda picture: picture, with_alpha])
def test_the_canvas_of_a_webp_is_told_from_its_header(
    size: tuple[int, int], options: dict[str, object], make: Callable[[Image.Image], Image.Image]
) -> None:
    data = encoded(make(photo(*size)), "WEBP", **options)
    assert sniff.webp_canvas(data) == size


def test_no_other_decoder_of_pillow_is_ever_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    plain = Image.open

    def watched(file: io.BytesIO, formats: tuple[str, ...]) -> Image.Image:
        tried.append(formats)
        return plain(file, formats=formats)

    monkeypatch.setattr(Image, "open", watched)
    for file_format in ("JPEG", "PNG", "GIF", "WEBP"):
        make_cell(encoded(WIDE if file_format == "JPEG" else with_alpha(WIDE), file_format), SPEC)
    assert tried == [("JPEG",), ("PNG",), ("GIF",), ("WEBP",)]
