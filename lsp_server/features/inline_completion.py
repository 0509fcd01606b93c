"""textDocument/inlineCompletion: ghost text (LSP 3.18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from lsp_server.features.commands import ACCEPTED
from lsp_server.features.handling import request

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session


def register(server: Server) -> None:
    """Register the request. Without options pygls would not announce it, and no client would ask."""
    options = types.InlineCompletionOptions()
    request(server, types.TEXT_DOCUMENT_INLINE_COMPLETION, inline_completion, lambda _: [], options)


async def inline_completion(session: Session, params: types.InlineCompletionParams) -> list[types.InlineCompletionItem]:
    """Suggestions at the cursor, each with the range that it replaces (Neovim 0.12.0 fails on items without one)."""
    document = session.documents.get(params.text_document.uri)
    if document is None:
        return []
    context = params.context
    invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    lines = document.snapshot.lines
    found = await session.suggester.suggest(document, params.position, invoked, context.selected_completion_info)
    uri = params.text_document.uri
    return [
        types.InlineCompletionItem(
            insert_text=s.text,
            range=lines.range(s.start, s.end),
            command=types.Command("Remask: count this suggestion", ACCEPTED, arguments=[uri]),
        )
        for s in found
    ]
