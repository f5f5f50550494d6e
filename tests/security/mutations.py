"""Takes each guard out, one at a time, and runs the tests that have to go red: `make mutations`, or
`python -m tests.security.mutations`, which takes some minutes.

Works on a copy under the temporary directory. `--only TEXT` takes those whose name holds it. It ends with 1 where a
guard is gone and all tests are green, or where a guard is no longer found where the list says.
"""

# ruff: noqa: E501 -- a guard on one line reads as a table

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "demo-output", "*.egg-info", "infra")
SANDBOX, FILTER = "worker/sandbox.py", "worker/sandbox_filter.py"
HUFFMAN, PROGRESSIVE = "worker/images/_huffman.h", "worker/images/_progressive.h"
LIBRARIES = {"_jpeg": "jpeg", "_jpeg_rows": "jpeg", "_webp": "webp", "_lanczos": "m", "_hevc": "de265", "_av1": "dav1d"}
"""Source → what it is linked with."""
RED_TEAM, FILES, SERVERS = "test_red_team.py", "test_files.py", "test_servers.py"
MESSAGES, FLAWS, SECRETS = "test_messages_and_names.py", "test_known_flaws.py", "test_secrets.py"
WORKBOOKS = "test_workbook.py"

# The guard that is taken out: file, pattern, what stands there instead, and the tests that go red. A name without a
# folder is one of this folder's; behind `::` is what `pytest -k` is given.
MUTATIONS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    # Decoding in a sandbox
    "the filter's last answer is ALLOW": (FILTER, r"_returns\(EPERM\),\n    \]\n\n\ndef packed", "_returns(ALLOW),\n    ]\n\n\ndef packed", ("test_sandbox_filter.py", RED_TEAM)),
    "there is no filter": (SANDBOX, r'"seccomp": _filtered\(\)', '"seccomp": True', (RED_TEAM,)),
    "the worker starts without a filter": ("worker/decode/pool.py", r"if self\._require_sandbox and not .*:", "if False:", ("test_sandbox_required.py", "tests/unit/test_pool.py::seccomp")),
    "other processes may look into the worker": ("worker/service/app.py", r"    hide_memory\(\)\n", "", ("test_other_processes.py",)),
    "memory may be executable": (FILTER, r"bits=PROT_EXEC", "bits=0", (f"{RED_TEAM}::signalled", "test_sandbox_filter.py")),
    "calls of another architecture's table are let through": (FILTER, r"\(_EQUAL, 1, 0, machine\.audit\)", "(_EQUAL, 1, 1, machine.audit)", ("test_sandbox_filter.py",)),
    "calls of x32 are let through": (FILTER, r"\(_AT_LEAST, 0, 1, _X32\)", "(_AT_LEAST, 1, 1, _X32)", ("test_sandbox_filter.py",)),
    "any limit of any process may be set": (FILTER, r"\(_EQUAL, 0, 3, 0\),\n(.*)\n        \(_EQUAL, 0, 1, RLIMIT_CPU\)", r"(_EQUAL, 0, 0, 0),\n\1\n        (_EQUAL, 0, 0, RLIMIT_CPU)", ("test_sandbox_filter.py",)),
    "there is no limit of memory": (SANDBOX, r"\(resource\.RLIMIT_AS, memory\)", "(resource.RLIMIT_AS, resource.RLIM_INFINITY)", (f"{FILES}::memory", f"{RED_TEAM}::memory_ends")),
    "there is no limit of CPU": (SANDBOX, r"resource\.setrlimit\(resource\.RLIMIT_CPU.*", "return", (f"{RED_TEAM}::cpu_seconds",)),
    "there is no limit of open files": (SANDBOX, r"\(resource\.RLIMIT_NOFILE, MAX_OPEN_FILES\),", "", ("tests/unit/test_pool.py::limit",)),
    "core dumps are allowed": (SANDBOX, r"\(_PR_SET_DUMPABLE, 0\), ", "", (f"{RED_TEAM}::dumped",)),
    "rights may be gained": (SANDBOX, r"\(_PR_SET_NO_NEW_PRIVS, 1\), ", "", (f"{RED_TEAM}::dumped",)),
    "a decoder outlives its parent": (SANDBOX, r", \(_PR_SET_PDEATHSIG, signal\.SIGKILL\)\)((.|\n)*?)    _prctl\(_PR_SET_PDEATHSIG, signal\.SIGKILL\).*\n", r")\1", ("tests/unit/test_pool.py::parent",)),
    "a decoder inherits the environment": ("worker/decode/pool.py", r"env=_ENVIRONMENT", "env=None", (f"{RED_TEAM}::environment",)),
    "what a decoder prints gets out": ("worker/decode/child.py", r"        _silence\(\)\n", "", (f"{RED_TEAM}::printed",)),
    "nothing is loaded before the sandbox is sealed": ("worker/decode/child.py", r"    preload\(make_cell\)\n", "", (f"{FILES}::ask_for",)),
    "an image has no time-out": ("worker/decode/pool.py", r"async with asyncio\.timeout\(timeout\):", "async with asyncio.timeout(None):", ("tests/unit/test_pool.py::hangs",)),
    "an answer's length is not checked": ("worker/decode/pool.py", r" or length != pixel_bytes", "", ("tests/unit/test_pool.py",)),
    # Files
    "any format is tried": ("worker/images/cell.py", r"if found not in sniff\.ALLOWED_FORMATS:", "if False:", (FLAWS, FILES)),
    "Pillow chooses the format": ("worker/images/pillow.py", r", formats=\(image_format,\)\)", ")", ("tests/unit/test_cell.py::no_other_decoder",)),
    "the size is not checked": ("worker/images/cell_spec.py", r"    width, height = size\n    if width \* height", "    return\n    width, height = size\n    if width * height", (f"{FILES}::family",)),
    "rows that a JPEG does not hold are shown": ("worker/images/_jpeg_rows.c", r"it->errors\.msg_code == JWRN_HIT_MARKER", "0", ("tests/unit/test_wholeness.py",)),
    "rows that a PNG or a GIF does not hold are shown": ("worker/images/pillow.py", r"        refuse_missing_rows\(.*\n", "", ("tests/unit/test_wholeness.py",)),
    "HEVC's memory is not bounded": ("worker/images/heif.py", r"if width \* height > most_pixels:", "if False:", ("tests/unit/test_heif_cell.py::another_size",)),
    "blocks that HEVC did not decode are shown": ("worker/images/_hevc.c", r"has_unwritten_block\(planes, count\)\)", "0)", ("tests/unit/test_heif_cell.py::never_decoded",)),
    "HEVC decodes into memory as it is": ("worker/images/_hevc.c", r"        mallopt\(M_PERTURB, ZEROS\);\n", "", ("tests/unit/test_heif_cell.py::never_decoded or grey_picture",)),
    "AV1's memory is not bounded": ("worker/images/_av1.c", r"    settings\.frame_size_limit = .*\n", "", ("tests/unit/test_heif_cell.py::another_size",)),
    "a box may be read past its end": ("worker/images/boxes.py", r"if count > len\(self\.rest\):", "if False:", ("tests/unit/test_boxes.py",)),
    "a JPEG may have two sizes": ("worker/images/_jpeg.c", r"if \(jpeg->image_width == width.*\)", "if (1)", ("tests/unit/test_jpeg.py::another_size",)),
    "libjpeg crops samplings that it gets wrong": ("worker/images/_jpeg.c", r" &&\n           has_common_sampling\(jpeg\);", ";", ("tests/unit/test_pixels_of_nobody_else.py",)),
    "the stack is not watched": ("pyproject.toml", r'\["-O3", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"\]\n(.*)\n(optional = true\n\n\[\[)', r'["-O3", "-DNO_WATCH"]\n\1\n\2', ("test_compiled.py",)),
    "a JPEG's scan is read past its end": (HUFFMAN, r"\(bits\.at - scan->end\) \* 8 > \(ptrdiff_t\)bits\.count", "0", ("tests/unit/test_huffman.py::early",)),
    "a JPEG's block may go on past its end": (HUFFMAN, r"if \(UNLIKELY\(zeros_of\(found\) != BLOCK_ENDS\)\)", "if (0)", ("tests/unit/test_huffman.py::past_its_end",)),
    "a JPEG's values may have any number of bits": (HUFFMAN, r"value_bits <= 10 \?", "1 ?", ("tests/unit/test_huffman.py::longest",)),
    "markers in a JPEG's scan are passed over": (HUFFMAN, r"if \(marker\[1\] != 0\)", "if (0)", ("tests/unit/test_huffman.py::marker_in",)),
    "a progressive scan is read past its end": (PROGRESSIVE, r"\(bits->at - scan->end\) \* 8 > \(ptrdiff_t\)bits->count", "0", ("tests/unit/test_progressive.py::ends_early",)),
    "a progressive scan may write beyond its band": (PROGRESSIVE, r"if \(UNLIKELY\(\*k > \(unsigned\)jpeg->Se\)\)", "if (0)", ("tests/unit/test_progressive.py::beyond_its_band",)),
    "libjpeg smooths what it crops": ("worker/images/_jpeg.c", r" && \(!jpeg->progressive_mode \|\| has_all_bits\(jpeg\)\)", "", ("tests/unit/test_progressive.py::one_of_its_scans",)),
    "a part may lie outside of its plane": ("worker/images/_lanczos.c", r"if \(!is_sound\(&from, samples\.len, size\)\)", "if (size == 0)", ("tests/unit/test_lanczos.py::is_none",)),
    "EXIF's headers are taken off one by one": ("worker/images/pillow_fixes.py", r"Image\.Exif\.load = load_exif.*", "", (f"{FLAWS}::96643",)),
    "a profile is applied to any mode": ("worker/images/profiles.py", r'transform\.apply\(picture\.convert\("RGB"\)\)', "transform.apply(picture)", (f"{FLAWS}::59205",)),
    "profiles of any colour space are read": ("worker/images/profiles.py", r'and profile\[16:20\] == b"RGB "', "", ("tests/unit/test_cell.py",)),
    # Addresses
    "addresses are not judged": ("worker/download/sockets.py", r"if why := refusal_of_text", "if False and refusal_of_text", (f"{SERVERS}::badly or anew",)),
    "embedded addresses are not looked at": ("worker/download/addresses.py", r"for form, inner in _embedded\(address\):", "for form, inner in ():", ("tests/unit/test_addresses.py",)),
    "any host is asked": ("worker/download/urls.py", r"return not patterns or any\(", "return True or any(", (f"{SERVERS}::host_that_is_not",)),
    "a pattern is not anchored": ("worker/download/urls.py", r"name\.endswith\(pattern\[1:\]\)", "name.endswith(pattern[2:])", ("tests/unit/test_urls.py::anchored",)),
    "any port is asked": ("worker/download/policy.py", r"and url\.port not in self\.allowed_ports", "and False", ("tests/unit/test_policy.py",)),
    "https leads to http": ("worker/download/fetch.py", r'if url\.scheme == "https" and following', "if False and following", ("tests/unit/test_redirects.py",)),
    "user names in URLs are let through": ("worker/download/urls.py", r'if "@" in authority:', "if False:", ("tests/unit/test_urls.py",)),
    "backslashes and controls in URLs are let through": ("worker/download/urls.py", r"if found := _FORBIDDEN\.search\(url\):", "if found := None:", ("tests/unit/test_urls.py",)),
    "numbers are hosts": ("worker/download/urls.py", r"if _NUMERIC\.fullmatch\(host\):", "if False:", ("tests/unit/test_urls.py",)),
    # Servers
    "the bytes of a body are not counted": ("worker/download/body.py", r"if size > rules\.max_bytes:", "if False:", (f"{SERVERS}::endless_body",)),
    "redirects are not counted": ("worker/download/fetch.py", r"if hops > self\._policy\.max_redirects:", "if False:", (f"{SERVERS}::badly",)),
    "a try has no time-out": ("worker/download/fetch.py", r"async with clock:", "if True:", (f"{SERVERS}::badly",)),
    "a body may trickle": ("worker/download/body.py", r"is_slow = received.*", "is_slow = False", ("tests/unit/test_body.py",)),
    "Retry-After has no cap": ("worker/download/retries.py", r"return min\(max\(jitter, asked or 0\.0\), policy\.max_delay\)", "return max(jitter, asked or 0.0)", (f"{SERVERS}::year",)),
    "a body in any coding is taken": ("worker/download/http_answers.py", r"if coding and coding not in READABLE:", "if False:", ("tests/unit/test_http_answers.py",)),
    "a packed body is unpacked in one go": ("worker/download/content_codings.py", r"decompress\(packed, PIECE_BYTES\)", "decompress(packed)", ("tests/unit/test_content_codings.py",)),
    "a name is looked up with the slots in hand": ("worker/download/fetch.py", r"            await self\._find_addresses\(url, slots\)\n", "", (f"{SERVERS}::dead_names",)),
    "a job may take all slots": ("worker/download/fetch.py", r"if slots\.limit <= self\._most_of_a_job", "if True", (f"{SERVERS}::silent_hosts",)),
    "a job may ask for any number of names": ("worker/download/host_names.py", r"Limiter\(LOOKUPS_PER_JOB\)", "Limiter(10_000)", ("tests/unit/test_host_names.py",)),
    "any number of large bodies is held": ("worker/download/body.py", r"await claim\.make\(url\.host\).*", "pass", (f"{SERVERS}::large_bodies",)),
    "cookies are kept": ("worker/download/fetch.py", r"cookie_jar=aiohttp\.DummyCookieJar\(\),", "cookie_jar=aiohttp.CookieJar(unsafe=True),", (f"{SERVERS}::cookie",)),
    "certificates are not checked": ("worker/download/connector.py", r"ssl=tls or True", "ssl=False", (f"{SERVERS}::certificate",)),
    "who waits for a host holds the job's slots": ("worker/download/host_pace.py", r"async with AllOf\(pace\.slots, \*others\):", "async with others[0], pace.slots:", (f"{SERVERS}::slows_only_itself", "tests/unit/test_host_pace.py::holds_no_slot")),
    "a dead host is asked for ever": ("worker/download/host_pace.py", r"return now < self\.closed_until", "return False", (f"{SERVERS}::thousand_images",)),
    "a busy host is asked as much as before": ("worker/download/host_pace.py", r"self\._allow\(1 if is_silent else self\.allowed / 2\)", "pass", ("tests/unit/test_host_pace.py",)),
    # Manifests and messages
    "a manifest may grow for ever": ("worker/manifest/bytes.py", r"if total > max_bytes:", "if False:", (f"{MESSAGES}::zip_bomb",)),
    "a line is held whatever its length": ("worker/manifest/csv_records.py", r"begun \+ lines\[0\]\[: MAX_LINE \+ 1 - len\(begun\)\]", "begun + lines[0]", (f"{MESSAGES}::100_mb",)),
    "a field may have any length": ("worker/manifest/csv_records.py", r" or max\(map\(len, fields\), default=0\) > MAX_FIELD:", ":", ("tests/unit/test_csv_records.py",)),
    "NUL bytes are let through": ("worker/manifest/csv_records.py", r'if any\("\\0" in each for each in lines\):', "if False:", ("tests/unit/test_csv_records.py",)),
    "a JSON value is held whatever its length": ("worker/manifest/json_values.py", r" and len\(self\._text\) - self\._at <= MAX_VALUE", "", ("tests/unit/test_json_values.py::beyond_the_limit",)),
    "what stands before a fault in JSON is read again": ("worker/manifest/json_values.py", r"and here >= fault and", "and", ("tests/unit/test_json_values.py::before_its_fault",)),
    "a header may have any number of columns": ("worker/manifest/json_source.py", r" and len\(self\.paths\) < MAX_COLUMNS:", ":", ("tests/unit/test_json_source.py::wide",)),
    "a workbook is read with all doors open": ("worker/manifest/workbook_child.py", r"        sandbox\.seal\(\)\n", "", (f"{WORKBOOKS}::sealed",)),
    "a workbook may take any memory": ("worker/manifest/workbook.py", r"str\(self\._reader\.memory\)", "str(1 << 40)", (f"{WORKBOOKS}::longer_than",)),
    "a workbook may take any time": ("worker/manifest/workbook_child.py", r"        sandbox\.grant_cpu\(cpu_seconds\)\n", "", (f"{WORKBOOKS}::cpu_seconds",)),
    "the reader of a workbook inherits the environment": ("worker/manifest/workbook.py", r"env=self\._reader\.environment", "env=None", (f"{WORKBOOKS}::secret",)),
    "the reader of a workbook is waited for for ever": ("worker/manifest/workbook.py", r"if time\.monotonic\(\) > until:", "if time.monotonic() > until + 60:", (f"{WORKBOOKS}::hangs",)),
    "what the reader of a workbook says is believed": ("worker/manifest/workbook.py", r" or any\(type\(cell\) is not str for cell in cells\)", "", (f"{WORKBOOKS}::not_sound",)),
    "the reader of a workbook outlives its use": ("worker/manifest/workbook.py", r"stack\.callback\(self\._end\)", "pass", (f"{WORKBOOKS}::reads_on",)),
    "any bucket is read": ("worker/jobs/messages.py", r"if bucket not in defaults\.input_buckets:", "if False:", (f"{MESSAGES}::hostile_message",)),
    "an event of any bucket is followed": ("worker/jobs/messages.py", r"if bucket != defaults\.input_bucket or ", "if ", ("tests/unit/test_messages.py",)),
    "a chunk that was never planned is believed": ("worker/jobs/chunk.py", r"if chunk\.number > known\.chunks_written:", "if False:", ("tests/unit/test_chunk.py",)),
    "deeply nested JSON is not expected": ("worker/jobs/messages.py", r"except \(ValueError, RecursionError\) as error:", "except ValueError as error:", (f"{MESSAGES}::hostile_message",)),
    "a name is its own key": ("worker/keys.py", r'    if name in \{"\.", "\.\."\}:', '    return name\n    if name in {".", ".."}:', (f"{MESSAGES}::share_a_key",)),
    # What people open
    "the report does not escape": ("worker/jobs/report/page.py", r"autoescape=True", "autoescape=False", (f"{MESSAGES}::markup",)),
    "a name ends the report's block of JSON": ("worker/jobs/report/blocks.py", r'for letter in "<>&', 'for letter in "&', (f"{MESSAGES}::markup", "test_fuzz.py::safe_markup")),
    "the report shows what turns a line around": ("worker/jobs/report/blocks.py", r"told = visible\((.*)\)\n", r"told = \1\n", (f"{MESSAGES}::markup",)),
    "the report shows formulas": ("worker/jobs/report/page.py", r"if text\.lstrip\(\)\[:1\] in _FORMULA", "if False", (f"{MESSAGES}::formula",)),
    "the report may run scripts": ("worker/jobs/report/page.py", r"default-src 'none'; ", "", (f"{MESSAGES}::markup",)),
    "commands drive the terminal": ("worker/cli/terminal.py", r"visible\(each\) if", "each if", ("tests/unit/test_masks.py::commands",)),
    "log lines drive the terminal": ("worker/logs.py", r"visible\(str\(line\)\)", "str(line)", ("tests/unit/test_masks.py::log_lines",)),
    # Secrets
    "texts of errors are not masked": ("worker/errors.py", r"super\(\).__init__\(without_signatures\(message\)\)", "super().__init__(message)", (f"{MESSAGES}::signature", SECRETS)),
    "log lines are not masked": ("worker/logs.py", r"    return without_signatures\(str\(value\)\)", "    return str(value)", (SECRETS,)),
    "lines at a terminal are not masked": ("worker/logs.py", r"lambda _logger, _method, text: without_signatures\(str\(text\)\)", "lambda _logger, _method, text: str(text)", (SECRETS,)),
    "crashes are told by Python": ("worker/logs.py", r"    sys\.excepthook = _tell_crash\n", "", (SECRETS,)),
    "passwords in URLs are shown": ("worker/masks.py", r'    \(re\.compile\(r"\(://\).*\n', "", ("tests/unit/test_masks.py",)),
    "links are shown with their queries": ("worker/download/urls.py", r'shown = f"\{head\}\?.*\n', "shown = url\n", ("tests/unit/test_urls.py", "tests/unit/test_http_answers.py")),
}  # fmt: skip


