"""What AWS answers while it refuses: by service, operation, table, bucket, index or queue; for minutes on end."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from botocore.exceptions import EndpointConnectionError
from botocore.parsers import ResponseParserError

from tests.simulation.dynamodb import client_error

PLACES = (
    r".",  # the network is away
    r"^s3\.",
    r"^s3\.put_object",
    r"^s3\.(get|head)_object",  # one right for both
    r"^s3\.copy_object",
    r"^s3\.delete_object",
    r"^s3\..*tiktok-image-temp",
    r"^s3\..*tiktok-image-output",
    r"^s3\..*tiktok-image-input",
    r"^dynamodb\.",
    r"^dynamodb\.put_item",
    r"^dynamodb\.get_item",
    r"^dynamodb\.update_item",
    r"^dynamodb\.transact",
    r"^dynamodb\.query",  # the index on batches
    r"^dynamodb\.(put|update|transact)",
    r"^sqs\.",
    r"^sqs\.receive_message",
    r"^sqs\.send_message",
    r"^sqs\.send_message dead",
    r"^sqs\.delete_message",
    r"^sqs\.change_message_visibility",
)
"""Regular expressions over calls as the trace has them: which of them are refused."""

WHOLE = frozenset({r"^s3\.", r"^s3\..*tiktok-image-temp", r"^s3\..*tiktok-image-output", r"^dynamodb\.", r"^sqs\."})
"""What can be missing as a whole: a bucket, the table, the queue."""

KINDS = ("outage", "unreachable", "garbled", "throttled", "conflict", "denied", "expired", "skewed", "missing")


@dataclass(slots=True)
class Refusal:
    """Calls that match `where` are refused from `begins` to `ends`, in seconds of virtual time.

    `rate` calls a second are let through all the same, as a throttle does.
    """

    where: str
    kind: str
    begins: float
    ends: float
    rate: float = 0.0
    met: int = 0
    _served: list[float] = field(default_factory=list)

    def refuses(self, what: str, now: float) -> bool:
        """Say whether a call is refused now."""
        if not self.begins <= now < self.ends or not re.search(self.where, what):
            return False
        if self.rate:
            self._served = [at for at in self._served if at > now - 1]
            if len(self._served) < self.rate:
                self._served.append(now)
                return False
        self.met += 1
        return True


def drawn(chance: random.Random, *, most: float) -> list[Refusal]:
    """Draw what is refused in a run: mostly nothing, else one thing or some, for `most` seconds at the most."""
    if chance.random() < 0.8:
        return []
    return [one(chance, most=most) for _ in range(chance.choice([1, 1, 1, 2, 3]))]


def one(chance: random.Random, *, most: float) -> Refusal:
    """Draw one thing that is refused."""
    where, kind = chance.choice(PLACES), chance.choice(KINDS)
    if where == ".":
        kind = "unreachable"
    elif kind == "missing" and where not in WHOLE:
        kind = "denied"
    begins, seconds = (
        chance.uniform(0, 30),
        min(most, 15.0 if kind == "garbled" else chance.choice([15, 15, 60, 60, 240, 1200])),
    )
    rate = chance.choice([0.0, 5.0]) if kind == "throttled" else 0.0
    return Refusal(where, kind, begins, begins + seconds, rate)


def refused(refusals: Sequence[Refusal], what: str, now: float) -> Exception | None:
    """Return the error that a call meets, None where it is let through."""
    found = next((refusal for refusal in refusals if refusal.refuses(what, now)), None)
    return error_of(found.kind, what) if found else None


def error_of(kind: str, what: str) -> Exception:
    """Return what the SDK raises for a refusal of this kind; an answer to a HEAD has no body, and so no code."""
    if kind == "unreachable":
        return EndpointConnectionError(endpoint_url="https://aws")
    if kind == "garbled":
        return ResponseParserError("Unable to parse response (no element found), invalid XML received")
    service, _, operation = what.partition(".")
    code, status = _ANSWERS[service][kind]
    if operation.startswith("head_"):
        return client_error(str(status), status)
    if operation.startswith("transact") and kind in {"throttled", "conflict"}:
        reason = {"throttled": "ThrottlingError", "conflict": "TransactionConflict"}[kind]
        reasons = [{"Code": "None"}, {"Code": reason}]
        return client_error("TransactionCanceledException", 400, CancellationReasons=reasons)
    return client_error(code, status)


_ANSWERS: dict[str, dict[str, tuple[str, int]]] = {
    "s3": {
        "outage": ("InternalError", 500),
        "throttled": ("SlowDown", 503),
        "conflict": ("ConditionalRequestConflict", 409),
        "denied": ("AccessDenied", 403),
        "expired": ("ExpiredToken", 400),
        "skewed": ("RequestTimeTooSkewed", 403),
        "missing": ("NoSuchBucket", 404),
    },
    "dynamodb": {
        "outage": ("InternalServerError", 500),
        "throttled": ("ProvisionedThroughputExceededException", 400),
        "conflict": ("TransactionConflictException", 400),
        "denied": ("AccessDeniedException", 400),
        "expired": ("ExpiredTokenException", 400),
        "skewed": ("InvalidSignatureException", 400),
        "missing": ("ResourceNotFoundException", 400),
    },
    "sqs": {
        "outage": ("InternalError", 500),
        "throttled": ("RequestThrottled", 403),
        "conflict": ("ThrottlingException", 400),
        "denied": ("AccessDeniedException", 400),
        "expired": ("ExpiredTokenException", 400),
        "skewed": ("InvalidSignatureException", 400),
        "missing": ("QueueDoesNotExist", 400),
    },
}
