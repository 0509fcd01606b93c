"""`remask bench editor` types into a real language server and says what each key waited for."""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

import pytest

from engine.errors import BadRequestError
from lsp_server import keystrokes


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    keystrokes.add_arguments(parser)
    return parser.parse_args(words)


async def test_every_key_is_answered_and_the_engine_s_share_is_told(engine_home: Path) -> None:
    draw = random.Random(5)  # what no model guesses
    text = "".join(f"value_{n} = {draw.randrange(10**6, 10**7)}\n" for n in range(200))
    keys = await keystrokes.simulate(text, arguments("--keys", "14", "--speed", "1"), dict(os.environ))
    assert len(keys) == 14
    asked = [k for k in keys if k.engine_ms is not None or k.kind == "late"]
    assert asked, "what nobody suggested was typed, and the engine not asked"
    assert all(0 < (k.passes_ms or 0) < k.engine_ms < k.ms for k in asked if k.engine_ms is not None)
    assert all(k.ms < 1_000 for k in keys if k not in asked)


async def test_a_key_that_is_overtaken_takes_its_question_back_and_the_next_is_answered(engine_home: Path) -> None:
    text = Path(argparse.__file__).read_text(encoding="utf-8")
    keys = await keystrokes.simulate(text, arguments("--keys", "6", "--speed", "500"), dict(os.environ))
    assert len(keys) == 6
    assert "late" in {k.kind for k in keys}


def test_a_file_too_short_to_type_in_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("x = 1\n")
    with pytest.raises(BadRequestError, match="6 characters"):
        keystrokes.run(arguments("--file", str(tmp_path / "short.py")))
