"""Starts moto's server with three gaps of its SQS closed, so that Terraform's real code can be applied to it.

    python tests/infra/moto_server.py -p PORT

moto 5.2 knows no RedriveAllowPolicy, for which the AWS provider then waits in vain; SetQueueAttributes makes it forget
a policy that was set before; and it answers a redrive policy with spaces in it, which looks like a change.
"""

import json
import sys
from typing import Any

from moto.server import main
from moto.sqs.models import Queue

_set_attributes = Queue._set_attributes
_attributes = Queue.attributes.fget


def set_attributes(queue: Queue, attributes: dict[str, Any], now: float | None = None) -> None:
    """Set attributes, and leave the policy alone where it is not among them."""
    policy = queue.policy if hasattr(queue, "_policy_json") else None
    _set_attributes(queue, attributes if "Policy" in attributes else {**attributes, "Policy": policy}, now)


def attributes(queue: Queue) -> dict[str, Any]:
    """Return the attributes with JSON as SQS writes it."""
    found: dict[str, Any] = _attributes(queue)
    if found.get("RedrivePolicy"):
        found["RedrivePolicy"] = json.dumps(json.loads(found["RedrivePolicy"]), separators=(",", ":"))
    return found


Queue._set_attributes = set_attributes
Queue.attributes = property(attributes)
Queue.BASE_ATTRIBUTES = [*Queue.BASE_ATTRIBUTES, "RedriveAllowPolicy"]
Queue.redrive_allow_policy = None

if __name__ == "__main__":
    main(sys.argv[1:])
