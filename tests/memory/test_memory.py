from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from pathlib import Path

import numpy as np
import pytest

from engine.memory import Memory, index
from engine.memory import store as store_module
from engine.memory.store import TokenStore, delete
from engine.vocabulary import Vocabulary

END = 0
LEDGER = "def restock(warehouse):\n    warehouse.zyxwvut_ledger.append_quarterly_figures(warehouse.region, 42)\n"


@pytest.fixture
def memory(vocabulary: Vocabulary):
    m = Memory(vocabulary)
    yield m
    m.close()


def ahead(memory: Memory, prefix: str, suffix: str = "\n", path: str | None = None, language: str = "python") -> str:
    match = memory.view(language, path, prefix, suffix, END).match(memory.vocabulary.encode(prefix))
    return memory.vocabulary.decode(match.ahead)


CALL = "def audit(warehouse):\n    warehouse.zyxwvut_ledger."


def test_a_remembered_line_is_found_at_once(memory):
    memory.remember("a/ledger.py", LEDGER)
    assert ahead(memory, CALL).startswith("append_quarterly_figures(warehouse.region")


def test_a_forgotten_file_is_gone_at_once(memory):
    memory.remember("ledger.py", LEDGER)
    memory.forget("ledger.py")
    assert "quarterly" not in ahead(memory, CALL)
    assert memory.stats()["memory_files"] == 0


def test_an_edit_replaces_what_the_file_said_before(memory):
    memory.remember("ledger.py", LEDGER)
    memory.remember("ledger.py", LEDGER.replace("append_quarterly_figures", "drop_all"))
    assert ahead(memory, CALL).startswith("drop_all")


def test_a_renamed_file_is_known_by_its_new_name_alone(memory):
    memory.remember("old.py", LEDGER)
    memory.forget("old.py")
    memory.remember("new.py", LEDGER)
    assert memory.stats()["memory_files"] == 1
    assert ahead(memory, CALL, path="new.py") == ""


def test_the_file_being_edited_never_gives_its_own_old_text_away(memory):
    memory.remember("ledger.py", LEDGER)
    assert "quarterly" not in ahead(memory, CALL, path="ledger.py")


def test_the_file_being_edited_is_searched_around_the_cursors_line(memory):
    above = "rows = fetch_ledger_rows(session, limit=PAGE)\n" * 2
    assert ahead(memory, above + "rows = fetch_ledger_rows(session,").strip().startswith("limit=PAGE)")
    assert ahead(memory, "rows = fetch_ledger_rows(session,", "\n" + above).strip().startswith("limit=PAGE)")


def test_the_place_of_the_cursor_itself_is_no_match(memory):
    above = "def first(session):\n    rows = session.fetch_all()\n    audit(rows)\n    session.close()\n"
    prefix = above + "def second(session):\n    rows = session.fetch_all()\n    "
    view = memory.view("python", "a.py", prefix, "\n", END)
    match = view.match(memory.vocabulary.encode(prefix.rstrip()))
    assert memory.vocabulary.decode(match.ahead).lstrip().startswith("audit(rows)")


def test_languages_are_kept_apart_and_script_languages_share(memory):
    memory.remember("a.js", "ledger.appendQuarterlyFigures(region);\n")
    assert ahead(memory, "ledger.append") == ""
    assert "Quarterly" in ahead(memory, "ledger.append", language="typescript")


def test_the_folder_counts_for_more_than_the_workspace(memory):
    memory.remember("far/a.py", "ledger.totals.far_away()\n")
    memory.remember("far/b.py", "ledger.totals.far_away()\n")
    memory.remember("near/c.py", "ledger.totals.close_by()\n")
    match = memory.view("python", "near/d.py", "ledger.totals.", "\n", END).match(
        memory.vocabulary.encode("ledger.totals.")
    )
    best = max(match.chances, key=lambda t: match.chances[t])
    assert memory.vocabulary.decode([best]).startswith("close")
    assert match.near == 1


def test_a_place_where_the_suffix_follows_at_once_votes_for_the_end(memory):
    memory.remember("a.py", "total = count(items) + tax(items)\n")
    view = memory.view("python", None, "total = count(items", ") + tax(items)\n", END)
    match = view.match(memory.vocabulary.encode("total = count(items"))
    assert max(match.chances, key=lambda t: match.chances[t]) == END


