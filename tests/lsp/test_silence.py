"""Where nothing is suggested the person is told why: in the status, and with a message when they ask by a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as t

from lsp_server.features import commands
from tests.lsp.alone import Alone, quiet

CODE = "x = 1\n"


async def asked(alone: Alone, uri: str, invoked: bool) -> list[Any]:
    document = alone.session.documents.get(uri)
    assert document is not None
    return await alone.session.suggester.suggest(document, t.Position(0, 0), invoked)


def status(alone: Alone) -> tuple[str, str]:
    last = [params for method, params in alone.said if method == "remask/status"][-1]
    return last["state"], last["message"]


def messages(alone: Alone) -> list[str]:
    return [params.message for method, params in alone.said if method == t.WINDOW_SHOW_MESSAGE]


@pytest.mark.parametrize(
    ("name", "text", "settings", "why"),
    [
        ("secrets.py", CODE, {}, "by its name it may hold secrets"),
        ("a.py", CODE, {"exclude": ["*.py"]}, "remask.exclude names it"),
        ("ignored.py", CODE, {}, ".gitignore names it"),
        ("long.py", "x = 1\n" * 90_000, {}, "it has 540,000 characters, and Remask looks at 500,000 at most"),
        ("a.py", CODE, {"languages": {"python": False}}, "remask.languages turns python off"),
        ("a.py", CODE, {"completion": {"enable": False}}, "remask.completion.enable is off"),
    ],
)
async def test_why_nothing_is_suggested_in_a_document_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str, settings: dict[str, Any], why: str
) -> None:
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    alone = Alone(monkeypatch, tmp_path, settings)
    alone.engine.ready()
    reason = f"no suggestions in {name}: {why}"
    uri = alone.open(name, text)
    assert status(alone) == ("ready", reason)
    assert await asked(alone, uri, invoked=False) == []
    assert messages(alone) == [], "nobody asked"
    assert await asked(alone, uri, invoked=True) == []
    assert messages(alone) == [f"Remask: {reason}"]
    alone.close(uri)
    assert status(alone) == ("ready", "")
    await quiet()


async def test_the_reason_goes_when_it_no_longer_holds_and_in_a_document_that_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone = Alone(monkeypatch, tmp_path, {"exclude": ["a.py"]})
    alone.engine.ready()
    first = alone.open("a.py", CODE)
    second = alone.open("b.py", CODE)
    assert status(alone) == ("ready", "")
    await asked(alone, first, invoked=False)
    assert status(alone) == ("ready", "no suggestions in a.py: remask.exclude names it")
    await asked(alone, second, invoked=False)
    assert status(alone) == ("ready", "")
    await asked(alone, first, invoked=False)
    alone.session.apply({})
    assert status(alone) == ("ready", "")
    await commands.pause(alone.session)
    assert status(alone) == ("paused", ""), "the state says it"
    await quiet()
