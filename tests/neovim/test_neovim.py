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
    slow = "completion = { timeoutMs = 60000, invokedTimeoutMs = 60000 }, fixes = { timeoutMs = 60000 }"
    slow = f"vim.lsp.config('remask', {{ settings = {{ remask = {{ {slow} }} }} }})\n"
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
    until(lambda: nvim.ghost() == "", nvim)
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
    deadline = time.monotonic() + 60
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
    deadline = time.monotonic() + 90
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
        + " settings = { completion = { timeoutMs = 60000, invokedTimeoutMs = 60000 } } })\n"
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


def test_tab_keeps_its_meaning_in_every_buffer_and_after_the_server_was_started_anew(
    neovim: Neovim, engine_home: Path, tmp_path: Path
) -> None:
    mapping = "vim.keymap.set('i', '<Tab>', function() return 'TAB' end, { expr = true })\n"
    nvim = Driver(neovim, tmp_path, mapping + "vim.o.hidden = true\n" + documented_setup())
    try:
        for name in ("1.py", "2.py", "3.py"):
            (tmp_path / name).write_text("# a comment\n")
        # All three are there before the server is, and the one in the middle is current: in whichever order they are
        # attached, one comes after it.
        nvim.lua("for _, name in ipairs({ '1.py', '3.py', '2.py' }) do vim.cmd.edit(name) end")
        nvim.until(f"return {attached_everywhere(3)}")
        for name in ("1.py", "2.py", "3.py"):
            press_tab(nvim, name)
        nvim.lua("vim.lsp.get_clients({ name = 'remask' })[1]:stop(true)")
        nvim.until("return #vim.lsp.get_clients({ name = 'remask' }) == 0")
        nvim.lua("vim.cmd.edit({ bang = true })")
        nvim.until(f"return {attached_everywhere(1)}")
        press_tab(nvim, "3.py")
    finally:
        nvim.stop()


def attached_everywhere(buffers: int) -> str:
    """Lua: whether one client serves so many buffers, with their keys set."""
    return f"""(function()
      local client = vim.lsp.get_clients({{ name = 'remask' }})[1]
      local served = client and vim.tbl_keys(client.attached_buffers) or {{}}
      return #served == {buffers} and vim.iter(served):all(function(buffer)
        return #vim.api.nvim_buf_get_keymap(buffer, 'i') > 0
      end)
    end)()"""


def press_tab(nvim: Driver, name: str) -> None:
    nvim.keys("<Esc>")
    nvim.lua("vim.cmd.buffer(...)", name)
    nvim.keys("A<Tab>")
    nvim.until_text(lambda text: text.startswith("# a commentTAB"))
    nvim.keys("<Esc>")


def test_two_projects_have_a_server_each_and_commands_find_the_right_one(
    neovim: Neovim, engine_home: Path, tmp_path: Path
) -> None:
    nvim = Driver(neovim, tmp_path, "vim.o.hidden = true\n" + documented_setup())
    try:
        for project in ("first", "second"):
            (tmp_path / project / ".git").mkdir(parents=True)
            nvim.edit(tmp_path / project / "broken.py", "def add(a, b)\n    return a + b\n")
        assert nvim.lua("return #vim.lsp.get_clients({ name = 'remask' })") == 2
        nvim.until(problems_in_each(1))

        nvim.lua("vim.cmd.Remask('pause')")
        nvim.until(problems_in_each(0))
        (tmp_path / "third" / ".git").mkdir(parents=True)
        nvim.edit(tmp_path / "third" / "broken.py", "def add(a, b)\n    return a + b\n")
        state = """
        local other = { command = 'remask.resume', arguments = { 'typescript' } } -- answered with the status
        return vim.lsp.get_clients({ bufnr = 0 })[1]:request_sync('workspace/executeCommand', other).result.state
        """
        assert nvim.lua(state) == "paused", "a project opened later is paused as well"
        nvim.lua("vim.cmd.Remask('resume')")
        nvim.until(problems_in_each(1))
        nvim.until("return #vim.diagnostic.get(vim.fn.bufnr('third/broken.py')) == 1")
        nvim.lua("vim.lsp.get_clients({ bufnr = 0 })[1]:stop()")
        nvim.until("return #vim.lsp.get_clients({ name = 'remask' }) == 2")

        asked = """
        local asked = {}
        for _, client in ipairs(vim.lsp.get_clients({ name = 'remask' })) do
          local request = client.request
          client.request = function(self, method, ...)
            if method == 'workspace/executeCommand' then table.insert(asked, vim.fs.basename(self.root_dir)) end
            return request(self, method, ...)
          end
        end
        for _, project in ipairs({ 'first', 'second' }) do
          vim.cmd.buffer(project .. '/broken.py')
          vim.cmd.Remask('source')
        end
        vim.cmd.enew()
        vim.cmd.Remask('source')
        return asked
        """
        assert nvim.lua(asked)[:2] == ["first", "second"]
        nvim.until("return select(2, vim.fn.execute('messages'):gsub('nothing like this', '')) == 3")

        off = "require('remask').statusline() == 'Remask off'"
        nvim.lua("vim.lsp.get_clients({ name = 'remask' })[1]:stop(true)")
        nvim.until("return #vim.lsp.get_clients({ name = 'remask' }) == 1")
        time.sleep(0.3)
        assert not nvim.lua(f"return {off}"), "the other one goes on"
        nvim.lua("vim.lsp.get_clients({ name = 'remask' })[1]:stop(true)")
        nvim.until(f"return {off}")
    finally:
        nvim.stop()


def problems_in_each(number: int) -> str:
    """Lua: whether the file of either project has so many problems."""
    return f"""return vim.iter({{ 'first', 'second' }}):all(function(project)
      return #vim.diagnostic.get(vim.fn.bufnr(project .. '/broken.py')) == {number}
    end)"""


@pytest.mark.parametrize("popup", ["auto", "always"])
def test_the_list_of_completions_is_offered_when_the_settings_say_so(
    popup: str, neovim: Neovim, engine_home: Path, tmp_path: Path
) -> None:
    path = documented_setup().splitlines()[0]
    setup = f"\nrequire('remask').setup({{ settings = {{ completion = {{ popup = '{popup}' }} }} }})\n"
    nvim = Driver(neovim, tmp_path, path + setup)
    try:
        open_code(nvim, tmp_path)
        offered = nvim.lua("return vim.lsp.get_clients({ name = 'remask' })[1].server_capabilities.completionProvider")
        assert (offered is not None) == (popup == "always")
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