@pytest.mark.parametrize(("lines", "seen"), [(3, 1.0), (400, 0.0)])
@pytest.mark.parametrize("above", [True, False])
def test_what_the_denoiser_sees_for_itself_is_told(memory, lines, seen, above):
    between = "\n" + "unrelated_line(of, code)\n" * lines
    prefix, suffix = (LEDGER + between + CALL, "\n") if above else (CALL, between + LEDGER)
    match = memory.view("python", "shop/edited.py", prefix, suffix, END).match(memory.vocabulary.encode(CALL))
    assert memory.vocabulary.decode(match.ahead).startswith("append_quarterly_figures")
    assert match.beside == seen


def test_another_files_places_are_none_that_the_denoiser_sees(memory):
    memory.remember("shop/ledger.py", LEDGER)
    match = memory.view("python", "shop/edited.py", CALL, "\n", END).match(memory.vocabulary.encode(CALL))
    assert (match.near, match.beside) == (1, 0.0)


def test_many_files_are_merged_and_every_one_is_still_found(memory):
    for i in range(80):
        memory.remember(f"pkg/m{i}.py", f"def unique_{i}_start(alpha_{i}):\n    return handle_{i}_finish(alpha_{i})\n")
    memory.settle()
    assert len(memory._shelves["python", 0].segments) == 1, "whenever the merges on the way came"
    for i in range(80):
        found = ahead(memory, f"def unique_{i}_start(alpha_{i}):\n    return handle_{i}_")
        assert found.startswith("finish"), i


@pytest.mark.parametrize("edited", [False, True])
def test_a_files_own_copy_hides_nobody_elses(memory, edited):
    """It shares the most with what is being edited: as it is remembered, and as it was before it was replaced."""
    mine = "def audit(warehouse):\n    warehouse.open()\n    warehouse.zyxwvut_ledger.own_copy(42)\n"
    memory.remember("pkg/mine.py", mine)
    memory.remember("pkg/ledger.py", LEDGER)
    for i in range(40):
        memory.remember(f"pkg/m{i}.py", f"value_{i} = compute_{i}()\n")
    memory.settle()
    if edited:
        memory.remember("pkg/mine.py", mine + "\n")
    prefix = mine[: mine.index("own_copy")]
    assert ahead(memory, prefix, "\n", "pkg/mine.py").startswith("append_quarterly_figures(warehouse.region")


def test_files_that_may_not_speak_say_nothing_and_stand_in_nobodys_way(memory):
    """A project, and one file of it that is open in another editor as well."""
    for i in range(300):
        memory.remember(f"pkg/m{i}.py", CALL + f"theirs_{i}()\n", 1)
    memory.remember("pkg/ledger.py", LEDGER, 1)
    memory.remember("other/x.py", CALL + "elsewhere()\n", 2)
    memory.settle()
    known = memory.vocabulary.encode(CALL)

    def said(*files: str) -> str:
        match = memory.view("python", None, CALL, "\n", END, set(files)).match(known)
        return memory.vocabulary.decode(match.ahead)

    assert said() == said("nowhere.py") == ""
    assert said("pkg/ledger.py").startswith("append_quarterly_figures")
    assert said("other/x.py").startswith("elsewhere")
    assert said("pkg/m7.py", "other/x.py").startswith(("theirs_7", "elsewhere"))


def test_files_of_two_groups_are_sorted_apart_and_a_group_ends_with_its_last_file(memory):
    memory.remember("a.py", LEDGER, 1)
    memory.remember("b.py", LEDGER, 2)
    memory.remember("a.py", LEDGER + "\n", 2)
    assert {label: list(shelf.files) for label, shelf in memory._shelves.items()} == {
        ("python", 1): ["a.py"],
        ("python", 2): ["b.py"],
    }
    memory.forget("a.py")
    assert list(memory._shelves) == [("python", 2)]


def test_a_thousand_replaced_files_leave_nothing_of_their_old_text(memory):
    """A branch is switched."""
    for i in range(1000):
        memory.remember(f"m{i}.py", f"old_branch_name_{i % 7}.vanish()\n")
    for i in range(1000):
        memory.remember(f"m{i}.py", f"new_branch_name_{i % 7}.appear()\n")
    memory.settle()
    assert "vanish" not in ahead(memory, "old_branch_name_3.")
    assert ahead(memory, "new_branch_name_3.").startswith("appear")


