"""workspace/didChangeWatchedFiles: source files that change on disk, for the memory, and .gitignore files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.uris import to_fs_path

import grammars
from lsp_server.features.handling import notification

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session


def register(server: Server) -> None:
    """Register the notification."""
    notification(server, types.WORKSPACE_DID_CHANGE_WATCHED_FILES, did_change)


def did_change(session: Session, params: types.DidChangeWatchedFilesParams) -> None:
    """Files were created, changed or deleted."""
    if any(change.uri.endswith("/.gitignore") for change in params.changes):
        session.exclusions.forget_gitignores()
        session.refresh()
    for change in params.changes:
        path = to_fs_path(change.uri)
        if path and grammars.for_path(path):
            session.memory.file_changed(path, change.type == types.FileChangeType.Deleted)


async def watch(session: Session) -> None:
    """Ask the client to watch, if it can."""
    workspace = session.server.client_capabilities.workspace
    watched = workspace.did_change_watched_files if workspace else None
    if watched is None or not watched.dynamic_registration:
        return
    extensions = ",".join(sorted(e.lstrip(".") for name in grammars.names() for e in grammars.get(name).extensions))
    patterns = [f"**/*.{{{extensions}}}", "**/.gitignore"]
    options = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher(p) for p in patterns])
    registration = types.Registration("remask-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    await session.server.client_register_capability_async(types.RegistrationParams([registration]))
