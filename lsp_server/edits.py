"""Edits of the engine as LSP workspace edits."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types

from engine.types import Edit
from lsp_server.documents import Snapshot


def text_edits(snapshot: Snapshot, edits: Iterable[Edit]) -> list[types.TextEdit]:
    """Edits with the document's own line breaks."""
    newline = snapshot.newline
    return [
        types.TextEdit(snapshot.lines.range(e.start, e.end), e.new.replace("\r\n", "\n").replace("\n", newline))
        for e in edits
    ]


def workspace_edit(
    snapshot: Snapshot, edits: Iterable[Edit], capabilities: types.ClientCapabilities, confirm: str | None = None
) -> types.WorkspaceEdit:
    """For exactly this version where the client can say so; `confirm` asks it to show the change first."""
    changes = text_edits(snapshot, edits)
    workspace = capabilities.workspace
    able = workspace.workspace_edit if workspace else None
    if able is None or not able.document_changes:
        return types.WorkspaceEdit(changes={snapshot.uri: changes})
    document = types.OptionalVersionedTextDocumentIdentifier(uri=snapshot.uri, version=snapshot.version)
    if confirm is None or able.change_annotation_support is None:
        return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(document, changes)])
    annotated = [types.AnnotatedTextEdit("remask", e.range, e.new_text) for e in changes]
    return types.WorkspaceEdit(
        document_changes=[types.TextDocumentEdit(document, annotated)],
        change_annotations={"remask": types.ChangeAnnotation(confirm, needs_confirmation=True)},
    )
