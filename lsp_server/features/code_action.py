"""textDocument/codeAction: verified fixes, known before they are asked for, and offers to rewrite a selection.

This request never computes anything: editors send it on every move of the cursor and before saving.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsprotocol import types

from lsp_server.diagnosis import SOURCE
from lsp_server.documents import Snapshot
from lsp_server.edits import workspace_edit
from lsp_server.features import rewrite
from lsp_server.features.handling import request
from lsp_server.fixes import Fix

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

FIX_ALL = "source.fixAll.remask"


def register(server: Server) -> None:
    """Register the request."""
    kinds = [types.CodeActionKind.QuickFix, FIX_ALL, *(f"{rewrite.KIND}.{degree}" for degree in rewrite.DEGREES)]
    options = types.CodeActionOptions(code_action_kinds=kinds, resolve_provider=True)
    request(server, types.TEXT_DOCUMENT_CODE_ACTION, code_action, lambda _: [], options)


async def code_action(session: Session, params: types.CodeActionParams) -> list[types.CodeAction]:
    """Fixes for the problems that the range touches, and one for the whole file."""
    document = session.documents.get(params.text_document.uri)
    if document is None:
        return []
    snapshot = document.snapshot
    start, end = snapshot.lines.offsets(params.range)
    session.cursor_seen(document, start)
    if not session.looks_at(snapshot):
        return []
    if start == end:
        session.suggester.warm(document, start)
    known = session.diagnosis.known_fixes(snapshot)
    capabilities = session.server.client_capabilities
    found: list[types.CodeAction] = []
    if wanted(types.CodeActionKind.QuickFix, params.context.only):
        row = snapshot.lines.row
        for fix in known:
            p = fix.problem
            if p is not None and row(start) <= row(p.end) and row(p.start) <= row(end):
                found.append(quick_fix(snapshot, fix, params.context.diagnostics, capabilities))
    whole = next((fix for fix in known if fix.problem is None), None)
    if whole is not None and wanted(FIX_ALL, params.context.only, unasked=False):
        edit = workspace_edit(snapshot, whole.edits, capabilities)
        found.append(types.CodeAction(f"Remask: {whole.title}", kind=FIX_ALL, edit=edit))
    if start < end:
        rewrites = rewrite.offers(session, snapshot, start, end)
        found += [action for action in rewrites if wanted(str(action.kind), params.context.only)]
    return found


def quick_fix(
    snapshot: Snapshot, fix: Fix, diagnostics: Sequence[types.Diagnostic], capabilities: types.ClientCapabilities
) -> types.CodeAction:
    """A fix as a plain edit."""
    assert fix.problem is not None
    line = snapshot.lines.row(fix.problem.start)
    return types.CodeAction(
        title=f"Remask: {fix.title}",
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[d for d in diagnostics if d.source == SOURCE and d.range.start.line == line],
        is_preferred=fix.preferred,
        edit=workspace_edit(snapshot, fix.edits, capabilities),
        tags=llm_generated(capabilities),
    )


def llm_generated(capabilities: types.ClientCapabilities) -> list[types.CodeActionTag] | None:
    """The tag for what a model wrote, for clients that know it."""
    document = capabilities.text_document
    action = document.code_action if document else None
    tags = action.tag_support if action else None
    if tags is None or types.CodeActionTag.LlmGenerated not in tags.value_set:
        return None
    return [types.CodeActionTag.LlmGenerated]


def wanted(kind: str, only: Sequence[str] | None, unasked: bool = True) -> bool:
    """Whether a client that asks for `only` these kinds (None: whatever there is) wants `kind`."""
    if only is None:
        return unasked
    return any(kind == asked or kind.startswith(asked + ".") or asked == "" for asked in only)
