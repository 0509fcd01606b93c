"""Damaged files with a known original, and what a repair of one is worth."""

from __future__ import annotations

import difflib
import importlib.util
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grammars
from engine.bench.repair_corpus import texts
from engine.errors import BadRequestError
from engine.types import Edit
from grammars.damage import KINDS, Damaged, Subject, damage
from grammars.lexer import tokens

BY_HAND = ("by hand",)  # the kind of the snippets that nobody's program broke


@dataclass(frozen=True, slots=True)
class Case:
    """A damaged file."""

    language: str
    path: Path
    original: str
    damaged: Damaged

    @property
    def determined(self) -> bool:
        """Whether the text still says what the repair must be."""
        return self.damaged.kinds == BY_HAND or self.damaged.determined


Make = Callable[[Subject, random.Random], Damaged | None]


def single_cases(language: str, folder: Path, per_kind: int, seed: int) -> list[Case]:
    """`per_kind` files with one damage of each kind that fits the language, each in a file of its own draw."""
    files = _subjects(language, folder, seed)
    cases = []
    for kind in (name for name, kind in KINDS.items() if kind.fits(grammars.get(language))):
        draw = random.Random(f"{seed}:{language}:{kind}")
        cases += _draw(language, files, draw, per_kind, partial(damage, kinds=(kind,)))
    return cases


def several_cases(language: str, folder: Path, count: int, seed: int) -> list[Case]:
    """`count` files with two or three damages whose repairs are determined."""
    determined = tuple(name for name, kind in KINDS.items() if kind.determined)
    draw = random.Random(f"{seed}:{language}:several")
    return _draw(
        language,
        _subjects(language, folder, seed),
        draw,
        count,
        lambda subject, draw: damage(subject, draw, draw.choice((2, 3)), determined),
    )


def cases_by_hand(language: str, file: Path) -> list[Case]:
    """Broken snippets from a Python file whose `CASES` are (language, name, broken, right): common mistakes."""
    spec = importlib.util.spec_from_file_location("remask_snippets", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise BadRequestError(f"{file} is no file of snippets: run this in a checkout of Remask, or name one")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [
        Case(language, file / name, right, Damaged(broken, BY_HAND, ()))
        for its, name, broken, right in module.CASES
        if its == language
    ]


def _subjects(language: str, folder: Path, seed: int) -> list[tuple[Path, Subject]]:
    found = texts(language, folder, 80, seed)
    return [(path, Subject(grammars.get(language), text)) for path, text in found]


def _draw(language: str, files: list[tuple[Path, Subject]], draw: random.Random, count: int, make: Make) -> list[Case]:
    cases: list[Case] = []
    for _ in range(count * 8):
        if len(cases) == count:
            break
        path, subject = draw.choice(files)
        damaged = make(subject, draw)
        if damaged is not None:
            cases.append(Case(language, path, subject.text, damaged))
    return cases


def same_tokens(language: str, a: str, b: str) -> bool:
    """Exact restoration: the same tokens on lines with the same indentation; blanks between tokens do not count."""
    return a == b or signature(language, a) == signature(language, b)


def signature(language: str, text: str) -> list[str]:
    """Tokens, and where indentation matters each line's."""
    found = []
    for token in tokens(grammars.get(language), text):
        start = text.rfind("\n", 0, token.start) + 1
        if grammars.get(language).indentation_matters and not text[start : token.start].strip():
            found.append("\n" + text[start : token.start])
        found.append(token.text)
    return found


WORD = re.compile(r"\w+|'{3}|\"{3}|===|!==|==|!=|&&|\|\||=>|->|\*\*|//|:=|<=|>=|</|/>|[^\w\s]")


def words(language: str, text: str) -> list[str]:
    """Words and marks, those inside of strings too: what is a string depends on a quote that may be missing."""
    found = []
    for line in text.split("\n"):
        if grammars.get(language).indentation_matters and line.strip():
            found.append("\n" + line[: len(line) - len(line.lstrip())])
        found += WORD.findall(line)
    return found


def token_edits(language: str, old: str, new: str) -> int:
    """Levenshtein distance in tokens, a line's indentation being one, between two texts (BIFI's measure)."""
    a, b = old.split("\n"), new.split("\n")
    total = 0
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind != "equal":
            total += _distance(words(language, "\n".join(a[i1:i2])), words(language, "\n".join(b[j1:j2])))
    return total


def _distance(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


def bytes_outside(text: str, edits: list[Edit], repaired: str) -> int:
    """Characters that changed although no edit covers them: 0, or the promise is broken."""
    at, out, wrong = 0, 0, 0
    for edit in edits:
        same = text[at : edit.start]
        wrong += sum(x != y for x, y in zip(same, repaired[out : out + len(same)], strict=False))
        wrong += repaired[out + len(same) : out + len(same) + len(edit.new)] != edit.new
        out += len(same) + len(edit.new)
        at = edit.end
    return wrong + (text[at:] != repaired[out:])
