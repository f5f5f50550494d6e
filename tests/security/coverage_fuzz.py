"""The properties of `test_fuzz.py`, guided by coverage: `make fuzz-coverage`.

Needs atheris, which `make fuzz-coverage` lays beside our environment where there is a wheel of it. Takes libFuzzer's
options: `-max_total_time=600 FOLDER`, where FOLDER keeps what reached new code. An input that fails is written to
`crash-*`; run it again with that file as the only argument, and keep it as an `@example` or a row of a table.
"""

import sys

import atheris

with atheris.instrument_imports(include=["worker", "PIL"]):
    from tests.security import test_fuzz

PROPERTIES = [
    getattr(test_fuzz, name).hypothesis.fuzz_one_input for name in sorted(vars(test_fuzz)) if name.startswith("test_")
]


def one(data: bytes) -> None:
    """Let the first byte choose a property, and the others its input."""
    if data:
        PROPERTIES[data[0] % len(PROPERTIES)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
