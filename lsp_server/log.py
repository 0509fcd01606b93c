"""The log: to the editor by `window/logMessage`, and to a file if one is set.

Never source code or suggestions: a log is what people paste into bug reports.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from lsprotocol import types

logger = logging.getLogger("remask")
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_LEVELS = {
    logging.DEBUG: types.MessageType.Debug,
    logging.INFO: types.MessageType.Info,
    logging.WARNING: types.MessageType.Warning,
    logging.ERROR: types.MessageType.Error,
}


class ToEditor(logging.Handler):
    """Sends records of `remask` loggers to the client."""

    def __init__(self, send: Callable[[types.LogMessageParams], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a client that is gone is no error of ours."""
        try:
            level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.ERROR)
            self._send(types.LogMessageParams(_LEVELS[level], self.format(record)))
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Nothing: logging about the log would never end."""


def set_up(level: str) -> None:
    """Our own records at `level`; those of the protocol library only when something is wrong."""
    logging.raiseExceptions = False
    logger.setLevel(level.upper())
    logger.propagate = False
    logging.getLogger("pygls").setLevel(logging.ERROR)
    logging.getLogger().handlers = [logging.NullHandler()]


def to_file(path: str) -> str | None:
    """Write to `path` as well, in place of another file; returns what is wrong with it."""
    loggers = (logger, logging.getLogger("pygls"))
    old = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
    where = Path(path).expanduser() if path else None
    if where is not None and any(h.baseFilename == str(where.absolute()) for h in old):
        return None
    for handler in old:
        for each in loggers:
            each.removeHandler(handler)
        handler.close()
    if where is None:
        return None
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(where, encoding="utf-8", errors="backslashreplace")
    except OSError as failure:
        return f"cannot write the log to {where}: {failure.strerror or failure}"
    handler.setFormatter(logging.Formatter(FORMAT))
    for each in loggers:
        each.addHandler(handler)
    return None
