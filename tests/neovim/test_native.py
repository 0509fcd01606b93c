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
  cmd = function()
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
      terminate = function() closing = true end,
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
