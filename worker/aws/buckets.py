"""How calls to S3 name buckets, and how objects are encrypted there. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Buckets:
    """The worker's own buckets; any other is one of a job.

    `settings` says by which setting each of them is named. `owner` is the account (12 digits) that they have to belong
    to, None for any. `kms_key` is the ARN of the key that objects are encrypted with, None for S3's own (AES256).
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    kms_key: str | None = None

    def at(self, bucket: str) -> dict[str, Any]:
        """Return a bucket as calls name it: one of our own has to be the owner's, or S3 refuses."""
        named = {"Bucket": bucket}
        return named | {"ExpectedBucketOwner": self.owner} if self.owner and bucket in self.settings else named

    def to_read(self, bucket: str) -> dict[str, Any]:
        """Return the same for reading. A job's bucket may have it that whoever reads pays for the request."""
        is_ours = bucket in self.settings or not self.settings
        return self.at(bucket) if is_ours else {**self.at(bucket), "RequestPayer": "requester"}

    def to_copy_from(self, bucket: str) -> dict[str, Any]:
        """Return what a copy says of the bucket that it copies from, besides its name."""
        owner = self.at(bucket).get("ExpectedBucketOwner")
        return {"ExpectedSourceBucketOwner": owner} if owner else {}

    @property
    def encryption(self) -> dict[str, Any]:
        """Return the arguments that say how S3 encrypts an object.

        The key has to be named with each object: without it S3 takes the account's `aws/s3`, and not the bucket's own.
        A bucket key stands between, so that S3 asks KMS once for many objects.
        """
        if self.kms_key is None:
            return {"ServerSideEncryption": "AES256"}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key, "BucketKeyEnabled": True}


def buckets_of(settings: Settings) -> Buckets:
    """Return the buckets that the settings name."""
    return Buckets(settings.own_buckets, settings.expected_bucket_owner, settings.s3_kms_key)
