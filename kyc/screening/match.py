"""Comparing a person's names with a list: fast to find candidates, explainable in what it says about them.

A score from 0 to 100. Name parts are paired one to one, whatever their order; each pair counts by its length and its
likeness; of the two coverages (ours by theirs, theirs by ours) the better one counts three quarters, so that a
missing middle name costs little. Then the supporting facts: date of birth, kind. Weights are a working choice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, Final

from rapidfuzz import fuzz, process

from kyc.names import fold, normalise, tokens

#: Two name parts this alike (0 to 100) count as the same part written differently.
SIMILAR: Final = 78
_BIRTH_EXACT, _BIRTH_YEAR, _BIRTH_OTHER, _KIND_OTHER = 6, 3, -10, -25


@dataclass(frozen=True, slots=True)
class Listed:
    """A name of the list as the index holds it."""

    entry_id: int
    name: str
    parts: tuple[str, ...]  # folded


@dataclass(frozen=True, slots=True)
class Query:
    """One person or company to look for."""

    who: str
    names: tuple[str, ...]  # every writing we know: kana, Latin letters …
    birth_date: date | None = None
    is_individual: bool = True


@dataclass(frozen=True, slots=True)
class Pair:
    ours: str
    theirs: str
    likeness: int


@dataclass(slots=True)
class Candidate:
    """The best comparison of one query with one entry."""

    entry_id: int
    subject_name: str
    listed_name: str
    name_score: float
    pairs: list[Pair] = field(default_factory=list)
    unmatched_ours: list[str] = field(default_factory=list)
    unmatched_theirs: list[str] = field(default_factory=list)


class NameIndex:
    """All names of one list version, by name part. Built once per process and list."""

    def __init__(self, names: Iterable[tuple[int, str, str]]) -> None:
        """`names`: (entry id, name as listed, normalised name)."""
        self._listed: list[Listed] = []
        self._by_part: dict[str, list[int]] = defaultdict(list)
        self._by_joined: dict[str, list[int]] = defaultdict(list)
        for entry_id, name, normalised in names:
            parts = tuple(fold(part) for part in tokens(normalised))
            if not parts:
                continue
            position = len(self._listed)
            self._listed.append(Listed(entry_id, name, parts))
            for part in set(parts):
                self._by_part[part].append(position)
            # Written without a space, in either order of the parts.
            for joined in {"".join(parts), "".join((*parts[1:], parts[0]))}:
                self._by_joined[joined].append(position)
        self._parts = list(self._by_part)
        self._joined = list(self._by_joined)
        self._alike = lru_cache(maxsize=100_000)(self._find_alike)

    def __len__(self) -> int:
        return len(self._listed)

    def _find_alike(self, part: str) -> tuple[tuple[str, int], ...]:
        if len(part) <= 3:  # too short to be nearly anything else
            return ((part, 100),) if part in self._by_part else ()
        found = process.extract(part, self._parts, scorer=fuzz.ratio, score_cutoff=SIMILAR, limit=None)
        return tuple((text, int(score)) for text, score, _ in found)

    def candidates(self, query: Query, *, floor: float) -> list[Candidate]:
        """The best candidate per entry with a name score of at least `floor`."""
        best: dict[int, Candidate] = {}
        for name in query.names:
            parts = tuple(fold(part) for part in tokens(normalise(name)))
            for position in self._reachable(parts, floor=floor):
                listed = self._listed[position]
                candidate = compare(name, parts, listed)
                known = best.get(listed.entry_id)
                if candidate.name_score >= floor and (known is None or candidate.name_score > known.name_score):
                    best[listed.entry_id] = candidate
        return list(best.values())

    def _reachable(self, parts: tuple[str, ...], *, floor: float) -> set[int]:
        """Positions whose score may reach `floor`: enough of our letters, or of theirs, have a likely partner."""
        ours = sum(map(len, parts))
        covered: dict[int, float] = defaultdict(float)
        for part in parts:
            nearest: dict[int, int] = {}
            for text, likeness in self._alike(part):
                for position in self._by_part[text]:
                    nearest[position] = max(nearest.get(position, 0), likeness)
            for position, likeness in nearest.items():
                covered[position] += len(part) * likeness / 100
        found = {
            position
            for position, letters in covered.items()
            # A part may be 1.3 times as long on their side and still be alike.
            if max(letters / ours, letters * 1.3 / sum(map(len, self._listed[position].parts))) * 100 >= floor - 10
        }
        if len(parts) == 1 and len(parts[0]) >= 6:
            alike = process.extract(parts[0], self._joined, scorer=fuzz.ratio, score_cutoff=88, limit=50)
            found.update(position for text, *_ in alike for position in self._by_joined[text])
        return found


def compare(name: str, parts: Sequence[str], listed: Listed) -> Candidate:
    """Pair the folded parts of one of our names with those of a listed name, best pairs first."""
    if len(parts) == 1 and len(listed.parts) > 1:
        joined = _compare_joined(name, parts[0], listed)
        if joined is not None:
            return joined
    scored = sorted(
        (
            (int(fuzz.ratio(ours, theirs)), i, j)
            for i, ours in enumerate(parts)
            for j, theirs in enumerate(listed.parts)
        ),
        key=lambda item: (-item[0], item[1], item[2]),
    )
    free_ours, free_theirs, pairs = set(range(len(parts))), set(range(len(listed.parts))), []
    for likeness, i, j in scored:
        short = min(len(parts[i]), len(listed.parts[j])) <= 3
        if i in free_ours and j in free_theirs and likeness >= (100 if short else SIMILAR):
            free_ours.discard(i)
            free_theirs.discard(j)
            pairs.append(Pair(parts[i], listed.parts[j], likeness))
    return Candidate(
        entry_id=listed.entry_id,
        subject_name=name,
        listed_name=listed.name,
        name_score=_score(parts, listed.parts, pairs),
        pairs=pairs,
        unmatched_ours=[parts[i] for i in sorted(free_ours)],
        unmatched_theirs=[listed.parts[j] for j in sorted(free_theirs)],
    )


def _compare_joined(name: str, ours: str, listed: Listed) -> Candidate | None:
    """A name written without a space against the listed parts put together in either order."""
    first, *rest = listed.parts
    written = ("".join(listed.parts), "".join((*rest, first)))
    likeness, theirs = max((int(fuzz.ratio(ours, text)), text) for text in written)
    if likeness < 88:
        return None
    return Candidate(listed.entry_id, name, listed.name, float(likeness), [Pair(ours, theirs, likeness)])


def _score(ours: Sequence[str], theirs: Sequence[str], pairs: Sequence[Pair]) -> float:
    # One common part (a surname, a given name) is not a person, unless it is all there is on one side and ours too.
    if len(pairs) < 2 and (len(ours) > 1 or len(theirs) > 1):
        return 0.0
    of_ours = sum(len(pair.ours) * pair.likeness for pair in pairs) / max(sum(map(len, ours)), 1)
    of_theirs = sum(len(pair.theirs) * pair.likeness for pair in pairs) / max(sum(map(len, theirs)), 1)
    return 0.75 * max(of_ours, of_theirs) + 0.25 * min(of_ours, of_theirs)


def birth_support(ours: date | None, listed: Sequence[str]) -> tuple[str, int]:
    """What the dates of birth say: (exact | year | other | unknown, points)."""
    if ours is None or not listed:
        return "unknown", 0
    iso = ours.isoformat()
    if iso in listed:
        return "exact", _BIRTH_EXACT
    # "circa": a listed year within one of ours is no contradiction.
    if any(abs(int(text[:4]) - ours.year) <= 1 for text in listed):
        return "year", _BIRTH_YEAR
    return "other", _BIRTH_OTHER


def final_score(
    candidate: Candidate, query: Query, *, entry_kind: str, birth_dates: Sequence[str]
) -> tuple[int, dict[str, Any]]:
    """The score from 0 to 100 that is held against the threshold, and how it came about, for people to read."""
    support, points = birth_support(query.birth_date, birth_dates)
    kind_differs = (entry_kind == "individual") != query.is_individual
    score = candidate.name_score + points + (_KIND_OTHER if kind_differs else 0)
    explanation = {
        "name_score": round(candidate.name_score, 1),
        "pairs": [{"ours": pair.ours, "theirs": pair.theirs, "likeness": pair.likeness} for pair in candidate.pairs],
        "unmatched_ours": candidate.unmatched_ours,
        "unmatched_theirs": candidate.unmatched_theirs,
        "birth_date": support,
        "birth_points": points,
        "kind_differs": kind_differs,
    }
    return max(0, min(100, round(score))), explanation
