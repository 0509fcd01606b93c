"""codeAction/resolve and remask.rewrite: the selection sent back to noise, computed when it is chosen, not before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from engine.errors import CancelledError, RemaskError
from engine.types import Edit, RewriteRequest
from lsp_server import secrets
from lsp_server.documents import Snapshot
from lsp_server.edits import workspace_edit
from lsp_server.features.handling import request

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

KIND = "refactor.rewrite.remask"
COMMAND = "remask.rewrite"
DEGREES = {"light": "a little", "half": "half of it", "full": "all of it"}
SECONDS = 15.0
CHANGED = "the text has changed since the rewrite was chosen: it stays as it is"


def register(server: Server) -> None:
    """Register the request and the command for clients that resolve nothing."""
    request(server, types.CODE_ACTION_RESOLVE, resolve, lambda action: action)


def offers(session: Session, snapshot: Snapshot, start: int, end: int) -> list[types.CodeAction]:
    """The three degrees for a selection, without their edits."""
    settings = session.settings.rewrite
    selected = snapshot.text[start:end]
    rows = snapshot.lines.row(end) - snapshot.lines.row(start) + 1
    if not settings.enable or not selected.strip() or rows > settings.max_lines or session.excluded(snapshot):
        return []
    able = session.server.client_capabilities.text_document
    action = able.code_action if able else None
    resolves = bool(action and action.resolve_support and "edit" in action.resolve_support.properties)
    found = []
    for degree, words in DEGREES.items():
        data = {"uri": snapshot.uri, "version": snapshot.version, "start": start, "end": end, "degree": degree}
        title = f"Remask: rewrite {words}"
        command = None if resolves else types.Command(title, COMMAND, arguments=[data])
        found.append(types.CodeAction(title, kind=f"{KIND}.{degree}", data=data, command=command))
    return found


async def resolve(session: Session, action: types.CodeAction) -> types.CodeAction:
    """The action with its edit; without one, and a word to the person, when nothing else held up."""
    data = action.data
    if isinstance(data, dict):
        action.edit = await rewritten(session, data)
    return action


async def apply(session: Session, data: object = None, *_: object) -> object:
    """The command: compute and have the client apply."""
    edit = await rewritten(session, data) if isinstance(data, dict) else None
    if edit is None:
        return {"applied": False}
    params = types.ApplyWorkspaceEditParams(edit, label="Remask: rewrite")
    answer = await session.server.workspace_apply_edit_async(params)
    return {"applied": answer.applied}


async def rewritten(session: Session, data: dict[str, Any]) -> types.WorkspaceEdit | None:
    """The edit that an offer promised; None, and a word to the person who waits for it, when there is none to make."""
    start, end, degree = data.get("start"), data.get("end"), data.get("degree")
    document = session.documents.get(str(data.get("uri")))
    if document is None or document.snapshot.version != data.get("version"):
        session.server.inform(CHANGED)
        return None
    if not isinstance(start, int) or not isinstance(end, int) or degree not in DEGREES:
        return None
    snapshot = document.snapshot
    if snapshot.language is None or not session.looks_at(snapshot) or session.excluded(snapshot):
        return None
    ask = RewriteRequest(
        text=snapshot.clean,
        start=start,
        end=end,
        language=snapshot.language.name,
        degree=str(degree),
        path=snapshot.path,
        deadline=time.monotonic() + SECONDS,
    )
    try:
        with session.thinking():
            answer = await session.engine.rewrite(ask, document=f"{snapshot.uri}#rewrite")
    except CancelledError:
        return None  # another was chosen since
    except RemaskError as error:
        session.engine_failed(error)
        session.server.inform(f"the selection could not be rewritten: {error}")
        return None
    edit = answer.edit
    if document.snapshot.version != snapshot.version:
        session.server.inform(CHANGED)
        return None
    if edit is None or _shows_secret(session, edit):
        session.server.inform("nothing else held up here: the selection stays as it is")
        return None
    capabilities = session.server.client_capabilities
    return workspace_edit(snapshot, [edit], capabilities, confirm="Remask: rewrite the selection")


def _shows_secret(session: Session, edit: Edit) -> bool:
    return session.settings.withhold_secrets and bool(secrets.find(edit.new)) and not secrets.find(edit.old)
