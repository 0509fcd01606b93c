"""Settings, engines, documents and answers that change while others are under way or kept."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lsprotocol import types as t

from engine.errors import CancelledError, EngineUnavailableError
from engine.remote import team
from engine.service.client import EngineState
from engine.types import CompleteAnswer, Completion, Edit, Repair, RepairAnswer, RepairRequest, RewriteAnswer
from lsp_server import log, suggest
from lsp_server.features import commands, completion, denoise, inline_completion, watched_files
from lsp_server.features.commands import COMMANDS
from tests.lsp.alone import MODEL, Alone, Client, quiet

CODE = "def add(left, right):\n    return \n"
CURSOR = CODE.index("return ") + 7
BROKEN, COLON = "def f(a)\n    return a\n", 8
SAID = {"total": 40.0}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Alone:
    (tmp_path / ".git").mkdir()
    return Alone(monkeypatch, tmp_path, {"diagnostics": {"restMs": 0}})


def says(*texts: str, timings: dict[str, float] | None = None) -> CompleteAnswer:
    items = [Completion(text, 0.9, tokens=4, steps=1) for text in texts]
    return CompleteAnswer(items, 1, 4, timings_ms=SAID if timings is None else timings)


def place(alone: Alone, uri: str, cursor: int) -> dict[str, Any]:
    document = alone.session.documents.get(uri)
    assert document is not None
    return {"text_document": t.TextDocumentIdentifier(uri), "position": document.snapshot.lines.position(cursor)}


async def ask(alone: Alone, uri: str, cursor: int = CURSOR, invoked: bool = False) -> list[t.InlineCompletionItem]:
    kind = t.InlineCompletionTriggerKind.Invoked if invoked else t.InlineCompletionTriggerKind.Automatic
    params = t.InlineCompletionParams(t.InlineCompletionContext(kind), **place(alone, uri, cursor))
    return await inline_completion.inline_completion(alone.session, params)


async def ask_list(alone: Alone, uri: str, cursor: int = CURSOR) -> list[t.CompletionItem]:
    params = t.CompletionParams(
        context=t.CompletionContext(t.CompletionTriggerKind.Invoked), **place(alone, uri, cursor)
    )
    return list((await completion.completion(alone.session, params)).items)


# Exclusions.


@pytest.mark.parametrize("rule", ["setting", ".gitignore", "name"])
async def test_a_cell_of_an_excluded_notebook_goes_into_no_window(alone: Alone, rule: str) -> None:
    notebook = "secret%20things/credentials.ipynb" if rule == "name" else "secret%20things/nb.ipynb"
    uri = f"vscode-notebook-cell:{alone.folder.as_posix()}/{notebook}#W0sZmlsZQ%3D%3D"
    alone.open("", CODE, uri)
    alone.engine.answer = lambda: says("left + right")
    if rule != "name":
        assert await ask(alone, uri, invoked=True), "nothing excludes it yet"
    if rule == "setting":
        alone.session.apply({"exclude": ["secret things/"]})
    if rule == ".gitignore":
        alone.path(".gitignore", "secret things/\n")
        alone.session.exclusions.forget_gitignores()
    asked = len(alone.engine.completions)
    assert await ask(alone, uri, invoked=True) == []
    assert len(alone.engine.completions) == asked


# Engines.


async def test_the_last_words_of_an_engine_that_was_replaced_change_nothing(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def team_client(options: object, engine: Any, on_state: Any) -> Client:
        alone.clients.append(Client(engine, on_state))
        return alone.clients[-1]

    monkeypatch.setattr(team, "TeamClient", team_client)
    alone.session.apply({"engine": {"url": "wss://team.example"}})
    first = alone.engine
    first.become(EngineState("ready", device="cuda", model="the team's", engine="team"))
    assert alone.session.ready.is_set()
    alone.session.apply({})
    assert not alone.session.ready.is_set()
    assert alone.session.status.now()["model"] is None
    alone.engine.ready()
    await quiet()
    assert first.state.state == "stopped"
    assert alone.session.ready.is_set()
    assert (alone.session.status.now()["model"], alone.session.status.now()["engine"]) == (MODEL, "local")


# Fixes.


def mends(request: RepairRequest) -> RepairAnswer:
    mended = request.text[:COLON] + ":" + request.text[COLON:]
    return RepairAnswer(Repair([Edit(COLON, COLON, "", ":")], mended, 1, 0))


async def known(alone: Alone, uri: str) -> int:
    await quiet()
    document = alone.session.documents.get(uri)
    assert document is not None
    return len(alone.session.diagnosis.known_fixes(document.snapshot))


async def test_fixes_come_back_when_a_pause_ends(alone: Alone) -> None:
    alone.engine.repaired = mends
    uri = alone.open("a.py", BROKEN)
    assert await known(alone, uri)
    await commands.pause(alone.session)
    assert await known(alone, uri) == 0
    await commands.resume(alone.session)
    assert await known(alone, uri)


@pytest.mark.parametrize("how", ["fixes off", "setting", ".gitignore"])
async def test_fixes_that_may_no_longer_be_offered_are_not(alone: Alone, how: str) -> None:
    alone.engine.repaired = mends
    uri = alone.open("a.py", BROKEN)
    assert await known(alone, uri)
    if how == ".gitignore":
        path = Path(alone.path(".gitignore", "a.py\n"))
        event = t.FileEvent(path.as_uri(), t.FileChangeType.Changed)
        watched_files.did_change(alone.session, t.DidChangeWatchedFilesParams([event]))
    else:
        alone.session.apply({"fixes": {"enable": False}} if how == "fixes off" else {"exclude": ["a.py"]})
    assert await known(alone, uri) == 0


async def test_fixes_that_are_known_are_not_computed_again(alone: Alone) -> None:
    alone.engine.repaired = mends
    uri = alone.open("a.py", BROKEN)
    assert await known(alone, uri)
    alone.session.refresh()
    assert await known(alone, uri)
    assert alone.engine.repairs == 1


# Suggestions on show.


async def test_where_a_suggestion_comes_from_can_be_asked_without_counting(alone: Alone) -> None:
    alone.session.apply({"count": False})
    alone.engine.answer = lambda: says("left_operand + right")
    uri = alone.open("a.py", CODE)
    alone.engine.remembered[alone.path("a.py")] = CODE.replace("return ", "return left_operand + right")
    alone.engine.remembered[alone.path("b.py", "x = left_operand + right\n")] = "x = left_operand + right\n"
    assert await ask(alone, uri)
    answer: Any = await COMMANDS["remask.source"](alone.session, uri)
    assert answer["text"] == "left_operand + right"
    assert [place.uri for place in answer["places"]] == [alone.uri("b.py")], "not from where it is asked"
    alone.type(uri, CURSOR, "left_operand + right")
    assert not any(alone.session.counters.session().values())
    assert await COMMANDS["remask.source"](alone.session, uri) is None, "it was accepted"


# The completion list beside ghost text.


async def test_the_list_and_ghost_text_do_not_end_each_others_requests(alone: Alone) -> None:
    uri = alone.open("a.py", CODE)
    alone.engine.answer = lambda: says("left + right")
    alone.engine.busy = asyncio.Event()
    ghost = asyncio.ensure_future(ask(alone, uri))
    await asyncio.sleep(0.01)
    listed = asyncio.ensure_future(ask_list(alone, uri))
    await alone.until(lambda: len(alone.engine.completions) == 2)
    alone.engine.busy.set()
    assert await ghost
    assert await listed
    documents = {document for _, document, _ in alone.engine.completions}
    assert len(documents) == 2, "the engine drops the older of two requests of one document"


@pytest.mark.parametrize(("typed", "automatic"), [(True, True), (False, False)])
async def test_a_list_asked_for_by_typing_is_not_asked_for_by_a_key(alone: Alone, typed: bool, automatic: bool) -> None:
    uri = alone.open("a.py", CODE)
    if typed:
        alone.type(uri, CURSOR, "l")
    await ask_list(alone, uri, CURSOR + typed)
    assert [a for _, _, a in alone.engine.completions] == [automatic]


async def test_a_list_asked_for_elsewhere_or_again_is_asked_for_by_a_key(alone: Alone) -> None:
    uri = alone.open("a.py", CODE + "# \n")
    at = len(CODE) + 2
    alone.type(uri, at, "c")
    await ask_list(alone, uri, at + 1)
    assert alone.engine.completions == [], "the cursor is in a comment"
    await ask_list(alone, uri, at + 1)
    await ask_list(alone, uri, CURSOR)
    assert [automatic for _, _, automatic in alone.engine.completions] == [False, False]


# Answers kept.


@pytest.mark.parametrize(
    "settings",
    [{"completion": {"maxTokens": 9}}, {"memory": {"enable": False}}, {"engine": {"idleMinutes": 1.0}}, None],
)
async def test_answers_are_kept_until_others_are_to_be_expected(alone: Alone, settings: dict[str, Any] | None) -> None:
    uri = alone.open("a.py", CODE)
    alone.engine.answer = lambda: says("left + right")
    assert (await ask(alone, uri))[0].insert_text == "left + right"
    alone.engine.answer = lambda: says("left - right")
    alone.session.apply({"diagnostics": {"restMs": 1}})
    assert (await ask(alone, uri))[0].insert_text == "left + right"
    if settings is None:
        await alone.session.restart_engine()
    else:
        alone.session.apply(settings)
    alone.engine.answer = lambda: says("left - right")
    assert (await ask(alone, uri))[0].insert_text == "left - right"


async def test_no_engine_is_no_answer(alone: Alone) -> None:
    uri = alone.open("a.py", CODE)
    alone.engine.answer = lambda: says(timings={})
    assert await ask(alone, uri) == []
    assert alone.session.pacing.median is None
    alone.engine.answer = lambda: says("left + right")
    assert await ask(alone, uri)


# Rewriting.


@pytest.mark.parametrize("failure", [EngineUnavailableError("no engine"), RuntimeError("a mistake of ours")])
async def test_a_rewrite_that_fails_leaves_the_action_as_it_was(alone: Alone, failure: Exception) -> None:
    uri = alone.open("a.py", CODE)
    alone.engine.failure = failure
    data = {"uri": uri, "version": 1, "start": 0, "end": 10, "degree": "half"}
    action = t.CodeAction("Remask: rewrite half of it", data=data)
    resolve = alone.server.protocol.fm.features[t.CODE_ACTION_RESOLVE]
    assert await resolve(action) == action
    assert action.edit is None


async def rewrite(alone: Alone, uri: str, version: int = 1) -> t.CodeAction:
    data = {"uri": uri, "version": version, "start": 0, "end": 10, "degree": "half"}
    action: t.CodeAction = await alone.server.protocol.fm.features[t.CODE_ACTION_RESOLVE](t.CodeAction("x", data=data))
    return action


def informed(alone: Alone) -> list[str]:
    return [params.message for method, params in alone.said if method == t.WINDOW_SHOW_MESSAGE]


async def test_who_chose_a_rewrite_is_told_that_the_engine_cannot_be_reached(alone: Alone) -> None:
    uri = alone.open("a.py", CODE)
    alone.engine.failure = EngineUnavailableError("no engine here")
    await rewrite(alone, uri)
    assert [text for text in informed(alone) if "could not be rewritten: no engine here" in text]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_who_chose_a_rewrite_is_told_that_the_text_has_changed(alone: Alone, when: str) -> None:
    uri = alone.open("a.py", CODE)

    def answer() -> RewriteAnswer:
        alone.type(uri, 0, "#")
        return RewriteAnswer(Edit(0, 3, "def", "fed"), 1)

    alone.engine.rewritten = answer
    if when == "before":
        alone.type(uri, 0, "#")
    assert (await rewrite(alone, uri)).edit is None
    assert len([text for text in informed(alone) if "text has changed" in text]) == 1


async def test_a_rewrite_that_gave_way_to_another_says_nothing(alone: Alone) -> None:
    uri = alone.open("a.py", CODE)
    alone.engine.failure = CancelledError("a newer one")
    assert (await rewrite(alone, uri)).edit is None
    assert informed(alone) == []


# Switched off meanwhile.


OFF = ["pause", "pause python", "completion off", "excluded"]


@pytest.mark.parametrize("how", OFF)
@pytest.mark.parametrize("answered", [True, False])
async def test_an_answer_under_way_is_not_shown_once_it_is_not_wanted(alone: Alone, how: str, answered: bool) -> None:
    uri = alone.open("a.py", CODE)
    alone.engine.answer = lambda: says("left + right")
    alone.engine.busy = asyncio.Event()
    asked = asyncio.ensure_future(ask(alone, uri, invoked=True))
    await alone.until(lambda: len(alone.engine.completions) == 1)
    if answered:
        alone.engine.busy.set()  # the answer is there, and not yet taken
    if how.startswith("pause"):
        await commands.pause(alone.session, *how.split()[1:])
    else:
        alone.session.apply({"completion": {"enable": False}} if how == "completion off" else {"exclude": ["a.py"]})
    if how == "excluded":
        alone.engine.busy.set()
    assert await asyncio.wait_for(asked, 5) == [], "and nobody waits for it"


async def test_a_cursor_that_rests_has_nothing_read_ahead_where_nothing_is_suggested(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggest, "RESTS", 0.0)
    uri = alone.open("a.py", CODE)
    alone.engine.ready()
    document = alone.session.documents.get(uri)
    assert document is not None
    alone.session.suggester.warm(document, CURSOR)
    await quiet()
    assert len(alone.engine.warmed) == 1
    alone.session.apply({"completion": {"enable": False}})
    alone.session.suggester.warm(document, CURSOR)
    await quiet()
    assert len(alone.engine.warmed) == 1


# What is paused.


async def test_a_language_that_is_paused_hides_no_trouble_and_no_work(alone: Alone) -> None:
    await commands.pause(alone.session, "python")
    alone.engine.ready()
    assert alone.session.status.now()["state"] == "paused"
    with alone.session.thinking():
        assert alone.session.status.now()["state"] == "thinking"
    for state, told in (("loading", "loading"), ("failed", "error")):
        alone.engine.become(EngineState(state))
        assert alone.session.status.now()["state"] == told
    await commands.pause(alone.session)
    assert alone.session.status.now()["state"] == "paused", "all is, and the person knows it"


@pytest.mark.parametrize("command", ["remask.pause", "remask.resume"])
async def test_a_language_that_nobody_knows_is_answered_with_an_error(alone: Alone, command: str) -> None:
    alone.session.paused = {"python"}
    answer: Any = await COMMANDS[command](alone.session, "pythn")
    assert "pythn" in answer["error"]
    assert "python" in answer["error"]
    assert alone.session.paused == {"python"}
    for known in ("tsx", "typescriptreact"):
        assert "error" not in (await COMMANDS[command](alone.session, known))


# Denoising, watched.

KEY = "AKIAIOSFODNN7EXAMPLE"  # Amazon's own example of one


@pytest.mark.parametrize("where", ["text", "step", "neither"])
@pytest.mark.parametrize("withhold", [True, False])
async def test_a_key_is_withheld_from_the_denoising_view_too(alone: Alone, where: str, withhold: bool) -> None:
    alone.session.apply({"withholdSecrets": withhold})
    uri = alone.open("a.py", CODE)
    said = {name: KEY if where == name else "left" for name in ("text", "step")}
    alone.engine.answer = lambda: says(f'"{said["text"]}"')
    alone.engine.steps = [
        {"event": "unmask", "pieces": ['"', said["step"][:8], said["step"][8:], None], "changed": [0]}
    ]
    at = SimpleNamespace(line=1, character=11)
    params = SimpleNamespace(textDocument=SimpleNamespace(uri=uri), position=at)
    answer = await denoise.denoise(alone.session, params)
    assert bool(answer["text"]) == bool(answer["steps"]) == (where == "neither" or not withhold)


# The doctor.


async def test_the_doctor_runs_nothing_of_the_workspace(
    alone: Alone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("engine/__init__.py", "engine/cli/__init__.py"):
        alone.path(name, "")
    alone.path("engine/cli/main.py", "import json; print(json.dumps({'problems': ['run from the workspace']}))\n")
    monkeypatch.chdir(tmp_path)
    alone.session.apply({"engine": {"model": str(tmp_path / "no-model")}})
    answer: Any = await commands.doctor(alone.session)
    assert answer["problems"] != ["run from the workspace"]
    assert "no-model" in str(answer["problems"])


# The log.


@pytest.mark.parametrize(("setting", "level"), [(None, "DEBUG"), ("warning", "WARNING")])
async def test_the_command_lines_log_level_holds_until_a_setting_says_another(
    alone: Alone, setting: str | None, level: str
) -> None:
    alone.session.command_line = {"log": {"level": "debug"}}
    before = log.logger.level
    try:
        alone.session.apply({"log": {"level": setting}} if setting else {"count": True})
        assert log.logger.getEffectiveLevel() == getattr(logging, level)
    finally:
        log.logger.setLevel(before)
