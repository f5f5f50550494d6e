"""How much a decoded text looks like what people write: the rule by which an encoding is told. Pure.

The costs are natural logarithms: if one reading costs 3 less than another, it is 20 times as likely. They need not be
exact. It is enough that a wrong reading costs far more than the right one.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from worker.manifest.letters import (
    CYRILLIC,
    GREEK,
    HANGUL,
    KANJI,
    LATIN,
    SIMPLIFIED,
    SYMBOLS,
    TRADITIONAL,
    VOWELS,
    Latin,
)

LONGEST_WORD = 60
"""Characters of a word that are looked at."""

MISFIT = 8.0
"""What a character costs that nobody would write there."""

_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"  # they stand on the letter before
_WORD = re.compile(rf"[^\W_][^\W_{_MARKS}]*(?:['\u2019{_MARKS}]+[^\W_]*)*|[^\x00-\x7f]")
_ODD_MARK = re.compile(  # marks without a letter, Hebrew points (lists are written without), Thai vowels before nothing
    rf"(?<![\u0600-\u06ff\u0e01-\u0e4e])[{_MARKS}]|[\u0591-\u05c7]|[\u0e40-\u0e44](?![\u0e01-\u0e2e])|[\u0e4e-\u0e5b]"
)
_FREQUENT = {
    "zh-Hans": frozenset(SIMPLIFIED),
    "zh-Hant": frozenset(TRADITIONAL),
    "ja": frozenset(KANJI),
    "ko": frozenset(HANGUL),
}
_CODECS = {"zh-Hans": "gb18030", "zh-Hant": "big5hkscs", "ja": "cp932", "ko": "cp949"}
_LEVEL_1 = {"zh-Hans": ("gb2312", 0xD7), "zh-Hant": ("big5", 0xC6), "ja": ("shift_jis", 0x97)}
"""Of each language, the character set that orders ideographs by use, and the last lead byte of the ones in use."""

_ALPHABETS = {
    **dict.fromkeys(CYRILLIC["common"] + GREEK["common"], 2.7),
    **dict.fromkeys(CYRILLIC["other"] + GREEK["other"], 4.2),
    **dict.fromkeys(CYRILLIC["of neighbours"], 5.0),
}
_OTHER_ALPHABETS = {"HEBREW": 3.2, "ARABIC": 3.3, "THAI": 3.6}
_EMOJI = re.compile("[\u200d\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]")
_USUAL_SYMBOLS = frozenset(SYMBOLS)
_ONLY_AT_THE_END = frozenset("ςךםןףץةى")
_IDEOGRAPHIC = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "HANGUL", "FULLWIDTH"})

_ASCII_LETTER = 2.9
"""What a letter costs that one reading takes for the second half of a character, and the others for itself."""

_FREQUENT_IDEOGRAPH, _NEIGHBOUR_S, _KNOWN, _RARE = 5.5, 7.0, 8.5, 12.0
_LAST_RANK = 12
"""From this letter of a language on, all cost the same: Vietnamese has 67, most of them as frequent as one another."""

_LANGUAGE = 3.0
"""What each further language costs that a text in Latin letters is in: lists of names are of few."""


@dataclass(slots=True)
class Plausibility:
    """What a text costs, how many characters of it are not ASCII, and how many of them nobody would write there."""

    cost: float = 0.0
    characters: int = 0
    odd: float = 0.0

    @property
    def odd_share(self) -> float:
        """Share of the characters that nobody would write there."""
        return self.odd / self.characters if self.characters else 1.0

    def add(self, cost: float, odd: float) -> None:
        """Count what some words cost, and what of them nobody would write."""
        self.cost += cost + MISFIT * odd
        self.odd += odd


def plausibility(texts: Iterable[str], language: str) -> Plausibility:
    """Look at the words of `texts` that are not ASCII, each once; signs that nobody would write, each time.

    `language` says whose ideographs are expected: `zh-Hans`, `zh-Hant`, `ja`, `ko`, or "" where there are none.
    """
    found = Plausibility()
    latin: list[str] = []
    composed = (unicodedata.normalize("NFC", text) for text in texts)  # cp1258 has letters and marks
    words = Counter(
        word.strip("0123456789")[:LONGEST_WORD]
        for text in composed
        for word in _WORD.findall(text)
        if not word.isascii()
    )
    for word, count in sorted(words.items()):
        scripts = [_script(char) for char in word]
        found.characters += sum(1 for char in word if not char.isascii())
        if len(word) == 1 and not word.isalpha():
            if word in _USUAL_SYMBOLS or _EMOJI.match(word):
                found.add(6.0, 0.0)
            else:  # the sign of another character set comes each time that a letter does
                found.characters += count - 1
                found.add(9.0 * count, float(count))
        elif set(scripts) <= {"LATIN", "DIGIT", "OTHER"}:
            found.add(*_structure(word, scripts))
            latin.append(word.lower())
        else:
            found.add(*_judge(word, scripts, language))
    found.add(*_judge_latin(latin))
    return found


def _judge(word: str, scripts: list[str], language: str) -> tuple[float, float]:
    """Return what a word in other letters than Latin costs, and the number of things in it that nobody would write."""
    pairs = list(pairwise(scripts))
    neutral = _IDEOGRAPHIC | {"DIGIT", "COMBINING"}
    mixed = sum(1 for one, next_ in pairs if one != next_ and not {one, next_} & neutral)
    costs = [_cost(char, script, language) for char, script in zip(word, scripts, strict=True)]
    beside_latin = sum(1 for one, next_ in pairs if "LATIN" in {one, next_} and {one, next_} & _IDEOGRAPHIC)
    ends = sum(1 for char, next_ in pairwise(word) if char in _ONLY_AT_THE_END and next_.isalpha())
    rare = sum(1 for cost in costs if cost >= _RARE)
    odd = mixed + ends + rare + _odd_case(word) + scripts.count("OTHER") + len(_ODD_MARK.findall(word))
    unusual = _unusual_case(word) if scripts[0] in {"CYRILLIC", "GREEK"} else 0.0
    return sum(costs) + 2.0 * beside_latin + unusual, odd


def _structure(word: str, scripts: list[str]) -> tuple[float, float]:
    """Judge what is the same in all languages with Latin letters."""
    odd = sum(1 for at, script in enumerate(scripts) if script == "OTHER" and not (word[at] in "ªº" and at))
    return _clusters(word.lower()), odd + _odd_case(word)


def _judge_latin(words: Sequence[str]) -> tuple[float, float]:
    """Find the few languages that words in Latin letters fit best, and what the words cost in them."""
    if not words:
        return 0.0, 0.0
    left = [MISFIT + 4.0 * sum(1 for char in word if not char.isascii()) for word in words]
    costs = {language: [_cost_in(word, language) for word in words] for language in LATIN}
    used = 0.0
    while costs:
        gains = {
            language: sum(max(0.0, old - new) for old, new in zip(left, each, strict=True))
            - _LANGUAGE
            + language.weight
            for language, each in costs.items()
        }
        best = max(gains, key=lambda language: gains[language])
        if gains[best] <= 0:
            break
        used += _LANGUAGE - best.weight
        left = [min(old, new) for old, new in zip(left, costs.pop(best), strict=True)]
    odd = sum(1 for word, cost in zip(words, left, strict=True) if cost >= MISFIT + 2.0 * len(word))
    return used + sum(left) - MISFIT * odd, float(odd)


@lru_cache(maxsize=50_000)
def _cost_in(word: str, language: Latin) -> float:
    """Return what a word costs in a language: by the frequency of its letters, and where they stand."""
    ranks = [language.letters.find(char) for char in word if not char.isascii() and char not in "ªº"]
    if min(ranks, default=0) < 0 or re.search(language.never, word):
        return MISFIT + 4.0 * len(ranks)
    return sum(2.0 + 0.3 * min(rank, _LAST_RANK) for rank in ranks)


def _clusters(word: str) -> float:
    """Return what runs of vowels and consonants cost that are longer than people can speak."""
    cost = 0.0
    for run in _CLUSTER.findall(word):
        if not run.isascii():
            cost += 2.0 * (len(run) - (2 if run[0] in VOWELS else 3))
    return cost


def _odd_case(word: str) -> int:
    """Count the letters outside ASCII that are capitals after a small one."""
    return sum(1 for one, after in pairwise(word) if one.islower() and after.isupper() and after > "z")


def _unusual_case(word: str) -> float:
    """Return what it costs that a word does not begin with a capital, or goes on with capitals, as names seldom do."""
    return (1.0 if word[0].islower() else 0.0) + 0.5 * sum(map(str.isupper, word[1:]))


def _cost(char: str, script: str, language: str) -> float:
    if char.isascii():
        return 0.0
    if language:
        return _in_east_asia(char, script, language)
    return _ALPHABETS.get(char.lower(), _OTHER_ALPHABETS.get(script, _RARE))


@lru_cache(maxsize=50_000)
def _in_east_asia(char: str, script: str, language: str) -> float:
    taken = _encoded(char, _CODECS[language])[-1:]
    return _by_script(char, script, language) - (_ASCII_LETTER if taken.isascii() and taken.isalpha() else 0.0)


def _by_script(char: str, script: str, language: str) -> float:
    if script == "CJK":
        return _ideograph(char, language)
    if script == "HANGUL" and language == "ko":
        return 5.0 if char in _FREQUENT["ko"] else 7.5 if _encoded(char, "euc_kr") else _RARE
    if script in {"HIRAGANA", "KATAKANA"}:
        return 4.0 if language == "ja" else 8.0
    if script in {"HALFWIDTH", "FULLWIDTH"}:
        return 7.0
    return _RARE if script == "HANGUL" else 9.0  # alphabets of others, which every character set of East Asia holds


def _ideograph(char: str, language: str) -> float:
    if language == "ko":
        return _RARE
    if char in _FREQUENT[language]:
        return _FREQUENT_IDEOGRAPH
    if any(char in _FREQUENT[other] for other in ("zh-Hans", "zh-Hant", "ja")):
        return _NEIGHBOUR_S
    codec, last = _LEVEL_1[language]
    encoded = _encoded(char, codec)
    return _RARE if not encoded else _KNOWN if encoded[0] <= last else _RARE - 0.5


def _encoded(char: str, codec: str) -> bytes:
    try:
        return char.encode(codec)
    except UnicodeEncodeError:
        return b""


@lru_cache(maxsize=20_000)
def _script(char: str) -> str:
    """Return the first word of a letter's name in Unicode, which is its script; DIGIT, and OTHER for no letter."""
    if char.isdigit() and char.isascii():
        return "DIGIT"
    first = unicodedata.name(char, "OTHER").partition(" ")[0].partition("-")[0]
    return first if first in _SCRIPTS and not char.isdigit() else "OTHER"


_VOWELS = "".join(sorted(VOWELS))
_CLUSTER = re.compile(f"[{_VOWELS}]{{3,}}|[^{_VOWELS}]{{4,}}")
_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", *_OTHER_ALPHABETS}) | _IDEOGRAPHIC | {"COMBINING"}
