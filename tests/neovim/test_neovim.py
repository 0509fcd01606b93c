"""Real Neovim, set up as docs/neovim.md says: 0.11.4 from PyPI, 0.12 where it can be had."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsp_server import neovim_check
from tests.neovim.driver import Driver
from tests.neovim.install import CannotInstallError, Neovim, sid, stable

pytestmark = pytest.mark.editor

ROOT = Path(__file__).parent.parent.parent
CODE = """\
class Cart:
    def __init__(self):
        self.items = []

    def add(self, name, price):
        self.items.append((name, price))

    def is_empty(self):
        return len
"""
TYPED = CODE.rstrip("\n") + "("


def documented_setup() -> str:
    """The first Lua block of docs/neovim.md, to the letter."""
    page = (ROOT / "docs" / "neovim.md").read_text(encoding="utf-8")
    found = re.search(r"```lua\n(.*?)```", page, re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture(scope="module", params=["0.11", "0.12"])
def neovim(request: pytest.FixtureRequest) -> Neovim:
    if request.param == "0.11":
        return stable()
    try:
        found = sid()
    except CannotInstallError as why:
        pytest.skip(f"Neovim 0.12 cannot be had here: {why}")
    assert found.version >= (0, 12, 0)
    return found


@pytest.fixture(scope="module")
def nvim(neovim: Neovim, engine_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    home = tmp_path_factory.mktemp("nvim")
    slow = "vim.lsp.config('remask', { settings = { remask = { completion = { timeoutMs = 30000 } } } })\n"
    driver = Driver(neovim, home, documented_setup() + slow)
    yield driver
    driver.stop()


def open_code(nvim: Driver, tmp_path: Path) -> None:
    nvim.edit(tmp_path / "cart.py", CODE)
    nvim.keys("G")


def test_ghost_text_is_shown_and_tab_accepts_it(nvim: Driver, tmp_path: Path) -> None:
    open_code(nvim, tmp_path)
    nvim.keys("A(")
    ghost = nvim.until_ghost()
    assert nvim.text() == TYPED, "ghost text is not in the buffer"
    nvim.keys("<Tab>")
    nvim.until_text(lambda text: text == TYPED + ghost)
    nvim.until("return vim.api.nvim_win_get_cursor(0)[2] >= #vim.api.nvim_get_current_line() - 1")


def test_tab_without_a_suggestion_is_tab(nvim: Driver, tmp_path: Path) -> None:
    nvim.edit(tmp_path / "empty.py", "# a comment\n")
    nvim.keys("A here<Tab>there")
    text = nvim.until_text(lambda text: "there" in text)
    assert text.startswith(("# a comment here\tthere", "# a comment here    there", "# a comment here        there"))


def test_a_word_is_accepted_at_a_time(nvim: Driver, tmp_path: Path) -> None:
    open_code(nvim, tmp_path)
    nvim.keys("A(")
    ghost = nvim.until_ghost()
    word = re.match(r"\s*(?:\w+|[^\s])", ghost)
    assert word
    nvim.keys("<M-w>")
    nvim.until_text(lambda text: text == TYPED + word.group())


def test_typing_along_keeps_the_ghost_and_diverging_removes_it(nvim: Driver, tmp_path: Path) -> None:
    open_code(nvim, tmp_path)
    nvim.keys("A(")
    ghost = nvim.until_ghost()
    assert len(ghost) > 3
    nvim.keys(ghost[0].replace("<", "<lt>"))
    nvim.until_text(lambda text: text == TYPED + ghost[0])
    assert nvim.until_ghost() == ghost[1:]
    nvim.keys("?")
    until(lambda: nvim.ghost() != ghost[1:], nvim)


def test_nothing_is_shown_after_a_deletion(nvim: Driver, tmp_path: Path) -> None:
    open_code(nvim, tmp_path)
    nvim.keys("A(")
    nvim.until_ghost()
    nvim.keys("<BS>")
    nvim.until_text(lambda text: text.endswith("return len"))
    time.sleep(0.6)
    assert nvim.ghost() == ""


def test_a_suggestion_is_dismissed_and_asked_for_again_by_keys(nvim: Driver, tmp_path: Path) -> None:
    open_code(nvim, tmp_path)
    nvim.keys("A(")
    nvim.until_ghost()
    nvim.keys("<C-]>")
    until(lambda: nvim.ghost() == "", nvim)
    nvim.keys("<M-\\>")
    first = nvim.until_ghost()
    nvim.keys("<M-]>")
    time.sleep(0.5)
    assert nvim.until_ghost()
    nvim.keys("<M-[>")
    until(lambda: nvim.ghost().startswith(first[0]), nvim)
    nvim.keys("<M-l>")
    nvim.until_text(lambda text: len(text) > len(TYPED))


def test_pausing_silences_it_and_resuming_brings_it_back(nvim: Driver, tmp_path: Path) -> None:
    open_code(nvim, tmp_path)
    nvim.lua("require('remask').commands.pause()")
    nvim.until("return require('remask').statusline() == 'Remask paused'")
    nvim.keys("A(")
    time.sleep(0.8)
    assert nvim.ghost() == ""
    nvim.keys("<Esc>")
    nvim.lua("require('remask').commands.resume()")
    nvim.until("return vim.startswith(require('remask').statusline(), 'Remask ready')")
    open_code(nvim, tmp_path)
    nvim.keys("A(")
    nvim.until_ghost()


def test_the_places_that_say_the_same_go_into_the_quickfix_list(nvim: Driver, tmp_path: Path) -> None:
    nvim.lua("vim.fn.setqflist({}, 'r')")
    place = tmp_path / "other.py"
    place.write_text("first\nsecond\n")
    shown = {"text": "second", "places": [{"uri": place.as_uri(), "range": span(1, 0, 6)}]}
    nvim.lua("require('remask').show_places(..., 'utf-16')", shown)
    (item,) = nvim.lua("return vim.fn.getqflist()")
    assert (item["lnum"], item["col"], item["text"]) == (2, 1, "second")
    nvim.lua("require('remask').show_places(..., 'utf-16')", {"text": "", "places": []})
    assert "nothing like this" in nvim.messages()


def span(line: int, first: int, last: int) -> dict[str, dict[str, int]]:
    return {"start": {"line": line, "character": first}, "end": {"line": line, "character": last}}


def until(holds: Callable[[], bool], nvim: Driver) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, nvim.messages()
        time.sleep(0.03)


def test_leaving_insert_mode_hides_the_ghost(nvim: Driver, tmp_path: Path) -> None:
    open_code(nvim, tmp_path)
    nvim.keys("A(")
    nvim.until_ghost()
    nvim.keys("<Esc>")
    nvim.until("return vim.api.nvim_get_mode().mode == 'n'")
    assert nvim.ghost() == ""


def test_broken_code_is_marked_and_its_fix_applied(nvim: Driver, tmp_path: Path) -> None:
    nvim.edit(tmp_path / "broken.py", "def add(a, b)\n    return a + b\n")
    found = nvim.until("local d = vim.diagnostic.get(0) return #d > 0 and d")
    assert found[0]["lnum"] == 0
    assert found[0]["source"] == "remask"
    deadline = time.monotonic() + 30
    while nvim.text().startswith("def add(a, b)\n"):
        assert time.monotonic() < deadline, nvim.messages()
        nvim.keys("<Esc>gg:Remask fix<CR>")
        time.sleep(0.3)
    assert nvim.text().startswith("def add(a, b):\n")
    nvim.until("return #vim.diagnostic.get(0) == 0")


def test_a_file_that_parses_has_no_diagnostics(nvim: Driver, tmp_path: Path) -> None:
    nvim.edit(tmp_path / "fine.ts", "export const add = (a: number, b: number): number => a + b;\n")
    time.sleep(0.5)
    assert nvim.lua("return #vim.diagnostic.get(0)") == 0


def test_checkhealth_is_clean(nvim: Driver, tmp_path: Path) -> None:
    open_code(nvim, tmp_path)
    nvim.until("local s = require('remask').status.state return s == 'ready' or s == 'thinking'")
    nvim.keys("<Esc>")
    nvim.lua("vim.cmd('checkhealth remask')")
    report = nvim.until_text(lambda text: "keys in insert mode" in text, 30)
    assert "ERROR" not in report, report
    assert "WARNING" not in report, report
    assert "cpu" in report or "cuda" in report, report
    nvim.keys("<Esc>:bdelete!<CR>")


def test_the_status_line_tells_the_state(nvim: Driver) -> None:
    nvim.until("return vim.startswith(require('remask').statusline(), 'Remask ready')")


def test_help_is_found_and_all_its_links_lead_somewhere(nvim: Driver, tmp_path: Path) -> None:
    nvim.keys("<Esc>")
    nvim.lua("vim.cmd.help('remask-keys')")
    nvim.until_text(lambda text: "*remask-keys*" in text)
    nvim.lua("vim.cmd.helpclose()")
    source = ROOT / "lsp_server" / "neovim" / "doc"
    links = set(re.findall(r"\|([^|\s]+)\|", (source / "remask.txt").read_text(encoding="utf-8")))
    dead = [link for link in sorted(links) if not nvim.lua("return vim.fn.getcompletion(..., 'help')", link)]
    assert [link for link in dead if link != "lsp-inline_completion"] == [], "that one came with 0.12"
    (tmp_path / "remask.txt").write_text((source / "remask.txt").read_text(encoding="utf-8"))
    nvim.lua("vim.cmd.helptags(...)", str(tmp_path))
    made = (tmp_path / "tags").read_text(encoding="utf-8")
    assert made == (source / "tags").read_text(encoding="utf-8"), "run :helptags lsp_server/neovim/doc"


def test_keys_can_be_changed_and_another_mapping_of_tab_goes_on_working(
    neovim: Neovim, engine_home: Path, tmp_path: Path
) -> None:
    path, enable = documented_setup().splitlines()[:2]
    init = (
        path
        + "\nvim.keymap.set('i', '<Tab>', function() return 'TAB' end, { expr = true })\n"
        + "require('remask').setup({ keys = { accept = '<C-y>', trigger = false },"
        + " settings = { completion = { timeoutMs = 30000 } } })\n"
    )
    assert "enable" in enable
    nvim = Driver(neovim, tmp_path, init)
    try:
        open_code(nvim, tmp_path)
        nvim.keys("A(")
        nvim.until_ghost()
        nvim.keys("<Tab>")
        nvim.until_text(lambda text: text.endswith("(TAB"))
        nvim.keys("<BS><BS><BS><BS>")
        nvim.until_text(lambda text: text.endswith("return len"))
        time.sleep(0.5)  # sent as a deletion of its own
        nvim.keys("(")
        ghost = nvim.until_ghost()
        nvim.keys("<C-y>")
        nvim.until_text(lambda text: ghost.split("\n")[0] in text)
    finally:
        nvim.stop()


def test_a_plugin_manager_may_load_it_when_a_file_is_already_open(
    neovim: Neovim, engine_home: Path, tmp_path: Path
) -> None:
    nvim = Driver(neovim, tmp_path, "vim.o.swapfile = false\n")
    try:
        (tmp_path / "late.py").write_text("def f(a)\n    return a\n")
        nvim.keys(":edit late.py<CR>")
        nvim.until_text(lambda text: "def f(a)" in text)
        assert nvim.lua("return #vim.lsp.get_clients()") == 0
        nvim.lua("vim.opt.runtimepath:append(vim.fn.trim(vim.fn.system('remask lsp --neovim')))")
        nvim.lua("vim.cmd.runtime('plugin/remask.lua')")
        nvim.lua("require('remask').setup({})")  # what lazy.nvim does with `opts = {}`
        nvim.until("return #vim.lsp.get_clients({ name = 'remask', bufnr = 0 }) == 1")
        nvim.until("return #vim.diagnostic.get(0) == 1")
        assert nvim.lua("return vim.fn.exists(':Remask')") == 2
    finally:
        nvim.stop()


def test_doctor_finds_nothing_wrong_with_the_documented_setup_and_says_what_an_empty_one_lacks(
    neovim: Neovim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvim").mkdir()
    for name, value in (neovim.environment | {"XDG_CONFIG_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    path = [neovim.program.parent, Path(sys.executable).parent, os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, path)))
    facts, problems = neovim_check.examine()
    assert facts["neovim"].startswith("0.1")
    assert len(problems) == 1
    assert "put this into init.lua" in problems[0]
    (tmp_path / "nvim" / "init.lua").write_text(documented_setup())
    facts, problems = neovim_check.examine()
    assert problems == []
    assert facts["command"] == "remask lsp"
