"""`remask doctor --editor nvim`: whether Neovim is there, new enough, and set up for Remask."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent / "neovim"
OLDEST = (0, 11)
SETUP = "vim.opt.runtimepath:append(vim.fn.trim(vim.fn.system('remask lsp --neovim'))) vim.lsp.enable('remask')"
ASK = """lua io.stdout:write('\\nREMASK ' .. vim.json.encode({
files = vim.api.nvim_get_runtime_file('lsp/remask.lua', true),
cmd = vim.lsp.config and vim.lsp.config.remask and vim.lsp.config.remask.cmd or vim.NIL,
enabled = vim.lsp.is_enabled and vim.lsp.is_enabled('remask') or (vim.lsp._enabled_configs or {}).remask ~= nil,
native = vim.lsp.inline_completion ~= nil,
init = vim.env.MYVIMRC or vim.NIL }) .. '\\n')"""
SECONDS = 30


def examine() -> tuple[dict[str, str], list[str]]:
    """Facts by name, and what is wrong. Starts Neovim once, headless, with the user's configuration."""
    program = shutil.which("nvim")
    if program is None:
        return {"neovim": "not found"}, ["there is no nvim on PATH: install Neovim 0.11 or newer"]
    said = _run([program, "--version"])
    version = re.match(r"NVIM v(\d+)\.(\d+)\.(\d+)", said)
    if version is None:
        return {"neovim": program}, [f"`{program} --version` does not say a version: {said[:80]!r}"]
    facts = {"neovim": f"{version.group().removeprefix('NVIM v')} at {program}", "runtime folder": str(FOLDER)}
    if tuple(map(int, version.groups()[:2])) < OLDEST:
        return facts, ["this Neovim is too old: Remask needs 0.11 or newer"]
    if shutil.which("remask") is None:
        facts["remask on PATH"] = "no: name it with its path in init.lua (docs/neovim.md)"
    return _configuration(program, facts)


def _configuration(program: str, facts: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    said = _run([program, "--headless", "+" + " ".join(ASK.splitlines()), "+qall!"])
    answer = next((line for line in said.splitlines() if line.startswith("REMASK ")), None)
    if answer is None:
        return facts, [f"Neovim did not get through its own configuration: {said.strip()[-200:] or 'it said nothing'}"]
    found = json.loads(answer.removeprefix("REMASK "))
    facts["init file"] = found["init"] or "none"
    facts["ghost text"] = "Neovim's own" if found["native"] else "by lua/remask/inline.lua"
    problems = []
    if not found["files"]:
        problems.append(f"Neovim does not find lsp/remask.lua: put this into init.lua: {SETUP}")
    elif not found["enabled"]:
        problems.append(
            "the server is not enabled: put vim.lsp.enable('remask') into init.lua (a plugin may do so later)"
        )
    if len(found["files"]) > 1:
        problems.append(f"lsp/remask.lua is there more than once: {', '.join(found['files'])}")
    if found["cmd"]:
        facts["command"] = " ".join(found["cmd"])
        if shutil.which(found["cmd"][0]) is None:
            problems.append(f"{found['cmd'][0]} cannot be run: is it on PATH, or in a virtual environment?")
    return facts, problems


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as failure:
        return str(failure)
    return done.stdout + done.stderr
