"""Damage for the repair measure: one small accident in a valid file, as fingers make them.

Written apart from the damage that training makes, so that no model is measured on the very generator it learnt from.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grammars
from engine.model.evaluation.cases import TRIES, WORD
from engine.model.evaluation.documents import Document
from grammars import Source

MAX_LINES = 400


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file that no longer parses, and the one that it was."""

    language: str
    name: str
    broken: str
    original: str


def build_damage(documents: Sequence[Document], each: int, seed: int = 0) -> list[DamagedFile]:
    """Up to `each` damaged files a language, at most one of a document."""
    found: dict[str, list[DamagedFile]] = {}
    for document in documents:
        files = found.setdefault(document.language, [])
        if len(files) >= each or document.text.count("\n") > MAX_LINES:
            continue
        rng = random.Random(f"{seed}:damage:{document.package}:{document.path}")
        source = grammars.get(document.language).parse(document.text)
        for start, end, new in _accidents(source, rng):
            broken = source.replace(start, end, new)
            if broken.broken:
                name = f"{document.package}/{document.path}:{start}"
                files.append(DamagedFile(document.language, name, broken.text, document.text))
                break
    return [file for language in sorted(found) for file in found[language]]


def _accidents(source: Source, rng: random.Random) -> Iterator[tuple[int, int, str]]:
    """Replacements (start, end, new) that may break the file, at random places in its code."""
    kinds = [_drop_mark, _double_mark, _swap_bracket, _misspell_keyword, _cut_line, _drop_quote]
    if source.language.indentation_matters:
        kinds.append(_shift_line)
    for _ in range(TRIES):
        edit = rng.choice(kinds)(source, rng)
        if edit is not None and not source.inside_comment_or_string(edit[0]):
            yield edit


Accident = tuple[int, int, str] | None


def _pick(source: Source, pattern: str, rng: random.Random) -> re.Match[str] | None:
    found = list(re.finditer(pattern, source.text))
    return rng.choice(found) if found else None


def _drop_mark(source: Source, rng: random.Random) -> Accident:
    mark = _pick(source, r"[()\[\]{}:,]", rng)
    return (mark.start(), mark.end(), "") if mark else None


def _double_mark(source: Source, rng: random.Random) -> Accident:
    mark = _pick(source, r"[()\[\]{}]", rng)
    return (mark.end(), mark.end(), mark.group()) if mark else None


def _swap_bracket(source: Source, rng: random.Random) -> Accident:
    mark = _pick(source, r"[)\]}]", rng)
    return (mark.start(), mark.end(), rng.choice(")]}".replace(mark.group(), ""))) if mark else None


def _misspell_keyword(source: Source, rng: random.Random) -> Accident:
    words = sorted(k for k in source.language.keywords if len(k) > 2)
    word = _pick(source, rf"\b(?:{'|'.join(map(re.escape, words))})\b", rng)
    if word is None:
        return None
    at = rng.randrange(len(word.group()) - 1)
    pair = word.group()[at : at + 2]
    return word.start() + at, word.start() + at + 2, pair[::-1]


def _cut_line(source: Source, rng: random.Random) -> Accident:
    line = _pick(source, r"(?m)^[^\S\n]*\S[^\n]{8,}$", rng)
    if line is None:
        return None
    words = list(WORD.finditer(line.group()))
    if len(words) < 3:
        return None
    return line.start() + rng.choice(words[-3:]).start(), line.end(), ""


def _drop_quote(source: Source, rng: random.Random) -> Accident:
    strings = [(a, b) for a, b, kind in source.quiet if kind == "string" and source.text[b - 1] in "'\"" and b - a > 2]
    if not strings:
        return None
    _, end = rng.choice(strings)
    return end - 1, end, ""


def _shift_line(source: Source, rng: random.Random) -> Accident:
    line = _pick(source, r"(?m)^(?: {4}|\t)(?=[ \t]*\S)", rng)
    return (line.start(), line.start() + rng.choice((1, 2, len(line.group()))), "") if line else None
