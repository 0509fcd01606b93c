from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as t

from lsp_server.settings import Settings, declared, resolve
from lsp_server.settings_schema import markdown, schema
from tests.lsp.editor import Editor

ROOT = Path(__file__).parent.parent.parent


def test_the_docs_are_what_the_declarations_say() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == markdown(), "run: remask lsp --settings-docs > docs/settings.md"


def test_the_schema_is_printed_and_its_defaults_are_the_settings_defaults() -> None:
    command = [sys.executable, "-m", "engine.cli.main", "lsp", "--settings-schema"]
    printed = json.loads(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout)
    assert printed == json.loads(json.dumps(schema()))
    defaults = {name: entry["default"] for name, entry in printed["properties"].items()}
    assert resolve(defaults) == (Settings(), [])


@pytest.mark.parametrize(
    "sent",
    [
        {"completion": {"maxTokens": 12}},
        {"remask": {"completion": {"maxTokens": 12}}},
        {"remask.completion.maxTokens": 12},
        {"completion.maxTokens": 12},
    ],
)
def test_settings_are_understood_nested_and_flat(sent: dict[str, Any]) -> None:
    settings, problems = resolve(sent)
    assert settings.completion.max_tokens == 12
    assert problems == []


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"completion": {"maxToken": 3}}, "did you mean remask.completion.maxTokens?"),
        ({"completion": {"maxTokens": "3"}}, "must be a whole number, not a string"),
        ({"completion": {"maxTokens": True}}, "must be a whole number, not true or false"),
        ({"completion": {"maxTokens": 0}}, "must lie between 1 and 256, not 0"),
        ({"completion": {"multiline": "sometimes"}}, "must be one of auto, never, always, not 'sometimes'"),
        ({"exclude": "*.gen.py"}, "must be a list, not a string"),
        ({"exclude": [1]}, "must hold only string values"),
        ({"languages": {"pyton": False}}, "'pyton' is not one of"),
        ({"log": {"file": "remask.log"}}, "remask.log.file must be an absolute path or begin with ~/"),
        ([1], "settings must be an object, not a list"),
    ],
)
def test_what_is_wrong_is_named_and_its_default_kept(sent: object, said: str) -> None:
    settings, problems = resolve(sent)
    assert len(problems) == 1
    assert said in problems[0]
    assert settings.completion == Settings().completion


def test_languages_are_known_by_the_names_that_editors_use_too() -> None:
    settings, problems = resolve({"languages": {"typescriptreact": False, "javascriptreact": False, "python": False}})
    assert problems == []
    assert settings.languages == {"tsx": False, "javascript": False, "python": False}
    settings, _ = resolve({"languages": {"javascriptreact": False, "javascript": True}})
    assert settings.allows("javascript"), "a language's own name goes first"


@pytest.mark.parametrize("path", ["~/logs/remask.log", str(Path.cwd() / "remask.log"), ""])
def test_a_log_file_has_an_absolute_path_or_lies_in_the_home_folder(path: str) -> None:
    settings, problems = resolve({"log": {"file": path}})
    assert (settings.log.file, problems) == (path, [])


def test_a_later_source_wins_and_null_means_not_set() -> None:
    settings, problems = resolve({"completion": {"maxTokens": 12}}, {"completion": {"maxTokens": None}}, None)
    assert settings.completion.max_tokens == 12
    assert problems == []
    assert resolve({"enable": True}, {"enable": False})[0].enable is False


def test_every_setting_is_described_and_has_a_type() -> None:
    for setting in declared():
        assert setting.about.endswith("."), setting.name
        assert ("choices" in setting.limits) <= (setting.default in setting.limits.get("choices", ()))


@pytest.mark.asyncio(loop_scope="function")
async def test_settings_come_from_the_client_are_checked_and_take_effect(engine_home: Path, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "remask.log"
    pulled = {"completion": {"multilin": "never"}, "languages": {"javascript": False}, "log": {"file": str(log)}}
    initial = {"memory": {"enable": False}, "completion": {"timeoutMs": 30_000, "invokedTimeoutMs": 30_000}}
    editor = await Editor.start(tmp_path, initial, configuration={"remask": pulled})
    try:
        await editor.until(lambda: "workspace/didChangeConfiguration" in editor.registered)
        await editor.until(lambda: editor.client.messages)
        assert "did you mean remask.completion.multiline?" in editor.client.messages[0].message
        off = editor.open("const a = (b) => <|>\n", "javascript")
        assert await off.ask(invoked=True) == []
        on = editor.open("def add(a, b):\n    return <|>\n")
        assert await on.ask(invoked=True)
        editor.client.set_configuration({"remask": {"enable": False}})
        editor.client.workspace_did_change_configuration(t.DidChangeConfigurationParams(settings=None))
        await editor.until(lambda: editor.statuses and editor.statuses[-1].state == "off")
        on.type("a")
        assert await on.ask(invoked=True) == []
    finally:
        await editor.stop()
    written = log.read_text(encoding="utf-8")
    assert "engine: ready" in written
    assert "def add" not in written, "a log holds no code"


@pytest.mark.asyncio(loop_scope="function")
async def test_a_client_without_ghost_text_gets_suggestions_in_its_list(engine_home: Path, tmp_path: Path) -> None:
    initial = {"memory": {"enable": False}, "completion": {"timeoutMs": 30_000, "invokedTimeoutMs": 30_000}}
    editor = await Editor.start(tmp_path, initial, inline=False)
    try:
        assert editor.result is not None
        assert editor.result.capabilities.completion_provider is not None
        buffer = editor.open("def average(numbers):\n    return sum(numb<|>)\n")
        params = t.CompletionParams(t.TextDocumentIdentifier(buffer.uri), buffer.position(buffer.cursor))
        answer = await editor.client.text_document_completion_async(params)
        assert isinstance(answer, t.CompletionList)
        assert answer.is_incomplete
        item = answer.items[0]
        assert isinstance(item.text_edit, t.TextEdit)
        assert item.text_edit.new_text.startswith("numb")
        assert item.filter_text is not None
        assert item.filter_text.startswith("numb")
        assert item.text_edit.range.start == buffer.position(buffer.cursor - 4)
    finally:
        await editor.stop()
