"""Source files on disk as the memory may have them: small enough to be written by people, and text."""

from __future__ import annotations

import os
from pathlib import Path

LARGEST_FILE = 300_000  # bytes: larger ones are generated


def read(path: str | Path) -> str | None:
    """The text of a file; None for what is gone, large, binary or not UTF-8."""
    try:
        if os.path.getsize(path) > LARGEST_FILE:
            return None
        text = Path(path).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return None if "\0" in text else text
