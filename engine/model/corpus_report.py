"""What a corpus that was built holds, and what it lacks of the packaged manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.model import manifest, shards

REPORT = "report.json"


def held_out(corpus: Path) -> list[shards.Shard]:
    """The held-out shards, if there are any."""
    try:
        return shards.read(corpus, "dev")
    except manifest.CorpusError:
        return []


def tokens(corpus: Path) -> dict[str, int]:
    """Tokens by split and language."""
    found: dict[str, int] = {}
    for split, read in (("dev", held_out(corpus)), ("train", shards.read(corpus))):
        for shard in read:
            name = f"{split} {shard.language}"
            found[name] = found.get(name, 0) + len(shard.tokens)
    return found


def what_is_missing(corpus: Path) -> str | None:
    """Why a corpus is not what the packaged manifest gives; None when it is, but for packages that were refused."""
    report = _report(corpus)
    if not report:
        return f"{corpus} has no report of the build that made it"
    if report.get("manifest") != manifest.digest(manifest.load()):
        return f"{corpus} was built from a part of the manifest, or from another one"
    return None


def left_out(corpus: Path) -> list[str]:
    """The packages that the build refused."""
    return sorted(_report(corpus).get("refused", {}))


def _report(corpus: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((corpus / REPORT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
