"""The messages that start a batch, as models: their keys, and the JSON Schema that is published for senders.

`messages.parse` refuses what does not fit, with an error of its own that names the key; a test holds the two together.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from worker.keys import MAX_KEY
from worker.model import OutputPrefix, ProcessingConfig


class _JobMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    output_prefix: OutputPrefix | None = None
    """Goes before every key of the results. Not given: the setting `DEFAULT_OUTPUT_PREFIX`."""
    processing_config: ProcessingConfig | None = None
    """How the collages are made. Each key is optional; the `DEFAULT_*` settings fill in."""


class S3Message(_JobMessage):
    """A job for a manifest in S3."""

    processing_type: Literal["csv_s3"]
    """A manifest in S3, of any format that is understood."""
    s3_key: Annotated[str, Field(min_length=1, max_length=MAX_KEY)]
    """The manifest's key, as it is: not encoded."""
    s3_bucket: str = ""
    """The input bucket, or one of `ALLOWED_INPUT_BUCKETS`. Not given: the input bucket."""


class InlineMessage(_JobMessage):
    """A job that brings its manifest along."""

    processing_type: Literal["csv_inline"]
    """The manifest's text is in the message itself."""
    csv_data: Annotated[str, Field(pattern=r"\S")]
    """The text of a manifest, with a header."""


MODELS: dict[str, type[BaseModel]] = {"csv_s3": S3Message, "csv_inline": InlineMessage}
"""The models by `processing_type`."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of both messages."""
    either = Annotated[S3Message | InlineMessage, Field(discriminator="processing_type")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A job for the collage worker",
        **TypeAdapter(either).json_schema(),
    }