def test_huge_files_and_other_kinds_of_files_are_left_out(memory):
    memory.remember("big.py", "x = 1\n" * 500_000)
    memory.remember("notes.txt", "warehouse.ledger.append()\n")
    memory.remember(".env", "SECRET=hunter2\n")
    assert memory.stats()["memory_files"] == 0


def test_threads_may_remember_while_others_look_up(memory):
    failures = []

    def write(part: int) -> None:
        try:
            for i in range(60):
                memory.remember(f"{part}/{i}.py", LEDGER.replace("region", f"region_{part}_{i}"))
        except Exception as failure:  # the assertion below shows it
            failures.append(failure)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for w in writers:
        w.start()
    while any(w.is_alive() for w in writers):
        ahead(memory, CALL)
    assert not failures
    assert memory.stats()["memory_files"] == 120


def test_a_second_start_reads_tokens_from_a_private_cache(vocabulary, tmp_path):
    file = tmp_path / "cache" / "memory.sqlite"
    with_store = Memory(vocabulary, TokenStore(file, "model"))
    with_store.remember("a.py", LEDGER)
    with_store.close()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600

    def never(text: str) -> list[int]:
        raise AssertionError("tokenised again")

    store = TokenStore(file, "model")
    assert store.tokens(LEDGER, never, vocabulary.size).tolist() == vocabulary.encode(LEDGER)
    other = TokenStore(file, "another tokenizer")
    with pytest.raises(AssertionError, match="tokenised again"):
        other.tokens(LEDGER, never, vocabulary.size)


def test_a_damaged_or_unwritable_cache_costs_time_and_nothing_else(vocabulary, tmp_path):
    damaged = tmp_path / "memory.sqlite"
    damaged.write_bytes(b"junk" * 4096)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for file in (damaged, blocked / "memory.sqlite"):
        memory = Memory(vocabulary, TokenStore(file, "model"))
        memory.remember("a.py", LEDGER)
        assert ahead(memory, CALL).startswith("append_quarterly")
        memory.close()


def test_two_engines_share_one_cache(vocabulary, tmp_path):
    file = tmp_path / "memory.sqlite"
    one, two = (Memory(vocabulary, TokenStore(file, "m")) for _ in range(2))
    for i in range(100):
        one.remember(f"a{i}.py", f"value_{i} = {i}\n")
        two.remember(f"b{i}.py", f"value_{i} = {i}\n")
    one.close()
    two.close()
    rows = sqlite3.connect(file).execute("SELECT COUNT(*) FROM files").fetchone()[0]
    assert rows == 100


def test_over_the_bound_what_was_remembered_first_stays_and_what_came_last_makes_room(memory, monkeypatch):
    monkeypatch.setattr(index, "MAX_TOKENS", 100)
    line = "value_of_this_file = 1\n"
    size = len(memory.vocabulary.encode(line))
    fitting = 100 // size
    for n in range(3 * fitting):
        memory.remember(f"{n}.py", line)
    first = [f"{n}.py" for n in range(fitting - 1)]
    assert list(memory._where) == [*first, f"{3 * fitting - 1}.py"]
    memory.remember("edited.py", LEDGER)  # opened later
    assert "edited.py" in memory._where
    assert ahead(memory, CALL).startswith("append_quarterly_figures")
    memory.remember("0.py", line * 3)
    assert next(iter(memory._where)) == "0.py"
    assert memory.tokens <= 100
    assert memory.tokens == sum(size for _, size in memory._where.values())


def test_what_was_used_lately_stays_in_a_cache_that_is_full(vocabulary, tmp_path, monkeypatch):
    file = tmp_path / "memory.sqlite"
    texts = [f"value_{i} = {i}\n" * 20 for i in range(300)]
    written = Memory(vocabulary, TokenStore(file, "m"))
    for i, text in enumerate(texts):
        written.remember(f"{i}.py", text)
    written.close()
    ids = np.array(vocabulary.encode(texts[0]), dtype=np.uint32).tobytes()
    monkeypatch.setattr(store_module, "MAX_BYTES", 280 * len(ids))
    again = Memory(vocabulary, TokenStore(file, "m"))
    again.remember("0.py", texts[0])
    again.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = [row[0] for row in connection.execute("SELECT ids FROM files")]
    assert 0 < len(rows) < 300
    assert ids in rows


