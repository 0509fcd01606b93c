"""The parts that decide when and what to show, without a model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types as t

from engine.types import Edit, Repair, RepairAnswer
from grammars import get
from lsp_server import exclusions as exclusions_module
from lsp_server import secrets
from lsp_server.counters import Counters, read
from lsp_server.exclusions import Exclusions
from lsp_server.features.lifecycle import waits_by_itself
from lsp_server.fixes import fixes
from lsp_server.pacing import NEOVIM_WAITS, Latest, Pacing
from lsp_server.shown import Shown, ShownSuggestions
from lsp_server.type_along import Kept, TypeAlong

URI = "file:///a.py"


def kept(prefix: str, suffix: str, *middles: str, wanted: int = 1) -> Kept:
    return Kept(URI, prefix, suffix, tuple((m, 0.9) for m in middles), wanted)


@pytest.mark.parametrize(
    ("prefix", "suffix", "left", "over"),
    [
        ("x = ", "\n", ("foo(bar)",), 0),
        ("x = fo", "\n", ("o(bar)",), 0),
        ("x = foo(", ")\n", ("bar)",), 1),
        ("x = foo(ba", ")\n", ("r)",), 1),
    ],
)
def test_an_answer_holds_while_it_is_typed(prefix: str, suffix: str, left: tuple[str, ...], over: int) -> None:
    along = TypeAlong()
    along.keep(kept("x = ", "\n", "foo(bar)"))
    found = along.find(URI, prefix, suffix)
    assert found is not None
    assert (tuple(m for m, _ in found.middles), found.over) == (left, over)


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [("x = g", "\n"), ("y = ", "\n"), ("x = ", "\n\n"), ("x = foo(bar)", "\n"), ("x = foo", "]\n"), ("x =", "\n")],
)
def test_an_answer_ends_where_the_text_takes_another_way(prefix: str, suffix: str) -> None:
    along = TypeAlong()
    along.keep(kept("x = ", "\n", "foo(bar)"))
    assert along.find(URI, prefix, suffix) is None
    assert along.find("file:///b.py", "x = ", "\n") is None


def test_more_alternatives_than_were_computed_are_asked_for_anew() -> None:
    along = TypeAlong()
    along.keep(kept("x = ", "\n", "a", wanted=1))
    assert along.find(URI, "x = ", "\n", wanted=3) is None


def test_an_answer_that_said_nothing_is_remembered_as_such() -> None:
    along = TypeAlong()
    along.keep(kept("x = ", "\n"))
    found = along.find(URI, "x = ", "\n")
    assert found is not None
    assert found.middles == ()


def test_an_idle_engine_is_asked_at_once_and_a_busy_one_later() -> None:
    pacing = Pacing()
    for _ in range(5):
        pacing.took(0.4)
    assert pacing.delay() == 0
    pacing.running = 1
    assert pacing.delay() == pytest.approx(0.2)
    for _ in range(20):
        pacing.took(5.0)
    assert pacing.delay() == pytest.approx(0.3)
    pacing.client_waits = NEOVIM_WAITS
    assert pacing.delay() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "version", "waits"),
    [("Neovim", "0.12.4+gabc", True), ("Neovim", "0.11.4", False), ("Visual Studio Code", "1.139.0", False)],
)
def test_only_a_neovim_with_ghost_text_of_its_own_waits_before_it_asks(name: str, version: str, waits: bool) -> None:
    assert waits_by_itself(t.ClientInfo(name, version)) is waits
    assert not waits_by_itself(None)


@pytest.mark.asyncio(loop_scope="function")
async def test_newer_work_ends_older_work_and_cancelling_ends_both() -> None:
    latest, ended = Latest(), []

    async def work(name: str, seconds: float = 0.2) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ended.append(name)
            raise
        return name

    first = asyncio.ensure_future(latest.run("a", work("first", 30)))
    await asyncio.sleep(0.01)
    second = asyncio.ensure_future(latest.run("a", work("second")))
    other = asyncio.ensure_future(latest.run("b", work("other")))
    assert await first is None
    assert await second == "second"
    assert await other == "other"
    third = asyncio.ensure_future(latest.run("a", work("third", 30)))
    await asyncio.sleep(0.01)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert ended == ["first", "third"]


def counted(tmp_path: Path) -> tuple[Counters, ShownSuggestions]:
    counters = Counters(tmp_path / "counters.jsonl")
    return counters, ShownSuggestions(counters)


@pytest.mark.parametrize(
    ("text", "at_once", "kind"),
    [
        ("x = foo(1)\n", 6, "accepted"),
        ("x = foo\n", 3, "partly accepted"),
        ("x = 2\n", 1, "rejected"),
    ],
)
def test_what_became_of_a_suggestion_is_told_by_the_text(tmp_path: Path, text: str, at_once: int, kind: str) -> None:
    counters, shown = counted(tmp_path)
    shown.show(URI, Shown("x = ", "\n", ("foo(1)",), "python"))
    shown.changed(URI, text, at_once)
    counts = counters.session()
    assert counts["shown"] == 1
    assert counts[kind] == 1
    assert sum(counts[k] for k in ("accepted", "partly accepted", "rejected")) == 1


def test_typing_along_counts_once_and_ends_as_accepted(tmp_path: Path) -> None:
    counters, shown = counted(tmp_path)
    shown.show(URI, Shown("x = ", "\n", ("foo",), "python"))
    shown.changed(URI, "x = f\n", 1)
    shown.show(URI, Shown("x = f", "\n", ("oo",), "python"))
    shown.changed(URI, "x = foo\n", 2)
    shown.accepted(URI)
    counts = counters.session()
    assert (counts["shown"], counts["accepted"], counts["rejected"]) == (1, 1, 0)


def test_counts_are_added_up_over_sessions_and_damage_in_the_file_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "state" / "counters.jsonl"
    for _ in range(2):
        counters = Counters(path)
        counters.count("shown", "python", 3)
        counters.flush()
        counters.count("accepted", "python")
        counters.flush()
        counters.flush()
    with path.open("a") as f:
        f.write('not json\n[]\n{"language": "python", "shown": "x"}\n')
    assert read(path)["python"]["shown"] == 6
    assert read(path)["python"]["accepted"] == 2


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        "prod.env",
        "server.pem",
        "id_rsa",
        "id_ed25519.pub",
        ".npmrc",
        ".ssh/config",
        "a/.aws/x.py",
    ],
)
def test_files_that_hold_secrets_are_excluded_whatever_the_settings(tmp_path: Path, name: str) -> None:
    assert Exclusions([], respect_gitignore=False).reason(tmp_path / name)


def test_no_pattern_of_the_settings_takes_a_secret_back(tmp_path: Path) -> None:
    exclusions = Exclusions(["generated/*", "!generated/kept.py", "!.env", "!*.pem", "!*"], folders=[str(tmp_path)])
    for name in (".env", "deep/server.pem", "credentials.py"):
        assert exclusions.reason(tmp_path / name) == "by its name it may hold secrets"
    exclusions = Exclusions(["generated/*", "!generated/kept.py"], folders=[str(tmp_path)])
    assert exclusions.reason(tmp_path / "generated" / "a.py") == "remask.exclude names it"
    assert exclusions.reason(tmp_path / "generated" / "kept.py") is None


def test_a_folder_is_passed_by_when_nothing_in_it_may_be_read(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("data/\n*.gen.py\n")
    exclusions = Exclusions(["third_party/"], folders=[str(tmp_path)])
    assert exclusions.prunes(tmp_path / "data")
    assert exclusions.prunes(tmp_path / "src" / "data")
    assert exclusions.prunes(tmp_path / "third_party")
    assert not exclusions.prunes(tmp_path / "src")
    assert not Exclusions(respect_gitignore=False).prunes(tmp_path / "data")
    assert not Exclusions(["a/", "!a/b.py"], folders=[str(tmp_path)]).prunes(tmp_path / "a")


def test_gitignore_files_exclude_as_git_does(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("build/\n*.gen.py\n!keep.gen.py\n/only_here.py\n")
    (tmp_path / "src" / ".gitignore").write_text("local.py\n!*.gen.py\n")
    exclusions = Exclusions()
    excluded = {"build/a.py", "build/deep/b.py", "a.gen.py", "only_here.py", "src/local.py", "src/deep/local.py"}
    allowed = {"a.py", "keep.gen.py", "src/only_here.py", "src/b.gen.py", "local.py", "rebuild/a.py"}
    assert {name for name in excluded | allowed if exclusions.reason(tmp_path / name)} == excluded
    assert not any(Exclusions(respect_gitignore=False).reason(tmp_path / name) for name in excluded)
    assert Exclusions(["src/**"], folders=[str(tmp_path)]).reason(tmp_path / "src" / "x.py")


def test_without_a_repository_gitignore_files_hold_from_the_outermost_workspace_folder_on(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    (inner / "private").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("private/\n")
    keys = inner / "private" / "keys.py"
    for folders in ([tmp_path], [inner, tmp_path]):
        exclusions = Exclusions(folders=[str(folder) for folder in folders])
        assert exclusions.reason(keys)
        assert exclusions.reason(inner / "other.py") is None
    assert Exclusions(folders=[str(inner)]).reason(keys) is None, "what lies above the workspace says nothing"


def test_gitignore_files_and_repositories_that_change_are_seen_without_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusions_module, "FRESH", 0.0)
    (tmp_path / "src").mkdir()
    file = tmp_path / "src" / "a.py"
    exclusions = Exclusions()
    assert exclusions.reason(file) is None
    (tmp_path / ".gitignore").write_text("src/\n")
    assert exclusions.reason(file) is None, "no repository, no workspace"
    assert not exclusions.changed
    (tmp_path / ".git").mkdir()
    assert exclusions.reason(file)
    assert exclusions.changed
    (tmp_path / ".gitignore").write_text("other/\n")
    assert exclusions.reason(file) is None
    (tmp_path / ".gitignore").write_text("src/\n")
    assert exclusions.reason(file)
    (tmp_path / ".gitignore").unlink()
    assert exclusions.reason(file) is None


def test_a_folder_is_looked_at_once_a_second_at_most(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    exclusions = Exclusions()
    assert exclusions.reason(tmp_path / "a.py") is None
    (tmp_path / ".gitignore").write_text("a.py\n")
    exclusions._specs = {
        f: (at + 3600, *rest) for f, (at, *rest) in exclusions._specs.items()
    }  # as if it were just now
    assert exclusions.reason(tmp_path / "a.py") is None
    exclusions.forget_gitignores()
    assert exclusions.reason(tmp_path / "a.py")


@pytest.mark.parametrize(
    "code",
    [
        'key = "AKIAIOSFODNN7EXAMPLE"',
        "-----BEGIN RSA PRIVATE KEY-----",
        'token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"',
        'db = "postgres://admin:s3cr3t-pw@db.example.com/x"',
        'api_key = "9f86d081884c7d659a2feaa0c55ad015"',
        "{ password: 'xK9#mQ2$vL5n' }",
    ],
)
def test_secrets_are_found(code: str) -> None:
    assert secrets.find(code)
    assert secrets.appears("a = 1\n", code)
    middle = len(code) // 2
    assert secrets.appears(code[:middle], code[middle:]), "also when the suggestion only ends one"


@pytest.mark.parametrize(
    "code",
    [
        "password = os.environ['PASSWORD']",
        'password = "<your password>"',
        "token = get_token(user)",
        'secret_name = "database_password"',
        'api_key = "xxxxxxxxxxxxxxxx"',
        "https://example.com/path?query=1",
        'token_type = "access_token"',
        "sk = sklearn",
    ],
)
def test_ordinary_code_is_no_secret(code: str) -> None:
    assert secrets.find(code) is None


def test_a_fix_is_offered_only_where_its_edits_alone_mend_something() -> None:
    text = "def f(a)\n    return a\n\n\ndef g(b)\n    return b\n"
    source = get("python").parse(text)
    assert len(source.problems) == 2
    second = text.index("g(b)") + 4
    edits = [Edit(8, 8, "", ":"), Edit(second, second, "", ":")]
    mended = text[:8] + ":" + text[8:second] + ":" + text[second:]
    found = fixes(source, RepairAnswer(Repair(edits, mended, 2, 0)))
    assert [(f.edits, f.problem) for f in found[:2]] == [
        ((edits[0],), source.problems[0]),
        ((edits[1],), source.problems[1]),
    ]
    assert found[2].problem is None
    assert found[2].edits == tuple(edits)
    assert found[0].title == "insert `:`"
    assert fixes(source, RepairAnswer(Repair([Edit(0, 3, "def", "fed")], "fed" + text[3:], 2, 2))) == []
