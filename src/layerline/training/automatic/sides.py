"""Whether a mirror image may belong to another class, by the class names: digits, letters, left and right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_ENGLISH: Final = ("left", "right", "lefty", "righty", "lhs", "rhs", "east", "west", "sinistral")
_TURNS: Final = ("clockwise", "anticlockwise", "counterclockwise", "cw", "ccw", "acw", "dextral", "northeast")
_WINDS: Final = ("northwest", "southeast", "southwest", "eastbound", "westbound", "leftward", "rightward")
_ROMANCE: Final = (
    *("gauche", "droite", "droit", "izquierda", "izquierdo", "derecha", "derecho", "esquerda", "esquerdo", "direita"),
    *("direito", "sinistra", "sinistro", "destra", "destro", "stanga", "dreapta", "esquerra", "dreta"),
)
_GERMANIC: Final = (
    *("links", "rechts", "linke", "linker", "linkes", "linken", "rechte", "rechter", "rechtes", "rechten", "linkse"),
    *("rechtse", "vänster", "vanster", "höger", "venstre", "højre", "høyre"),
)
_OTHERS: Final = (
    *("lewo", "lewy", "lewa", "lewe", "prawo", "prawy", "prawa", "prawe", "vlevo", "levý", "levá", "vpravo", "pravý"),
    *("vasen", "oikea", "jobb", "sağ", "kiri", "kanan", "лево", "право", "левый", "правый", "левая", "правая"),
    *("слева", "справа", "налево", "направо", "左", "右", "왼쪽", "오른쪽", "hidari", "migi"),
    *("δεξιά", "αριστερά"),
)
_SIDES: Final = frozenset((*_ENGLISH, *_TURNS, *_WINDS, *_ROMANCE, *_GERMANIC, *_OTHERS))
_PREFIXES: Final = ("left", "right", "links", "rechts", "izquierd", "derech", "esquerd", "gauch", "linkshänd")
_SUFFIXES: Final = ("left", "right")
_NO_SIDE: Final = re.compile(
    r"leftovers?|\w*bright|\w*f?fright|upright|copyright|outright|downright|forthright|birthright|rightful|righteous"
    r"|cleft|\w*wright|al?right|rights"
)
_PAIRS: Final = (
    *(("l", "r"), ("os", "od"), ("lh", "rh"), ("lt", "rt"), ("le", "re"), ("li", "re"), ("sx", "dx"), ("g", "d")),
    *(("izq", "der"), ("esq", "dir"), ("sol", "sağ"), ("sol", "sag"), ("e", "w"), ("ne", "nw"), ("se", "sw")),
    *(("lft", "rgt"), ("ll", "rr"), ("b", "d"), ("p", "q"), ("vl", "vr"), ("hl", "hr")),
)
"""Abbreviations that mean sides if both occur: OS and OD are the left and right eye in ophthalmology."""
_NUMBERS: Final = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
_SIGNS: Final = frozenset(
    (
        *("digit", "digits", "number", "num", "nr", "letter", "letters", "char", "character", "chr", "sign", "symbol"),
        *("glyph", "alphabet", "upper", "lower", "uppercase", "lowercase", "capital", "cap", "small", "big", "ziffer"),
        *("buchstabe", "zahl", "lettre", "chiffre", "letra", "cifra", "numero", "key", "note", "class", "label"),
    )
)


def sided(classes: Sequence[str]) -> str | None:
    """Return the first class whose mirror image may belong to another class, or None.

    That is a digit or a letter, alone or after a word for it (`digit_7`, `letter_b`); a name with a word for a side, in
    one of many languages (`lefthand`, `links`); abbreviations of both sides (`OS` and `OD`); and names that differ only
    in a number or a letter (`sample_1`, `sample_2`), whose meaning is unknown.
    """
    parts = [[part.lower() for part in _PARTS.findall(name)] for name in classes]
    both = _pairs(parts)
    numbered = _numbered(parts)
    for name, words in zip(classes, parts, strict=True):
        if numbered or len(name) == 1 or name.isdigit() or _is_sign(words) or both & set(words):
            return name
        if any(map(_is_side, words)) or _is_side("".join(words)):
            return name
    return None


def _is_side(word: str) -> bool:
    """Return whether a word means a side, or begins or ends with one that does: `lefthand`, `turnleft`."""
    if word in _SIDES:
        return True
    return word.startswith(_PREFIXES) | word.endswith(_SUFFIXES) and not _NO_SIDE.fullmatch(word)


def _is_sign(words: Sequence[str]) -> bool:
    """Return whether the words of a name are a digit or a letter, possibly with a word like `digit`."""
    rest = [word for word in words if word not in _SIGNS]
    if not rest:
        return False
    signs = all(word.isdigit() or len(word) == 1 or word in _NUMBERS for word in rest)
    return signs and (len(rest) < len(words) or len(rest) == 1)


def _pairs(parts: Iterable[Sequence[str]]) -> set[str]:
    """Return the abbreviations of sides whose counterpart occurs too, in an otherwise equal name."""
    names = {tuple(words) for words in parts}
    found: set[str] = set()
    for words in names:
        for k, word in enumerate(words):
            for one, other in _PAIRS:
                if word == one and (*words[:k], other, *words[k + 1 :]) in names:
                    found |= {one, other}
    return found


def _numbered(parts: Sequence[Sequence[str]]) -> bool:
    """Return whether all names are the same except for one part, which is a number or a letter in each."""
    if len(parts) < 2 or len(parts[0]) < 2 or len({len(words) for words in parts}) > 1:
        return False
    differ = [column for column in zip(*parts, strict=True) if len(set(column)) > 1]
    return len(differ) == 1 and all(word.isdigit() or len(word) == 1 for word in differ[0])