@pytest.mark.parametrize("at", ["start", "work"])
def test_a_damaged_cache_is_replaced(vocabulary, tmp_path, at):
    file = tmp_path / "memory.sqlite"
    store = TokenStore(file, "model")
    if at == "work":
        for i in range(500):
            store.tokens(f"value_{i} = {i}\n" * 20, vocabulary.encode, vocabulary.size)
        store.close()
        with file.open("r+b") as f:
            f.seek(4096)
            f.write(b"junk" * (file.stat().st_size // 4 - 1024))
    else:
        file.write_bytes(b"junk" * 4096)
        file.with_name("memory.sqlite-wal").write_bytes(b"junk")
    store = TokenStore(file, "model")
    store.tokens(LEDGER, vocabulary.encode, vocabulary.size)
    store.tokens(LEDGER + LEDGER, vocabulary.encode, vocabulary.size)
    store.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT COUNT(*) FROM files").fetchone()[0] >= 1


@pytest.mark.parametrize("row", ["too large", "text", "null"])
def test_a_row_that_no_vocabulary_has_written_is_read_anew(vocabulary, tmp_path, row):
    file = tmp_path / "memory.sqlite"
    store = TokenStore(file, "model")
    store.tokens(LEDGER, vocabulary.encode, vocabulary.size)
    store.close()
    ids = {"too large": np.array([3, vocabulary.size], dtype=np.uint32).tobytes(), "text": "junk", "null": None}[row]
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE files SET ids = ?", (ids,))
        connection.commit()
    for _ in range(2):
        memory = Memory(vocabulary, TokenStore(file, "model"))
        memory.remember("a.py", LEDGER)
        assert ahead(memory, CALL).startswith("append_quarterly")
        memory.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT ids FROM files").fetchall() == [
            (np.array(vocabulary.encode(LEDGER), dtype=np.uint32).tobytes(),)
        ]


def test_remembering_and_merging_give_way_to_requests_but_not_for_ever(memory, monkeypatch):
    monkeypatch.setattr(index, "A_FILE", 0.05)
    asked: list[int] = []
    memory.busy = lambda: bool(asked.append(1)) or len(asked) % 100 < 3
    memory.remember("a/edited.py", "x = 1\n")
    assert not asked, "a file alone comes at once"
    memory.remember("a/ledger.py", LEDGER)
    assert len(asked) > 3
    memory.busy = lambda: True
    memory.remember("b/ledger.py", LEDGER.replace("append", "prepend"))
    assert ahead(memory, CALL)
    monkeypatch.setattr(index, "A_MERGE", 0.05)
    for i in range(40):
        memory.remember(f"{i}.py", f"x_{i} = {i}\n")
    memory.settle()
    assert len(memory.view("python", None, "", "", END).segments) < 24


def rows(file: Path) -> list[bytes]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return [row[0] for row in connection.execute("SELECT ids FROM files")]


def test_what_is_not_saved_is_never_written_to_the_disk(vocabulary, tmp_path):
    file = tmp_path / "memory.sqlite"
    memory = Memory(vocabulary, TokenStore(file, "model"))
    memory.remember("a.py", LEDGER, store=False)
    assert ahead(memory, CALL).startswith("append_quarterly")
    assert not file.exists()
    memory.remember("b.py", "x = 1\n")
    memory.close()
    assert rows(file) == [np.array(vocabulary.encode("x = 1\n"), dtype=np.uint32).tobytes()]


@pytest.mark.parametrize("written", [False, True])
def test_a_forgotten_file_is_forgotten_on_the_disk_too_unless_another_says_the_same(vocabulary, tmp_path, written):
    file = tmp_path / "memory.sqlite"
    if written:
        before = Memory(vocabulary, TokenStore(file, "model"))
        before.remember("a.py", LEDGER)
        before.close()
    memory = Memory(vocabulary, TokenStore(file, "model"))
    memory.remember("a.py", LEDGER)
    memory.remember("copy.py", LEDGER)
    memory.remember("closed.py", "x = 1\n")
    memory.forget("a.py")
    memory.forget("closed.py", erase=False)
    memory.close()
    assert len(rows(file)) == 2

    memory = Memory(vocabulary, TokenStore(file, "model"))
    memory.remember("copy.py", LEDGER)
    memory.remember("copy.py", LEDGER + "unsaved = 1\n", store=False)
    memory.forget("copy.py")
    memory.close()
    assert rows(file) == [np.array(vocabulary.encode("x = 1\n"), dtype=np.uint32).tobytes()]
    assert delete(file)
    assert list(tmp_path.iterdir()) == []
    assert not delete(file)
