"""The server: pygls underneath, our own document store, one small module for each method on top."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, PyglsError
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from engine.cli.main import package_version
from engine.service.process import take_short_turns
from lsp_server import log, stdio
from lsp_server.protocol import Protocol
from lsp_server.session import Session

logger = logging.getLogger("remask.server")


class Server(LanguageServer):
    """A pygls server that never shows an error box for what a log line can say."""

    session: Session
    protocol: Protocol

    def __init__(self) -> None:
        super().__init__(
            "remask",
            package_version(),
            types.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
            converter_factory=default_converter,
        )
        self.session = Session(self)
        self.client_name = ""

    @property
    def shows_progress(self) -> bool:
        """Whether the client has a progress bar."""
        window = self.client_capabilities.window
        return bool(window is not None and window.work_done_progress)

    def tell(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification of our own."""
        self.protocol.notify(method, params)

    def publish(self, params: types.PublishDiagnosticsParams) -> None:
        """Send a document's diagnostics."""
        self.text_document_publish_diagnostics(params)

    def warn(self, text: str) -> None:
        """Show a warning to the person: for what only they can mend."""
        self.window_show_message(types.ShowMessageParams(types.MessageType.Warning, f"Remask: {text}"))

    def inform(self, text: str) -> None:
        """Tell the person something that they asked about."""
        self.window_show_message(types.ShowMessageParams(types.MessageType.Info, f"Remask: {text}"))

    def report_server_error(self, error: Exception, source: type[PyglsError | JsonRpcException]) -> None:
        """Into the log: nobody can act on it in the middle of typing."""
        logger.error("%s: %s", source.__name__, error)


def build() -> Server:
    """A server with all features."""
    from lsp_server import features

    server = Server()
    features.register(server)
    return server


def serve(log_file: str | None, log_level: str) -> int:
    """Serve over standard input and output; 0 after a shutdown, 1 without one."""
    log.set_up(log_level)
    if log_file and (wrong := log.to_file(log_file)):
        print(f"remask: {wrong}", file=sys.stderr)
        return 2
    take_short_turns()
    server = build()
    server.session.command_line = {"log": {"level": log_level}}
    log.logger.addHandler(log.ToEditor(server.window_log_message))
    stdout, sys.stdout = sys.stdout.buffer, sys.stderr  # a stray print must not break the protocol
    stdio.run(server, sys.stdin.buffer, stdout)
    server.session.counters.flush()
    # A thread that reads standard input may still wait for a client that keeps it open: leave without it.
    logging.shutdown()
    os._exit(0 if server.protocol.was_shut_down else 1)
