"""Keys that come before the next answer: real Neovim, and a server that answers what a test says and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neovim.driver import Driver
from tests.neovim.install import CannotInstallError, Neovim, sid, stable

pytestmark = pytest.mark.editor

PLUGIN = Path(__file__).parent.parent.parent / "lsp_server" / "neovim"
INIT = """
vim.o.swapfile = false
vim.opt.runtimepath:append(PLUGIN)
answers, executed, result = {}, {}, nil

local function answer(method, params)
  if method == 'initialize' then
    local commands = { 'remask.accepted', 'remask.partlyAccepted', 'remask.source', 'remask.stats' }
    local provides = { inlineCompletionProvider = true, executeCommandProvider = { commands = commands } }
    return { capabilities = provides }
  elseif method == 'workspace/executeCommand' then
    table.insert(executed, params.command)
    return result
  elseif method == 'textDocument/inlineCompletion' then
    local said = table.remove(answers, 1)
    if not said then return false end -- it takes its time
    local stop = { line = params.position.line, character = params.position.character + said.over }
    local command = { title = '', command = 'remask.accepted' }
    return { { insertText = said.text, range = { start = params.position, ['end'] = stop }, command = command } }
  end
end

vim.lsp.config('remask', {
  cmd = function(dispatchers)
    local closing, last = false, 0
    return {
      request = function(method, params, callback, on_reply)
        last = last + 1
        local id = last
        vim.schedule(function()
          local said = answer(method, params)
          if said ~= false then
            if on_reply then on_reply(id) end
            callback(nil, said, id)
          end
        end)
        return true, id
      end,
      notify = function() return true end,
      is_closing = function() return closing end,
      terminate = function()
        if not closing then dispatchers.on_exit(0, 15) end
        closing = true
      end,
    }
  end,
})
vim.lsp.enable('remask')
"""


@pytest.fixture(scope="module", params=["0.11", "0.12"])
def neovim(request: pytest.FixtureRequest) -> Neovim:
    try:
        return stable() if request.param == "0.11" else sid()
    except CannotInstallError as why:
        pytest.skip(f"Neovim {request.param} cannot be had here: {why}")


@pytest.fixture
def nvim(neovim: Neovim, tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(neovim, tmp_path, INIT.replace("PLUGIN", repr(str(PLUGIN))))
    yield driver
    driver.stop()


def show(nvim: Driver, tmp_path: Path, line: str, keys: str, text: str, over: int = 0) -> None:
    """Put the cursor into a line and wait for what is suggested there."""
    nvim.edit(tmp_path / "a.py", line + "\n")
    nvim.lua("answers = { ... }", {"text": text, "over": over})
    nvim.keys(keys)
    nvim.until_ghost()


@pytest.mark.parametrize(
    ("keys", "wanted", "command"),
    [
        ("<Tab>", "return x", "accepted"),
        ("u<Tab>", "return x", "accepted"),
        ("urn <Tab>", "return x", "accepted"),
        ("ur<M-w>", "return", "partlyAccepted"),
        ("u<M-l>", "return x", "accepted"),
        ("<M-w>", "return", "partlyAccepted"),
    ],
)
def test_what_was_typed_of_a_suggestion_is_not_put_in_again(
    nvim: Driver, tmp_path: Path, keys: str, wanted: str, command: str
) -> None:
    show(nvim, tmp_path, "ret", "A", "urn x")
    nvim.keys(keys)
    nvim.until_text(lambda text: text == wanted)
    nvim.until("return #executed > 0")
    assert nvim.lua("return executed") == [f"remask.{command}"]
    nvim.keys("!")
    nvim.until_text(lambda text: text == wanted + "!")


@pytest.mark.parametrize("key", ["<Tab>", "<M-w>", "<M-l>"])
def test_after_something_else_was_typed_a_key_does_what_it_did(nvim: Driver, tmp_path: Path, key: str) -> None:
    show(nvim, tmp_path, "ret", "A", "urn x")
    nvim.keys("q")
    nvim.until_text(lambda text: text == "retq")
    nvim.keys(f"{key}!")
    text = nvim.until_text(lambda text: text.endswith("!"))
    assert text.startswith("retq")
    assert "urn" not in text
    assert nvim.ghost() == ""
    assert nvim.lua("return executed") == []


def test_several_lines_go_on_from_what_was_typed(nvim: Driver, tmp_path: Path) -> None:
    show(nvim, tmp_path, "if x", "A", ":\n    return 1\n")
    nvim.keys(":<Tab>")
    nvim.until_text(lambda text: text == "if x:\n    return 1\n")


def test_what_a_suggestion_replaces_behind_the_cursor_is_replaced_after_typing_too(
    nvim: Driver, tmp_path: Path
) -> None:
    show(nvim, tmp_path, "f()", "A<Left>", "xy)", over=1)
    nvim.keys("x<Tab>")
    nvim.until_text(lambda text: text == "f(xy)")


def test_a_closer_that_another_plugin_put_in_is_not_doubled(nvim: Driver, tmp_path: Path) -> None:
    nvim.lua("vim.keymap.set('i', '(', '()<Left>')")
    show(nvim, tmp_path, "f", "A", "(x)")
    nvim.keys("(")
    nvim.until_text(lambda text: text == "f()")
    nvim.keys("<Tab>")
    text = nvim.until_text(lambda text: text != "f()")
    assert "".join(text.split()) == "f()"


def test_what_a_command_answers_for_an_error_is_said(nvim: Driver, tmp_path: Path) -> None:
    nvim.edit(tmp_path / "a.py", "x = 1\n")
    nvim.lua("result = { error = 'it failed' }")
    for command in ("stats", "source"):
        nvim.lua("vim.cmd.Remask(...)", command)
    nvim.until("return #executed == 2")
    nvim.until("return select(2, vim.fn.execute('messages'):gsub('Remask: it failed', '')) == 2")
    assert "attempt to" not in nvim.messages()


JUMP = "imap <Plug>(myjump) JUMP"
FORMS = {
    "nothing": "",
    "a plug, sometimes": f"{JUMP}\nimap <silent><expr> <Tab> v:true ? '<Plug>(myjump)' : '<Tab>'",
    "the key itself, sometimes": f"{JUMP}\nimap <silent><expr> <Tab> v:false ? '<Plug>(myjump)' : '<Tab>'",
    "a plug": f"{JUMP}\nimap <Tab> <Plug>(myjump)",
    "its own key and more": "imap <Tab> <Tab>more",
    "its own key and more, here": "imap <buffer> <Tab> <Tab>more",
    "what waits for a key": "imap <Tab> <C-R>",
    "Lua": "lua vim.keymap.set('i', '<Tab>', function() vim.api.nvim_paste('LUA', false, -1) end)",
    "Lua, here": "lua vim.keymap.set('i', '<Tab>', function() vim.api.nvim_paste('L', false, -1) end, { buffer = 0 })",
    "Lua that says keys": "lua vim.keymap.set('i', '<Tab>', function() return '<C-R>=1+1<CR>' end, { expr = true })",
    "Lua that says a plug": f"{JUMP}\nlua vim.keymap.set('i', '<Tab>', function() return '<Plug>(myjump)' end,"
    " { expr = true, remap = true })",
    "Lua that says bytes": "lua vim.keymap.set('i', '<Tab>', function() return vim.keycode('<C-R>=2+2<CR>') end,"
    " { expr = true, replace_keycodes = false })",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_does_to_the_letter_what_it_did_whatever_is_typed_behind_it(
    form: str, nvim: Driver, tmp_path: Path
) -> None:
    def typed() -> str:
        nvim.keys("o<Tab>=3+3<CR>!<Tab>=4+4<CR>?")
        nvim.until_text(lambda text: text.endswith("?"))
        nvim.keys("<Tab>=5+5<CR>.")
        return nvim.until_text(lambda text: text.endswith("."))

    nvim.lua("vim.cmd('filetype plugin indent off')")
    for command in FORMS[form].splitlines():
        nvim.call("nvim_command", command)
    expected = typed()
    nvim.keys("<Esc>:%delete<CR>")
    nvim.until_text(lambda text: text == "")
    nvim.lua("vim.bo.filetype = 'python'")  # from here on the keys are ours
    nvim.until("return #vim.lsp.get_clients({ name = 'remask', bufnr = 0 }) > 0")
    ours = "vim.startswith(vim.fn.maparg('<Tab>', 'i', false, true).desc or '', 'Remask')"
    nvim.until(f"return {ours}")
    assert typed() == expected
    nvim.until(f"return {ours}")


def test_one_undo_takes_back_the_suggestion_and_nothing_that_was_typed(nvim: Driver, tmp_path: Path) -> None:
    show(nvim, tmp_path, "ret", "A", "urn x")
    nvim.keys("u<Tab>")
    nvim.until_text(lambda text: text == "return x")
    nvim.keys("<Esc>u")
    nvim.until_text(lambda text: text == "retu")


def test_what_a_suggestion_of_several_lines_replaces_is_not_on_show_twice(nvim: Driver, tmp_path: Path) -> None:
    show(nvim, tmp_path, "foo()", "A<Left>", "\n    1,\n)", over=1)
    nvim.lua("vim.cmd.redraw()")
    rows = nvim.lua(
        """
        local rows = {}
        for row = 1, 3 do
          local line = ''
          for column = 1, 20 do line = line .. vim.fn.screenstring(row, column) end
          rows[row] = vim.trim(line)
        end
        return rows
        """
    )
    by_itself = nvim.lua("return vim.lsp.inline_completion ~= nil")  # covers no more than its first line is long
    assert [row.strip() for row in rows] == ["foo()" if by_itself else "foo(", "1,", ")"]
    nvim.keys("<Tab>")
    nvim.until_text(lambda text: text == "foo(\n    1,\n)")


def test_a_server_that_died_is_started_anew(nvim: Driver, tmp_path: Path) -> None:
    nvim.edit(tmp_path / "a.py", "x = 1\n")
    nvim.lua("vim.lsp.get_clients({ name = 'remask' })[1]:stop(true)")
    nvim.until("return #vim.lsp.get_clients({ name = 'remask' }) == 0")
    nvim.lua("vim.cmd.Remask('restart')")
    nvim.until("return #vim.lsp.get_clients({ name = 'remask', bufnr = 0 }) == 1")


def test_the_command_line_completes_what_the_command_takes(nvim: Driver) -> None:
    def offered(line: str) -> list[str]:
        return list(nvim.lua("return vim.fn.getcompletion(..., 'cmdline')", line))

    assert offered("Remask re") == ["restart", "resume"]
    assert offered("Remask pause type") == ["typescript", "typescriptreact"]
    assert offered("Remask resume p") == ["python"]
    assert offered("Remask stats ") == []
