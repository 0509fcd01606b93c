"""What a real workspace holds besides source: secrets, links in circles, binaries, many files that change at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types as t

from tests.lsp.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = {
    "environment": ".env",
    "secrets": "secrets.py",
    "key": "deploy.key",
    "credentials": "credentials.py",
    "ignored": "generated/c.py",
    "ignored_below": "generated/deep/er/c.py",
    "excluded": "private/c.py",
    "installed": "node_modules/x/c.py",
    "hidden": ".cache/c.py",
    "binary": "binary.py",
    "large": "large.py",
    "latin": "latin.py",
}
LINKED = {"link": ("public.py", "secrets.py"), "link_outside": ("outside.py", "../elsewhere/.ssh/c.py")}
MEANT = 1  # files that may be remembered


KEY = "AKIAIOSFODNN7EXAMPLE"  # Amazon's own example of one
CONNECT = "def connect(region):\n    return zyxwvut_client(region, "


def beginning(name: str) -> str:
    """Several lines of a file: a memory goes by them even where the model would say something else."""
    return (
        f"def audit_{name}(warehouse):\n    shelf = warehouse.shelf_of_{name}(7)\n"
        f"    shelf.count_{name}(warehouse.clerk)\n    warehouse.zyxwvut_{name}."
    )


def ending(name: str) -> str:
    """What follows agrees, too: with the rest alone, which of the two says more hangs on the processor's rounding."""
    return f"\n    shelf.sealed_{name} = warehouse.region\n    return shelf\n"


def code(name: str) -> str:
    return f"{beginning(name)}canary_{name}_sings(warehouse.region, 42){ending(name)}"


def asking(name: str) -> str:
    return f"{beginning(name)}<|>{ending(name)}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def editor(tmp_path_factory: pytest.TempPathFactory, engine_home: Path) -> AsyncIterator[Editor]:
    above = tmp_path_factory.mktemp("above")
    folder = above / "workspace"
    (folder / ".git").mkdir(parents=True)
    (folder / ".gitignore").write_text("generated/\n")
    (folder / "ledger.py").write_text(code("allowed") + f'\n\n{CONNECT}key="{KEY}")\n')
    for name, where in FORBIDDEN.items():
        (folder / where).parent.mkdir(parents=True, exist_ok=True)
        (folder / where).write_text(code(name))
    (folder / "binary.py").write_bytes(code("binary").encode() + b"\0\1\2")
    (folder / "latin.py").write_bytes(code("latin").encode() + b"# caf\xe9\n")
    with (folder / "large.py").open("a") as large:
        large.write("x = 1\n" * (50_000_000 // 6))
    (above / "elsewhere" / ".ssh").mkdir(parents=True)
    (above / "elsewhere" / ".ssh" / "c.py").write_text(code("link_outside"))
    for link, target in LINKED.values():
        (folder / link).symlink_to(folder / target)
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "itself.py").symlink_to(folder / "itself.py")
    completion = {"timeoutMs": 30_000, "invokedTimeoutMs": 30_000, "alternatives": 1}
    settings = {"completion": completion, "exclude": ["private/"]}
    running = await Editor.start(folder, settings)
    first = running.open("def (<|>\n", name="broken.py")  # not remembered: it does not parse
    await first.ask(invoked=True)
    await running.until(lambda: "the memory was fed" in running.log(), 90)
    yield running
    await running.stop()


async def files(editor: Editor) -> int:
    return int((await editor.command("remask.stats"))["engine"]["service"]["files_remembered"])


async def holds(editor: Editor, wanted: int) -> None:
    end = asyncio.get_running_loop().time() + 90
    while (count := await files(editor)) != wanted:
        assert asyncio.get_running_loop().time() < end, f"{count} files, not {wanted}\n{editor.log()}"
        await asyncio.sleep(0.1)


async def suggested(editor: Editor, name: str) -> str:
    buffer = editor.open(asking(name))
    items = await buffer.ask(invoked=True)
    return "\n".join(str(item.insert_text) for item in items)


def send(editor: Editor, *changes: tuple[Path, t.FileChangeType]) -> None:
    events = [t.FileEvent(path.as_uri(), kind) for path, kind in changes]
    editor.client.workspace_did_change_watched_files(t.DidChangeWatchedFilesParams(events))


async def test_what_a_file_of_the_workspace_says_is_suggested(editor: Editor) -> None:
    """Without this the next test would prove nothing."""
    await holds(editor, MEANT)
    assert "canary_allowed_sings(warehouse.region, 42)" in await suggested(editor, "allowed")


@pytest.mark.parametrize("name", [*FORBIDDEN, *LINKED])
async def test_nothing_of_a_file_that_is_secret_ignored_or_no_source_is_ever_suggested(
    editor: Editor, name: str
) -> None:
    assert f"canary_{name}" not in await suggested(editor, name)


async def test_a_key_in_a_file_that_is_no_secret_is_withheld(editor: Editor) -> None:
    buffer = editor.open(CONNECT + "<|>\n")
    assert all(KEY not in str(item.insert_text) for item in await buffer.ask(invoked=True))
    await editor.until(lambda: "withheld" in editor.log())


@pytest.mark.parametrize("name", ["secrets", "ignored", "excluded", "large", "link"])
async def test_nor_when_it_changes_while_the_editor_runs(editor: Editor, name: str) -> None:
    path = editor.folder / (FORBIDDEN.get(name) or LINKED[name][0])
    send(editor, (path, t.FileChangeType.Changed), (path, t.FileChangeType.Created))
    assert f"canary_{name}" not in await suggested(editor, name)
    assert await files(editor) == MEANT


async def test_a_renamed_file_is_known_once(editor: Editor) -> None:
    old, new = editor.folder / "ledger.py", editor.folder / "journal.py"
    old.rename(new)
    send(editor, (old, t.FileChangeType.Deleted), (new, t.FileChangeType.Created))
    await holds(editor, MEANT)
    end = asyncio.get_running_loop().time() + 30
    while "canary_allowed_sings" not in await suggested(editor, "allowed"):  # it is sorted beside requests
        assert asyncio.get_running_loop().time() < end, editor.log()


async def test_a_file_that_turns_into_something_else_is_forgotten(editor: Editor) -> None:
    path = editor.folder / "turning.py"
    path.write_text(code("turning"))
    send(editor, (path, t.FileChangeType.Created))
    await holds(editor, MEANT + 1)
    path.write_bytes(code("turning").encode() + b"\0")
    send(editor, (path, t.FileChangeType.Changed))
    await holds(editor, MEANT)
    assert "canary_turning" not in await suggested(editor, "turning")


async def test_a_branch_switch_of_a_thousand_files_leaves_the_new_branch_alone(editor: Editor) -> None:
    paths = [editor.folder / f"m{i}.py" for i in range(1000)]
    for i, path in enumerate(paths):
        path.write_text(code(f"n{i}").replace("sings", "was_old"))
    send(editor, *((path, t.FileChangeType.Created) for path in paths))
    await holds(editor, MEANT + 1000)
    for i, path in enumerate(paths[:900]):
        path.write_text(code(f"n{i}").replace("sings", "is_new"))
    for path in paths[900:]:
        path.unlink()
    changed = [(path, t.FileChangeType.Changed) for path in paths[:900]]
    send(editor, *changed, *((path, t.FileChangeType.Deleted) for path in paths[900:]))
    await holds(editor, MEANT + 900)
    assert "canary_n899_is_new" in await suggested(editor, "n899")
    assert "was_old" not in await suggested(editor, "n950")