def main() -> int:
    """Try each guard; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="guards whose name holds this")
    parser.add_argument("--list", action="store_true", help="print the table of README.md instead")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(rows()))
        return 0
    only: str = asked.only
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        for name in (name for name in MUTATIONS if only in name):
            fate = _tried(copy, name)
            failed += not fate.startswith("red")
            print(f"{name:60} {fate}", flush=True)
    return 1 if failed else 0


def rows() -> list[str]:
    """Return the guards and their tests as rows of a table in Markdown."""
    return [
        f"| `{file}`: {name} | " + ", ".join(f"`{test.partition('::')[0]}`" for test in tests) + " |"
        for name, (file, _, _, tests) in MUTATIONS.items()
    ]


def _tried(copy: Path, name: str) -> str:
    file, pattern, instead, tests = MUTATIONS[name]
    path = copy / file
    whole = path.read_text()
    broken, count = re.subn(pattern, instead, whole)
    if count != 1:
        return f"NOT TRIED: {file} has the guard {count} times"
    path.write_text(broken)
    try:
        _compiled(copy, file)
        green = [test for test in tests if not _is_red(copy, test)]
        return f"GREEN in {', '.join(green)}" if green else f"red: {', '.join(tests)}"
    finally:
        path.write_text(whole)
        _compiled(copy, file)


def _compiled(copy: Path, file: str) -> None:
    """Compile what is C as it stands, where the copy has the compiled form."""
    source = copy / ("worker/images/_jpeg.c" if file in (HUFFMAN, PROGRESSIVE) else file)
    for built in source.parent.glob(f"{source.stem}.*.so") if source.suffix == ".c" else ():
        include = f"-I{sysconfig.get_path('include')}"
        command = [
            "cc",
            "-O1",
            "-shared",
            "-fPIC",
            include,
            str(source),
            f"-l{LIBRARIES[source.stem]}",
            "-o",
            str(built),
        ]
        subprocess.run(command, check=True)


def _is_red(copy: Path, test: str) -> bool:
    file, _, words = test.partition("::")
    path = file if "/" in file else f"tests/security/{file}"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "120", path]
    done = subprocess.run([*command, *(["-k", words] if words else [])], cwd=copy, capture_output=True, check=False)
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
