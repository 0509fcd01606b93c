"""textDocument/completion: the suggestion as an item of the ordinary list, for clients without ghost text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lsprotocol import types

from lsp_server.documents import Document, Snapshot
from lsp_server.features.commands import ACCEPTED
from lsp_server.features.handling import request
from lsp_server.suggest import Suggestion

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

WORD = re.compile(r"[^\W\d]?\w*\Z")
LABEL = 60  # characters


def register(server: Server) -> None:
    """Register the request; clients ask by themselves while a word is typed, and behind these characters."""
    options = types.CompletionOptions(trigger_characters=[".", "(", "=", ":", " "])
    request(server, types.TEXT_DOCUMENT_COMPLETION, completion, lambda _: types.CompletionList(True, []), options)


async def completion(session: Session, params: types.CompletionParams) -> types.CompletionList:
    """The suggestions as items; the list is asked for anew with each key, for ours are no list of names."""
    document = session.documents.get(params.text_document.uri)
    if document is None:
        return types.CompletionList(True, [])
    snapshot = document.snapshot
    cursor = snapshot.lines.offset(params.position)
    invoked = by_key(document, params.context, cursor)
    document.listed = snapshot.version
    found = await session.suggester.suggest(document, params.position, invoked, asked_as=in_popup(snapshot.uri))
    shows_markdown = _shows_markdown(session.server.client_capabilities)
    items = [item(snapshot, cursor, s, number, shows_markdown) for number, s in enumerate(found)]
    return types.CompletionList(True, items)


def in_popup(uri: str) -> str:
    """What the list asks as: a client may show it beside ghost text, and neither question replaces the other."""
    return f"{uri}#popup"


def by_key(document: Document, context: types.CompletionContext | None, cursor: int) -> bool:
    """Whether a person asked; `Invoked` alone does not say so, for clients also send it behind a typed letter."""
    if context is None or context.trigger_kind != types.CompletionTriggerKind.Invoked:
        return False
    just_typed = document.last_change == "typed" and document.cursor == cursor
    return not just_typed or document.listed == document.snapshot.version


def _shows_markdown(capabilities: types.ClientCapabilities) -> bool:
    document = capabilities.text_document
    item = document.completion.completion_item if document and document.completion else None
    formats = item.documentation_format if item else None
    return bool(formats and types.MarkupKind.Markdown in formats)


def item(snapshot: Snapshot, cursor: int, suggestion: Suggestion, number: int, markdown: bool) -> types.CompletionItem:
    """One suggestion; it begins with the word before the cursor, which is what clients filter by."""
    text = snapshot.text
    found = WORD.search(text, text.rfind("\n", 0, cursor) + 1, cursor)
    start = found.start() if found else cursor
    new = text[start:cursor] + suggestion.text
    first = new.strip().split("\n", 1)[0]
    label = first if len(first) <= LABEL else first[: LABEL - 1] + "…"
    language = snapshot.language.name if snapshot.language else ""
    code = types.MarkupContent(types.MarkupKind.Markdown, f"```{language}\n{new}\n```") if markdown else new
    return types.CompletionItem(
        label=label + ("…" if "\n" in new.strip() else ""),
        kind=types.CompletionItemKind.Text,
        detail="Remask",
        documentation=code,
        filter_text=new.split("\n", 1)[0],
        sort_text=f"~{number}",
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(snapshot.lines.range(start, suggestion.end), new),
        command=types.Command("Remask: count this suggestion", ACCEPTED, arguments=[snapshot.uri]),
    )
