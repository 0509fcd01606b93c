"""textDocument/didOpen, didChange, didClose, didSave: incremental synchronisation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lsprotocol import types

from lsp_server.documents import unix
from lsp_server.features.completion import in_popup
from lsp_server.features.handling import notification

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

logger = logging.getLogger("remask.sync")


def register(server: Server) -> None:
    """Register the four notifications."""
    notification(server, types.TEXT_DOCUMENT_DID_OPEN, did_open)
    notification(server, types.TEXT_DOCUMENT_DID_CHANGE, did_change)
    notification(server, types.TEXT_DOCUMENT_DID_CLOSE, did_close)
    notification(server, types.TEXT_DOCUMENT_DID_SAVE, did_save)


def did_open(session: Session, params: types.DidOpenTextDocumentParams) -> None:
    """Follow a document, look for problems, and let the engine read it ahead."""
    document = session.documents.open(params.text_document)
    session.type_along.forget(params.text_document.uri)
    session.diagnosis.opened(document)
    session.silence(document)
    if session.looks_at(document.snapshot) and not session.excluded(document.snapshot):
        session.start_engine()
    session.memory.changed(document)


def did_change(session: Session, params: types.DidChangeTextDocumentParams) -> None:
    """Apply changes; what was computed for the older text is dropped by its version."""
    uri = params.text_document.uri
    document = session.documents.get(uri)
    if document is None:
        logger.warning("a change to a document that is not open: %s", uri)
        return
    edits = document.change(params.text_document.version, params.content_changes)
    session.shown.changed(uri, unix(document.snapshot.text), max((len(e.new) for e in edits), default=0))
    session.diagnosis.changed(document, edits)
    session.memory.changed(document)


def did_close(session: Session, params: types.DidCloseTextDocumentParams) -> None:
    """Stop following; its problems are withdrawn."""
    uri = params.text_document.uri
    session.latest.cancel(uri)
    session.latest.cancel(in_popup(uri))
    session.shown.closed(uri)
    session.type_along.forget(uri)
    document = session.documents.close(uri)
    session.left(uri)
    session.diagnosis.closed(uri)
    if document is not None:
        session.memory.closed(document)


def did_save(session: Session, params: types.DidSaveTextDocumentParams) -> None:
    """A .gitignore that was saved may exclude other files now."""
    if params.text_document.uri.endswith("/.gitignore"):
        session.exclusions.forget_gitignores()
        session.refresh()
