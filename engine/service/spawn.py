"""Starting an engine process that outlives whoever starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.errors import EngineUnavailableError
from engine.service.options import EngineOptions

LOST_THE_RACE = 75  # exit status of an engine that found another running: EX_TEMPFAIL of sysexits.h

_started: list[subprocess.Popen[bytes]] = []  # kept, so that the system's record of each is collected when it ends


def spawn(options: EngineOptions) -> subprocess.Popen[bytes]:
    """Start `remask engine --background`, detached; its standard error is a pipe until it has opened its log.

    Raises `EngineUnavailableError` when the system refuses.
    """
    _started[:] = [process for process in _started if process.poll() is None]
    no_window = 0x08000000  # CREATE_NO_WINDOW of Windows, where a console would flash up otherwise
    try:
        process = subprocess.Popen(
            command(options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=Path(sys.executable).anchor,  # the editor's folder must stay removable
            start_new_session=True,
            creationflags=no_window if sys.platform == "win32" else 0,
        )
    except OSError as failure:
        raise EngineUnavailableError(f"cannot start {sys.executable}: {failure.strerror or failure}") from None
    _started.append(process)
    return process


def command(options: EngineOptions) -> list[str]:
    """The command line. `-P`: a folder named `engine` in the workspace must not be imported instead of ours."""
    words = [sys.executable, "-P", "-m", "engine.cli.main", "engine", "--background"]
    words += ["--device", options.device, "--idle-minutes", f"{options.idle_minutes:g}"]
    words += ["--log-level", options.log_level, "--transport", options.transport]
    if options.model_folder:
        words += ["--model", options.model_folder]
    if not options.memory:
        words += ["--no-memory"]
    if options.log_file:
        words += ["--log-file", str(Path(options.log_file).absolute())]
    if options.runtime_folder:
        words += ["--runtime-folder", str(Path(options.runtime_folder).absolute())]
    return words


def last_words(process: subprocess.Popen[bytes]) -> str:
    """The last line that a process which has ended wrote to standard error."""
    if process.stderr is None:
        return ""
    lines = process.stderr.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("remask: ") if lines else ""
