"""Encodings of text: which one a manifest has, and how it is decoded."""

import codecs
import io
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from worker.errors import JobReason, TerminalError
from worker.manifest.bytes import not_csv, read_pieces
from worker.manifest.plausibility import plausibility

BAD = "\udcff"
"""Stands in the text for bytes that are no character. It is half a surrogate pair, which no valid text holds."""

_ON_ERROR = "worker.manifest.bad"
codecs.register_error(_ON_ERROR, lambda error: (BAD, error.end))  # type: ignore[attr-defined]

_SHIFT = b"\x1b$"
"""What switches from ASCII to the characters of East Asia in the encodings of 7 bits (ISO 2022)."""

_C1 = re.compile("[\x80-\x9f]")

_BOMS: tuple[tuple[bytes, str, str], ...] = (
    (codecs.BOM_UTF8, "utf-8", "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16"),
    (b"\x84\x31\x95\x33", "gb18030", "gb18030"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A manifest's encoding: its usual `name`, and Python's `codec` for it.

    Where it is `damaged`, some bytes are no characters in this encoding; `BAD` stands for them.
    """

    name: str
    codec: str
    damaged: bool


class Candidate(NamedTuple):
    """An encoding that a manifest may have: its usual name, Python's codec, whose ideographs it holds, and a weight.

    The weight is a natural logarithm: how much rarer it is met than the commonest.
    """

    name: str
    codec: str
    language: str
    weight: float


CANDIDATES = (
    Candidate("gb18030", "gb18030", "zh-Hans", 0.0),
    Candidate("big5", "big5hkscs", "zh-Hant", 0.0),
    Candidate("shift-jis", "cp932", "ja", 0.0),
    Candidate("euc-kr", "cp949", "ko", 0.0),
    Candidate("cp1252", "cp1252", "", 0.0),
    Candidate("cp1251", "cp1251", "", -0.7),
    Candidate("cp1250", "cp1250", "", -2.3),
    Candidate("cp1254", "cp1254", "", -2.3),
    Candidate("cp1253", "cp1253", "", -1.6),
    Candidate("cp1256", "cp1256", "", -1.6),
    Candidate("cp1255", "cp1255", "", -1.6),
    Candidate("cp874", "cp874", "", -1.6),
    Candidate("cp1257", "cp1257", "", -3.0),
    Candidate("cp1258", "cp1258", "", -1.6),
)
"""What a manifest may have that is not UTF-8: of two that read it alike, the first counts."""

RIVALS = (
    Candidate("koi8-r", "koi8-r", "", -3.0),
    Candidate("koi8-u", "koi8-u", "", -3.0),
    Candidate("iso8859-5", "iso8859-5", "", -3.0),
    Candidate("cp866", "cp866", "", -3.0),
    Candidate("mac-cyrillic", "mac-cyrillic", "", -3.0),
    Candidate("mac-roman", "mac-roman", "", -3.0),
    Candidate("cp850", "cp850", "", -3.0),
    Candidate("cp852", "cp852", "", -3.0),
    Candidate("iso8859-2", "iso8859-2", "", -3.0),
    Candidate("iso8859-7", "iso8859-7", "", -3.0),
    Candidate("euc-jp", "euc_jp", "ja", -3.0),
)
"""What a manifest is not taken for, but may be: where one of them reads it best, it is named in the error."""

CERTAIN = 4.0
"""The best reading is taken only if the next best costs at least so much more. The best one is then e⁴, about 55, times
as likely."""

ODD_SHARE = 0.1
"""A reading is plausible if at most this share of its characters is odd: such as nobody would write there."""

BROKEN_SHARE = 0.02
"""At most this share of the lines may be broken in the encoding that is chosen."""


ENOUGH = 4_000_000
"""So many characters beyond ASCII, from the beginning of a file, are enough to tell damaged UTF-8 from another
encoding."""

SAMPLE_BYTES = 64 * 1024
LONGEST_LINE = 16 * 1024
"""Bytes of the lines by which an encoding is told, in all and for one line."""


def detect_encoding(file: BinaryIO, max_bytes: int, *, named: str | None = None) -> Encoding:
    """Tell the encoding: a BOM's, else the one that is `named`, else UTF-8, else the most plausible of `CANDIDATES`.

    A file most of whose characters beyond ASCII are valid UTF-8 is UTF-8 with some damage. Reads the whole manifest, so
    broken gzip and size are told before anything is planned.
    Raises `TerminalError`: `manifest_encoding` where no candidate is plausible, or two are, `manifest_not_csv` for
    what is no text; and what `read_pieces` raises.
    """
    beginning = next(read_pieces(file, max_bytes), b"")
    given = next(((name, codec) for bom, name, codec in _BOMS if beginning.startswith(bom)), None)
    if given is None and named is not None:
        given = (codecs.lookup(named).name, named)
    name, codec = given or ("utf-8", "utf-8")
    if given is None and _SHIFT in beginning and beginning.isascii():
        raise _undecided(
            "it looks like iso2022_jp or another that shifts its letters, which are taken only where named"
        )
    if _is_valid(file, codec, max_bytes):
        return Encoding(name, codec, damaged=False)
    if given is not None or _is_mostly_valid(file, max_bytes):
        return Encoding(name, codec, damaged=True)
    if b"\0" in beginning:
        raise not_csv("binary; export the table as CSV")
    chosen = most_plausible(_sample(file, max_bytes))
    return Encoding(chosen.name, chosen.codec, damaged=not _is_valid(file, chosen.codec, max_bytes))


def most_plausible(lines: Sequence[bytes]) -> Candidate:
    """Return the candidate in which these lines look most like what people write.

    Raises `TerminalError` (`manifest_encoding`) where none is plausible, and where two are that read them differently.
    """
    readings: dict[tuple[str, ...], tuple[float, Candidate]] = {}
    for candidate in CANDIDATES + RIVALS:
        texts = [text for text in (_decoded(line, candidate.codec) for line in lines) if text is not None]
        if len(texts) < len(lines) * (1 - BROKEN_SHARE):
            continue
        found = plausibility(texts, candidate.language)
        if found.odd_share <= ODD_SHARE:
            readings.setdefault(tuple(texts), (found.cost - candidate.weight, candidate))
    best = sorted(readings.values(), key=lambda reading: reading[0])
    if not best:
        raise _undecided("in none that is looked for does it look like what people write")
    chosen = best[0][1]
    if chosen in RIVALS:
        raise _undecided(f"it looks like {chosen.name}, which is taken only where it is named")
    others = (cost for cost, candidate in best[1:] if candidate in CANDIDATES)
    if next(others, math.inf) - best[0][0] < CERTAIN:
        raise _undecided(f"it may be {chosen.name} as well as {best[1][1].name}")
    return chosen


def _undecided(why: str) -> TerminalError:
    return TerminalError(
        JobReason.MANIFEST_ENCODING,
        f"the manifest is not UTF-8, and its encoding cannot be told: {why}. Save it as UTF-8, or name the encoding: "
        'key encoding in processing_config of the message or in the object\'s metadata (config={"encoding": "…"}), '
        "DEFAULT_ENCODING in the settings, --set encoding=… at the command line",
    )


def _decoded(line: bytes, codec: str) -> str | None:
    """Return a line as text; None where it has bytes that are no character, or control characters beyond ASCII."""
    try:
        text = line.decode(codec)
    except UnicodeDecodeError:
        return None
    return None if _C1.search(text) else text


def _sample(file: BinaryIO, max_bytes: int) -> list[bytes]:
    """Return lines that are not ASCII, from the whole file, until they are enough to judge by; each line once."""
    found: dict[bytes, None] = {}
    size, rest = 0, b""
    for piece in read_pieces(file, max_bytes):
        *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
        if size < SAMPLE_BYTES:
            new = dict.fromkeys(line for line in lines if len(line) <= LONGEST_LINE and not line.isascii())
            size += sum(map(len, new.keys() - found.keys()))
            found |= new
        rest = rest[: LONGEST_LINE + 1]
    if len(rest) <= LONGEST_LINE and not rest.isascii():
        found[rest] = None
    return list(found)


def _is_mostly_valid(file: BinaryIO, max_bytes: int) -> bool:
    """Say whether most of the characters beyond ASCII are valid UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")(_ON_ERROR)
    valid = bad = 0
    for piece in itertools.chain(read_pieces(file, max_bytes), [b""]):
        text = decoder.decode(piece, final=not piece)
        wrong = text.count(BAD)
        bad += wrong
        valid += len(text) - len(text.encode("ascii", "ignore")) - wrong
        if valid + bad > ENOUGH:  # each bad one costs as much as a hundred good ones
            break
    return valid > bad


def _is_valid(file: BinaryIO, codec: str, max_bytes: int) -> bool:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        for piece in read_pieces(file, max_bytes):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def read_text(file: BinaryIO, encoding: Encoding, max_bytes: int) -> Iterator[str]:
    """Read the manifest as text, with its line ends as they are; no piece ends between the CR and LF of one line end.

    Raises what `read_pieces` raises.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding.codec)(_ON_ERROR), translate=False)
    first = True
    for piece in read_pieces(file, max_bytes):
        text = decoder.decode(piece)
        yield text.lstrip("\ufeff") if first else text  # GB18030's mark, and one that was written twice
        first = False
    yield decoder.decode(b"", final=True)
