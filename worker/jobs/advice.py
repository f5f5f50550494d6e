"""What a batch's counts say to people: that the wrong column was taken, or why nothing came of it. Pure.

Everything is reckoned from the counts that records, summaries and the running worker all have, so that log, status,
report and command line say the same.
"""

from collections.abc import Mapping
from typing import Any

from worker.errors import ImageReason
from worker.jobs.reasons import MEANING

EARLY = 50
"""Covers that are no images, while none has been one, that make a warning."""


def no_images(counts: Mapping[str, Any]) -> str | None:
    """Warn where the first covers of a batch are all no images; None where they are not, or where they are too few.

    The text names the columns that were used and the one that is likelier to hold the covers.
    """
    errors = counts.get("errors", {})
    bad = errors.get(ImageReason.NOT_AN_IMAGE, 0)
    if counts.get("images_processed", 0) or bad < EARLY:
        return None
    return f"none of the first {bad} covers is an image. {_columns(counts)}"


def nothing_made(counts: Mapping[str, Any]) -> str | None:
    """Say what the failures of a batch without a collage have in common; None where it has one."""
    if counts.get("collages_written", 0):
        return None
    errors = {reason: n for reason, n in counts.get("errors", {}).items() if n and reason != ImageReason.DUPLICATE}
    if not errors:
        return "no collage was made"
    most = max(sorted(errors), key=lambda reason: errors[reason])
    total = sum(errors.values())
    share = f"all {total} failures are" if errors[most] == total else f"{errors[most]} of {total} failures are"
    text = f"no collage was made: {share} {most}. {MEANING.get(most, '')}".rstrip()
    return f"{text} {_columns(counts)}" if most == ImageReason.NOT_AN_IMAGE else text


def _columns(counts: Mapping[str, Any]) -> str:
    columns = counts.get("columns") or {}
    if not columns.get("url"):
        return ""
    creator = f", the creators from column {columns['creator']}" if columns.get("creator") else ""
    text = f"The links were taken from column {columns['url']}{creator}"
    if columns.get("likelier"):
        return f"{text}; column {columns['likelier']} is likelier to hold the covers: name it as url_column"
    return f"{text}; if the covers are in another column, name it as url_column"
