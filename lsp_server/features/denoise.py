"""remask/denoise, a request of our own: a completion as it comes into being, for a view that shows it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lsp_server import secrets
from lsp_server.features.handling import request
from lsp_server.features.own import document_uri, position
from lsp_server.suggest import completion_request

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

logger = logging.getLogger("remask.denoise")
METHOD = "remask/denoise"


def register(server: Server) -> None:
    """Register the request."""
    request(server, METHOD, denoise, lambda _: nothing())


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
    seconds = settings.invoked_timeout_ms / 1e3
    steps: list[dict[str, Any]] = []
    answer = await session.engine.complete(
        completion_request(settings, snapshot, snapshot.text[:cursor], snapshot.text[cursor:], seconds),
        document=f"{snapshot.uri}#denoise",
        trace=lambda step: steps.append({"kind": step["event"], "tokens": step["pieces"], "changed": step["changed"]}),
    )
    text = answer.items[0].text if answer.items else ""
    if session.settings.withhold_secrets:
        on_the_way = ("".join(token or "" for token in step["tokens"]) for step in steps)
        if any(secrets.appears(snapshot.text[:cursor], said) for said in (text, *on_the_way)):
            logger.info("a completion was withheld: it contains what looks like a secret")
            return nothing()
    return {"steps": steps, "text": text}
