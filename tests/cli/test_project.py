"""What a completion on the command line learns from: the project's own files, as git sees them, and no others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from engine.cli import project
from engine.cli.main import main

LINE = "        return self.ledger.settle(customer, amount, currency=self.home_currency)\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "shop").mkdir()
    payers = (f"class {name}:\n    def pay(self, customer, amount):\n{LINE}\n\n" for name in "ACDE")
    (tmp_path / "shop" / "near.py").write_text("".join(payers))
    (tmp_path / "far.py").write_text("far = 1\n")
    (tmp_path / "ignored.py").write_text("canary_ignored = 1\n")
    (tmp_path / "secrets.py").write_text("canary_secret = 1\n")
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    (tmp_path / "picture.py").write_bytes(b"\0\1\2")
    (tmp_path / "generated.py").write_text("x = 1\n" * 60_000)
    (tmp_path / "notes.txt").write_text("not source\n")
    (tmp_path / "shop" / "here.py").write_text(
        "class B:\n    def pay(self, customer, amount):\n        return self.ledger."
    )
    return tmp_path


def test_tracked_and_new_files_come_nearest_first_and_nothing_else(repository):
    found = [
        Path(path).relative_to(repository).as_posix() for path, _ in project.around(repository / "shop" / "here.py")
    ]
    assert found == ["shop/near.py", "far.py"]


def test_outside_of_a_repository_it_is_the_files_beside(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "sub").mkdir()
    for name in ("a.py", "b.py", "sub/c.py"):
        (tmp_path / name).write_text("pass\n")
    assert [Path(p).name for p, _ in project.around(tmp_path / "a.py")] == ["b.py"]


def test_the_nearest_files_are_taken_while_there_is_room(repository, monkeypatch):
    near = repository / "shop" / "near.py"
    monkeypatch.setattr(project, "CHARACTERS", len(near.read_text()) + 1)
    assert [Path(p).name for p, _ in project.around(repository / "shop" / "here.py")] == ["near.py"]


def test_the_project_answers_unless_told_not_to(repository, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(repository / "cache"))
    ask = ["complete", str(repository / "shop" / "here.py"), "--line", "3", "--column", "28", "--json"]
    assert main(ask) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["text"] == LINE.strip().removeprefix("return self.ledger.")
    assert main([*ask, "--no-memory"]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert all("home_currency" not in item["text"] for item in items)
