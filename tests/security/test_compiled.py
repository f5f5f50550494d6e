"""Our C code reads strangers' bytes: what it is compiled with is read from the files that are loaded."""

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from worker.images import heif_decoding, jpeg, lanczos, webp

ROOT = Path(__file__).resolve().parents[2]
BUILT = {
    "_jpeg": jpeg.is_built(),
    "_jpeg_rows": jpeg.is_built(),
    "_webp": webp.is_built(),
    "_lanczos": lanczos.is_built(),
    "_hevc": heif_decoding.is_built("HEIC"),
    "_av1": heif_decoding.is_built("AVIF"),
}
MODULES = [
    pytest.param(name, marks=pytest.mark.skipif(not built, reason="the C code was not built here"))
    for name, built in BUILT.items()
]
DF_BIND_NOW, DF_1_NOW = 0x8, 0x1


@contextmanager
def opened(name: str) -> Iterator[ELFFile]:
    path = Path(str(importlib.import_module(f"worker.images.{name}").__file__))
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            pytest.skip("another system's kind of file")
        yield ELFFile(file)


def dynamic(elf: ELFFile) -> DynamicSection:
    section = elf.get_section_by_name(".dynamic")
    assert isinstance(section, DynamicSection)
    return section


def called(elf: ELFFile) -> set[str]:
    """Return the functions that are other libraries'."""
    symbols = elf.get_section_by_name(".dynsym").iter_symbols()
    return {symbol.name for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF"}


@pytest.mark.parametrize("name", MODULES)
def test_an_overrun_stack_is_seen_before_a_function_returns(name: str) -> None:
    with opened(name) as elf:
        assert "__stack_chk_fail" in called(elf)


def test_a_jump_to_nowhere_ends_the_process() -> None:
    """`_FORTIFY_SOURCE` is seen where it finds something to check: libjpeg's errors come back by longjmp."""
    if not BUILT["_jpeg"]:
        pytest.skip("the C code was not built here")
    with opened("_jpeg") as elf:
        assert "__longjmp_chk" in called(elf)
        assert not called(elf) & {"longjmp", "_longjmp", "siglongjmp"}


@pytest.mark.parametrize("name", MODULES)
def test_where_other_libraries_functions_are_is_written_once_and_then_only_read(name: str) -> None:
    with opened(name) as elf:
        assert any(segment["p_type"] == "PT_GNU_RELRO" for segment in elf.iter_segments())
        flags = {tag.entry.d_tag: tag.entry.d_val for tag in dynamic(elf).iter_tags()}
        now = flags.get("DT_FLAGS", 0) & DF_BIND_NOW or flags.get("DT_FLAGS_1", 0) & DF_1_NOW
        assert now or "DT_BIND_NOW" in flags


@pytest.mark.parametrize("name", MODULES)
def test_no_memory_is_both_written_and_run(name: str) -> None:
    with opened(name) as elf:
        executable_and_writable = 0x1 | 0x2
        assert all(
            segment["p_flags"] & executable_and_writable != executable_and_writable for segment in elf.iter_segments()
        )


def test_the_image_compiles_with_the_flags_that_are_tested_here() -> None:
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["ext-modules"]
    assert {module["name"].rpartition(".")[2] for module in modules} == set(BUILT)
    lines = re.findall(r"\bcc ((?:[^\n]*\\\n)*?[^\n]*?) \|\|", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert lines
    for line in lines:
        words = set(shlex.split(line.replace("\\\n", " ")))
        for module in modules:
            assert {*module["extra-compile-args"], *module["extra-link-args"]} <= words
