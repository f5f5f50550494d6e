"""Write docs/reasons.md: every reason code with its meaning, from the code that gives them."""

import sys
from pathlib import Path

from worker.jobs.reasons import CREATORS, IMAGES, JOBS, REJECTS

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reasons.md"
TABLES = (
    ("Images", "In `errors` of a creator's record, the summary, and the metadata of each image.", IMAGES),
    ("Creators", "In `errors` of a record whose creator has no collage although its images may be fine.", CREATORS),
    ("Lines of a manifest", "In `rejects` of the summary.", REJECTS),
    ("Jobs", "`error_code` of a dead letter and of a failed batch's record, and `reason` in the log.", JOBS),
)


def page() -> str:
    """Return the page."""
    parts = ["# Reason codes\n\nEvery failure has one. The codes are stable; the texts beside them may be reworded.\n"]
    for title, where, known in TABLES:
        rows = "\n".join(f"| `{reason.value}` | {meaning} |" for reason, meaning in known.items())
        parts.append(f"\n## {title}\n\n{where}\n\n| code | meaning |\n|---|---|\n{rows}\n")
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.name} written\n")
