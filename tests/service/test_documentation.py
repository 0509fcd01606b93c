"""docs/service.md names a test for every fault: each must exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
FILES = {
    "P": "test_processes.py",
    "S": "test_strangers.py",
    "C": "test_client.py",
    "X": "test_server.py",
    "E": "test_engine_command.py",
    "M": "test_packaged_model.py",
}


def test_every_fault_in_the_table_has_the_test_that_it_names():
    text = (HERE.parent.parent / "docs" / "service.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[1:-1]
        for line in text.split("## Faults")[1].split("\n## ")[0].splitlines()
        if line.startswith("| ")
    ]
    named = 0
    for fault, _, tests in rows[1:]:
        found = re.findall(r"([PSCXEM])((?: `[a-z_]+`,?)+)", tests) + re.findall(r"()`(test_\w+\.py)`", tests)
        assert found, f"no test for: {fault}"
        for letter, names in found:
            if not letter:
                assert (HERE / names).is_file()
                continue
            source = (HERE / FILES[letter]).read_text(encoding="utf-8")
            for name in re.findall(r"`([a-z_]+)`", names):
                assert re.search(rf"def test_\w*{name}", source), f"{FILES[letter]} has no test of {name}"
                named += 1
    assert named > 30
