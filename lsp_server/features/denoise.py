"""remask/denoise, a request of our own: a completion as it comes into being, for a view that shows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from engine.types import CompleteRequest
from lsp_server.features.handling import request
from lsp_server.features.own import document_uri, position
from lsp_server.suggest import MULTILINE, unix, utf8

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

METHOD = "remask/denoise"


def register(server: Server) -> None:
    """Register the request."""
    request(server, METHOD, denoise, nothing)


def nothing() -> dict[str, object]:
    """The answer where nothing may be said."""
    return {"steps": [], "text": ""}


async def denoise(session: Session, params: Any) -> dict[str, object]:
    """`{textDocument, position}` → `{steps: [{kind, tokens, changed}], text}`; a mask is a null among the tokens."""
    at = position(params)
    document = session.documents.get(document_uri(params))
    if document is None:
        return nothing()
    snapshot = document.snapshot
    if snapshot.language is None or not session.looks_at(snapshot) or session.excluded(snapshot):
        return nothing()
    cursor = snapshot.lines.offset(at)
    settings = session.settings.completion
    steps: list[dict[str, object]] = []
    answer = await session.engine.complete(
        CompleteRequest(
            prefix=utf8(unix(snapshot.text[:cursor])),
            suffix=utf8(unix(snapshot.text[cursor:])),
            language=snapshot.language.name,
            path=snapshot.path,
            max_tokens=settings.max_tokens,
            multiline=MULTILINE[settings.multiline],
            deadline=time.monotonic() + settings.invoked_timeout_ms / 1e3,
        ),
        document=f"{snapshot.uri}#denoise",
        trace=lambda step: steps.append({"kind": step["event"], "tokens": step["pieces"], "changed": step["changed"]}),
    )
    return {"steps": steps, "text": answer.items[0].text if answer.items else ""}
