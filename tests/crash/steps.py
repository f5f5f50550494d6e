"""The steps from receive to delete, read off the source: every `failpoint("…")`, and every call that needs one."""

import ast
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2] / "worker"

PORTS = {"ledger", "results", "manifests", "store", "queue"}
"""What a job changes the world through. A `ChunkFiles` is none of them: it goes through `store` and `queue` itself."""

BESIDE_THE_WAY = {"leasing.py"}
"""Keeps leases up while the work goes on: its calls stand in no order with the steps. The simulation crashes there."""


def sources() -> list[Path]:
    """Return the modules that the rule is about."""
    jobs = [path for path in sorted((HOUSE / "jobs").glob("*.py")) if path.name not in BESIDE_THE_WAY]
    return [*jobs, HOUSE / "service" / "fate.py"]


def failpoints() -> list[str]:
    """Return the name in every `failpoint("…")` of the worker, in the order of the source."""
    return [
        str(node.args[0].value)
        for path in sorted(HOUSE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _is_failpoint(node) and isinstance(node, ast.Call) and isinstance(node.args[0], ast.Constant)
    ]


def unguarded(text: str, name: str) -> list[str]:
    """Return the port calls of a module without a failpoint: neither directly before their statement nor after it."""
    found = []
    for block in _blocks(ast.parse(text)):
        for number, statement in enumerate(block):
            neighbours = block[max(0, number - 1) : number] + block[number + 1 : number + 2]
            if any(isinstance(each, ast.Expr) and _is_failpoint(each.value) for each in neighbours):
                continue
            found += [f"{name}:{call.lineno} {ast.unparse(call.func)}" for call in _port_calls(statement)]
    return found


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block


def _port_calls(statement: ast.stmt) -> Iterator[ast.Call]:
    """Give the awaited port calls that are the statement's own, not those of a block within it."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call) and _port(node.value.func) in PORTS:
            yield node.value
        waiting += [
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
        ]


def _port(called: ast.expr) -> str:
    """Return `ledger` for `self._ledger.take`, `ledger.take` and the like."""
    if not isinstance(called, ast.Attribute):
        return ""
    owner = called.value
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return name.lstrip("_")


def _is_failpoint(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint"
