"""The files that an evaluation reads: packages that training never saw, one JSON object a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grammars
from engine.errors import BadRequestError

DEV = Path("corpus/dev.jsonl")


@dataclass(frozen=True, slots=True)
class Document:
    """One source file of a package that was held out."""

    package: str
    version: str
    language: str
    path: str
    text: str


def read_documents(path: Path, languages: Sequence[str] = (), seed: int = 0) -> list[Document]:
    """The parseable documents of `path` in a seeded order that does not depend on the file's; `BadRequestError`.

    `languages` keeps only those named; documents in languages without a grammar are left out.
    """
    try:
        # JSON leaves other line breaks than this one inside a text as they are.
        text = path.read_text(encoding="utf-8")
        lines = text.removesuffix("\n").split("\n") if text else []
    except FileNotFoundError:
        raise BadRequestError(f"{path} does not exist: run `remask model corpus`, or name one with --dev") from None
    except (OSError, UnicodeDecodeError) as failure:
        raise BadRequestError(f"cannot read {path}: {failure}") from None
    known = set(grammars.names())
    if unknown := sorted(set(languages) - known):
        raise BadRequestError(f"unknown language {unknown[0]!r}: choose from {', '.join(sorted(known))}")
    documents = []
    for number, line in enumerate(lines, 1):
        try:
            raw = json.loads(line)
            document = Document(**{name: str(raw[name]) for name in Document.__slots__})
        except (ValueError, KeyError, TypeError) as damage:
            raise BadRequestError(
                f"{path}, line {number}: not an object with package, version, language, path and text ({damage}): "
                "run `remask model corpus` again"
            ) from None
        wanted = document.language in (languages or known)
        if wanted and document.text.strip() and not grammars.get(document.language).parse(document.text).broken:
            documents.append(document)
    if not documents:
        raise BadRequestError(f"{path} holds no documents that parse in {', '.join(languages or sorted(known))}")
    return sorted(documents, key=lambda d: hashlib.sha256(f"{seed}:{d.package}:{d.path}".encode()).digest())
