"""Manifests to try the worker with."""

from collections.abc import Iterable
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples"
COVERS = SAMPLES / "covers.csv"
TWO_PHOTOS = ("koala.jpg", "lighthouse.jpg")


def manifest(rows: Iterable[tuple[str, str]]) -> bytes:
    """Return a manifest of (creator, URL) rows."""
    return "".join(f"{creator},{url}\n" for creator, url in (("creator_name", "cover_url"), *rows)).encode()


def creators(name: str, count: int) -> list[str]:
    """Return creators' names that no other test uses."""
    return [f"{name}-{number:02d}" for number in range(count)]


def slow_manifest(origin: str, names: Iterable[str], milliseconds: int) -> bytes:
    """Return a manifest whose every cover takes a while; its creator's name is in its URL, to count requests by."""
    return manifest(
        (creator, f"{origin}/slow/{milliseconds}/{photo}?of={creator}") for creator in names for photo in TWO_PHOTOS
    )
