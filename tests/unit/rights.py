"""What the tests themselves may do: a container's root lacks rights that a machine's has."""

import re
from pathlib import Path

CAP_SYS_PTRACE = 19


def _may_trace() -> bool:
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> CAP_SYS_PTRACE & 1)


MAY_TRACE = _may_trace()
"""Whether this process may look into one that cannot be dumped: its environment, its memory, where its files lead."""
