"""remask/fingerprint, a request of our own: what the server believes a document to be, to find out who is wrong."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from lsp_server.features.handling import request
from lsp_server.features.own import document_uri

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

METHOD = "remask/fingerprint"


def register(server: Server) -> None:
    """Register the request."""
    request(server, METHOD, fingerprint, lambda _: None)


async def fingerprint(session: Session, params: Any) -> dict[str, object] | None:
    """`{textDocument}` → `{version, characters, lines, sha256}`, of the text as UTF-16; null when it is not open."""
    document = session.documents.get(document_uri(params))
    if document is None:
        return None
    snapshot = document.snapshot
    return {
        "version": snapshot.version,
        "characters": len(snapshot.text),
        "lines": len(snapshot.lines),
        "sha256": hashlib.sha256(snapshot.text.encode("utf-16-le", "surrogatepass")).hexdigest(),
    }
