"""Suggestions shown, accepted, partly accepted and rejected: counted in a file of the user's own, sent nowhere.

Each line of the file is one day and language's worth of one session, so that editors may append side by side.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path

import platformdirs

KINDS = ("shown", "accepted", "partly accepted", "rejected", "characters accepted")


def file() -> Path:
    """Where the counts are: `REMASK_COUNTERS`, or the user's state folder."""
    return Path(os.environ.get("REMASK_COUNTERS") or Path(platformdirs.user_state_dir("remask")) / "counters.jsonl")


class Counters:
    """Counts of this session, by language; `flush` appends them to the file."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or file()
        self.on = True  # `remask.count`
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._flushed: dict[str, Counter[str]] = defaultdict(Counter)

    def count(self, kind: str, language: str, by: int = 1) -> None:
        """Count something of `KINDS`, if anything is to be counted."""
        if self.on:
            self._counts[language][kind] += by

    def session(self) -> dict[str, int]:
        """All counts since the server started."""
        total: Counter[str] = sum(self._counts.values(), Counter())
        return {kind: total[kind] for kind in KINDS}

    def flush(self) -> None:
        """Append what is new; a file that cannot be written costs only the counts."""
        lines = []
        for language, counts in self._counts.items():
            new = counts - self._flushed[language]
            if new:
                lines.append(json.dumps({"date": date.today().isoformat(), "language": language, **new}))
            self._flushed[language] = counts.copy()
        if not lines:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as f:
                f.write("\n".join(lines) + "\n")
        except OSError:
            return


def read(path: Path | None = None) -> dict[str, dict[str, int]]:
    """Counts by language over all days; lines that are not ours are skipped."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    try:
        lines = (path or file()).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            entry = json.loads(line)
            language = str(entry["language"])
            counts = {kind: int(entry.get(kind, 0)) for kind in KINDS}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        found[language].update(counts)
    return {language: dict(counts) for language, counts in sorted(found.items())}
