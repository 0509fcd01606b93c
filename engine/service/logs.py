"""The engine's log: a file that a person can act on. Events, counts and times; never source code.

A log that cannot be written is no reason not to work: the engine says so in `ping` and goes on.
"""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import os
import sys
from pathlib import Path

import platformdirs

from engine.errors import BadRequestError

LEVELS = ("debug", "info", "warning", "error")
MAX_BYTES = 1_000_000
FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"


def default_log_file() -> Path:
    """`engine.log` in the user's log folder."""
    return Path(platformdirs.user_log_dir("remask", appauthor=False)) / "engine.log"


def start_log(file: str | None, level: str, foreground: bool) -> str:
    """Log to a file, and to standard error in the foreground; returns what is wrong with the file, "" if nothing is."""
    if level not in LEVELS:
        raise BadRequestError(f"unknown log level {level!r}: choose one of {', '.join(LEVELS)}")
    logging.raiseExceptions = False  # a full disk must not fill standard error instead
    root = logging.getLogger()
    root.setLevel(level.upper())
    trouble = ""
    path = Path(file) if file else default_log_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_char_device():
            handler: logging.Handler = logging.FileHandler(path, encoding="utf-8")
        else:
            handler = logging.handlers.RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8")
        _add(root, handler)
    except OSError as failure:
        trouble = f"no log is kept: cannot write {path} ({failure.strerror or failure})"
    if foreground:
        _add(root, logging.StreamHandler(sys.stderr))
    return trouble


def redirect_output(file: str | None) -> None:
    """Point standard output and error at the log, so that a crash leaves its traces where people look.

    Whoever started this process may be gone by then: nothing may be written to its pipes any more.
    """
    path = Path(file) if file else default_log_file()
    try:
        target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    faulthandler.enable()


def _add(root: logging.Logger, handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter(FORMAT))
    root.addHandler(handler)
