from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.service.conftest import tiny_model  # noqa: F401

REAL = (
    "caches",
    "checkpoint",
    "completion",
    "denoiser",
    "ends",
    "sampler",
    "scoring",
    "verified",
    "vocabulary",
    "window",
)


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real files in the corpus' format: some of this project's own."""
    where = tmp_path_factory.mktemp("dev") / "dev.jsonl"
    with where.open("w", encoding="utf-8") as out:
        for name in REAL:
            text = (ROOT / "engine" / f"{name}.py").read_text(encoding="utf-8")
            line = {
                "package": "remask",
                "version": "0",
                "language": "python",
                "path": f"engine/{name}.py",
                "text": text,
            }
            out.write(json.dumps(line) + "\n")
    return where
