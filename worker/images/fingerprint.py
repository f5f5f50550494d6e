"""What tells two images apart, or shows that they are the same: a hash of their bytes."""

import hashlib

ALGORITHMS = ("sha256", "sha1", "md5", "sha512", "blake2b")
"""What `CONTENT_HASH_ALGORITHM` may name."""


def content_hash(data: bytes, algorithm: str) -> str:
    """Return the hash of the bytes in hexadecimal. Raises `ValueError` unless the algorithm is one of `ALGORITHMS`."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"the hash algorithm is {algorithm!r}; allowed are {', '.join(ALGORITHMS)}")
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
