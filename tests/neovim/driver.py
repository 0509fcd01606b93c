"""Drives a real Neovim over its own protocol (`nvim --embed`): keys in, text and Lua values out."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgpack

from tests.neovim.install import Neovim

TIMEOUT = 60.0


class Driver:
    """One running editor."""

    def __init__(self, neovim: Neovim, home: Path, init: str) -> None:
        config = home / "config" / "nvim"
        config.mkdir(parents=True, exist_ok=True)
        (config / "init.lua").write_text(init)
        environment = os.environ | neovim.environment
        environment |= {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
        self.process = subprocess.Popen(
            [str(neovim.program), "--embed", "--headless", "-n"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=home,
        )
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="replace")
        self._next = 0

    def call(self, method: str, *arguments: Any) -> Any:
        """A request of Neovim's API."""
        self._next += 1
        assert self.process.stdin is not None
        self.process.stdin.write(msgpack.packb([0, self._next, method, list(arguments)]))
        self.process.stdin.flush()
        end = time.monotonic() + TIMEOUT
        while True:
            for message in self._unpacker:
                if message[0] == 1 and message[1] == self._next:
                    if message[2] is not None:
                        raise AssertionError(f"{method}: {message[2]}")
                    return message[3]
            self._read(end)

    def _read(self, end: float) -> None:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0))
        assert ready, "Neovim does not answer: it may wait for a key"
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        assert data, "Neovim has ended"
        self._unpacker.feed(data)

    def lua(self, code: str, *arguments: Any) -> Any:
        """What a piece of Lua returns."""
        return self.call("nvim_exec_lua", code, list(arguments))

    def keys(self, keys: str) -> None:
        """Press keys, as a person does."""
        self.call("nvim_input", keys)

    def text(self) -> str:
        """The buffer's text."""
        return "\n".join(self.call("nvim_buf_get_lines", 0, 0, -1, False))

    def until(self, code: str, seconds: float = 60.0) -> Any:
        """Wait until a piece of Lua returns something true."""
        end = time.monotonic() + seconds
        while not (found := self.lua(code)):
            assert time.monotonic() < end, f"waited in vain for {code}\n{self.messages()}"
            time.sleep(0.03)
        return found

    def until_text(self, wanted: Any, seconds: float = 60.0) -> str:
        """Wait until `wanted(text)` holds; the text."""
        end = time.monotonic() + seconds
        while not wanted(text := self.text()):
            assert time.monotonic() < end, text
            time.sleep(0.03)
        return text

    def messages(self) -> str:
        """What Neovim has said, and the log of its language clients."""
        said = str(self.lua("return vim.fn.execute('messages')"))
        log = Path(
            str(self.lua("return vim.lsp.log.get_filename and vim.lsp.log.get_filename() or vim.lsp.get_log_path()"))
        )
        return said + (log.read_text()[-3000:] if log.exists() else "")

    def ghost(self) -> str:
        """The ghost text on show, all its lines; "" when there is none."""
        return str(
            self.lua(
                """
        local found = {}
        for name, namespace in pairs(vim.api.nvim_get_namespaces()) do
          if name == 'remask.inline' or name == 'nvim.lsp.inline_completion' then
            for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })) do
              local line = ''
              for _, chunk in ipairs(mark[4].virt_text or {}) do line = line .. chunk[1] end
              table.insert(found, line)
              for _, below in ipairs(mark[4].virt_lines or {}) do table.insert(found, below[1][1]) end
            end
          end
        end
        return table.concat(found, '\\n')
        """
            )
        )

    def until_ghost(self, seconds: float = 120.0) -> str:
        """Wait for ghost text; what it says."""
        end = time.monotonic() + seconds
        while not (found := self.ghost()):
            assert time.monotonic() < end, f"no ghost text\n{self.text()}\n{self.messages()}"
            time.sleep(0.03)
        return found

    def edit(self, path: Path, text: str) -> None:
        """Open a new file with this text and wait for the server."""
        self.keys("<Esc>")
        path.write_text(text)
        self.lua("vim.cmd.edit({ vim.fn.fnameescape(...), bang = true })", str(path))
        self.until("return #vim.lsp.get_clients({ name = 'remask', bufnr = 0 }) > 0")

    def stop(self) -> None:
        """Quit without saving."""
        try:
            self.keys("<C-\\><C-n>:qall!<CR>")
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
