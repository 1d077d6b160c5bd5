"""Names in one form: what people type, and the form in which names are compared.

Two writings of one name must meet: full and half width, hiragana and katakana, kana and Latin letters, ヴ and ブ,
long vowels written in three ways, middle dots, hyphens, accents, letter case, order of the parts (DOMAIN §2).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import jaconv

# Said differently from the sum of their kana, which is how jaconv reads them.
_COMBINATIONS: Final = {
    "ティ": "ti", "ディ": "di", "トゥ": "tu", "ドゥ": "du", "テュ": "tyu", "デュ": "dyu",
    "ヴァ": "ba", "ヴィ": "bi", "ヴェ": "be", "ヴォ": "bo", "ヴュ": "byu", "ヴ": "bu",
    "ヷ": "ba", "ヸ": "bi", "ヹ": "be", "ヺ": "bo", "ウィ": "ui", "ウェ": "ue", "ウォ": "uo",
    "シェ": "she", "ジェ": "je", "チェ": "che", "ファ": "fa", "フィ": "fi", "フェ": "fe", "フォ": "fo",
    "ツァ": "tsa", "クァ": "kua", "クォ": "kuo", "グァ": "gua", "ヰ": "i", "ヱ": "e", "ヲ": "o",
}  # fmt: skip
_COMBINATION = re.compile("|".join(sorted(_COMBINATIONS, key=len, reverse=True)))
_KANA = re.compile(r"[ァ-ヺー]+")
_HAN = re.compile(r"[\u3400-\u9fff々〆]")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
# Only the form of the company; what is left must still be a name.
LEGAL_FORMS: Final = frozenset(
    [
        "co",
        "company",
        "corp",
        "corporation",
        "inc",
        "incorporated",
        "ltd",
        "limited",
        "llc",
        "llp",
        "plc",
        "kk",
        "gk",
        "gmbh",
        "ag",
        "sa",
        "sarl",
        "spa",
        "srl",
        "bv",
        "nv",
        "oy",
        "ab",
        "pte",
        "pty",
        "pvt",
        "jsc",
        "ojsc",
        "pjsc",
        "ooo",
        "oao",
        "zao",
        "kabushiki",
        "kabushikikaisha",
        "goudoukaisha",
        "godokaisha",
        "kaisha",
        "gaisha",
        "the",
        "of",
        "and",
    ]
)
_JAPANESE_FORMS = re.compile(r"株式会社|有限会社|合同会社|合資会社|合名会社|一般社団法人|\(株\)|\(有\)")
_TITLES: Final = frozenset({"mr", "mrs", "ms", "dr", "sama", "san"})


def tidy(text: str) -> str:
    """What a person typed, in one width: letters, digits and punctuation half width, kana full width, single spaces."""
    text = jaconv.h2z(text, kana=True, ascii=False, digit=False)
    text = jaconv.z2h(text, kana=False, ascii=True, digit=True).replace("\u3000", " ")
    return " ".join(unicodedata.normalize("NFC", text).split())


def tidy_kana(text: str) -> str:
    """The same, with hiragana and half-width kana as full-width katakana."""
    return str(jaconv.hira2kata(tidy(text)))


def tidy_digits(text: str) -> str:
    """Digits of any width without spaces and hyphens."""
    return re.sub(r"[\s\-‐-―−ー－]", "", tidy(text))


def romaji(kana: str) -> str:
    """Latin letters for katakana, spelled as it sounds; everything else stays."""

    def read(match: re.Match[str]) -> str:
        spelled = _COMBINATION.sub(lambda part: _COMBINATIONS[part.group()], match.group().replace("ー", ""))
        return str(jaconv.kata2alphabet(spelled))

    return _KANA.sub(read, tidy_kana(kana))


def normalise(name: str) -> str:
    """Lower-case Latin tokens separated by one space, in the order given; kana read out, accents and marks gone.

    Han characters carry no reading and are dropped: their owners give kana and Latin letters beside them.
    """
    text = _JAPANESE_FORMS.sub(" ", tidy_kana(name))
    text = _HAN.sub(" ", romaji(text.replace("・", " ").replace("゠", " ").replace("＝", " ")))
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(c for c in text if not unicodedata.combining(c)).translate(_SPECIAL)
    text = _INITIALS.sub("", re.sub(r"['’`ʼ‘]", "", text))
    return _SEPARATORS.sub(" ", text).strip()


# K.K., S.A., L.L.C.: one word, not several letters.
_INITIALS: Final = re.compile(r"(?<=\b[a-z])\.(?=[a-z]\b)")


_SPECIAL: Final = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe", "ß": "ss"})


def tokens(normalised: str) -> tuple[str, ...]:
    """The parts that name somebody: legal forms and titles left out unless nothing else is there."""
    parts = normalised.split()
    kept = tuple(part for part in parts if part not in LEGAL_FORMS and part not in _TITLES)
    return kept or tuple(parts)


_FOLDS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # spellings of one sound: Kunrei and Hepburn, v and b, l and r
        (r"sh(?=i)|s(?=i)", "s"), (r"sy(?=[aou])", "sh"), (r"ty(?=[aou])|cy(?=[aou])", "ch"), (r"tsu|tzu", "tu"),
        (r"ch(?=i)", "t"), (r"[zj]y(?=[aou])", "j"), (r"ji|di", "zi"), (r"dzu|du", "zu"), (r"fu", "hu"),
        (r"v", "b"), (r"l", "r"), (r"m(?=[bp])", "n"),
        # long vowels: oo, ou, oh, ō and ー all became or become one letter
        (r"ou|oh(?![aeiou])|oo", "o"), (r"uu|uh(?![aeiou])", "u"), (r"ii", "i"), (r"ee|ei(?![aeou])", "e"), (r"aa", "a"),
        (r"(.)\1", r"\1"),
    )
)  # fmt: skip


def fold(token: str) -> str:
    """A token under the ear: ヴ and ブ, ou, oh and o, si and shi, doubled letters fall together.

    Applied to both sides of a comparison, never shown.
    """
    for pattern, replacement in _FOLDS:
        token = pattern.sub(replacement, token)
    return token
