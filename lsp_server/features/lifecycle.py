"""initialize, initialized, shutdown."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, cast

from lsprotocol import types
from pygls.uris import to_fs_path

from engine.service.process import keep_loaded
from lsp_server.features import configuration, watched_files
from lsp_server.features.handling import notification, request
from lsp_server.pacing import NEOVIM_WAITS
from lsp_server.positions import Encoding

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

logger = logging.getLogger("remask.lifecycle")


def register(server: Server) -> None:
    """Register the three, and the change of workspace folders."""
    notification(server, types.INITIALIZE, initialize)
    notification(server, types.INITIALIZED, initialized)
    request(server, types.SHUTDOWN, shutdown, lambda _: None)
    notification(server, types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, folders_changed)


def initialize(session: Session, params: types.InitializeParams) -> None:
    """Note what the client is and can do; pygls answers with the capabilities."""
    from lsp_server.features import register_for

    server = session.server
    client = params.client_info
    server.client_name = client.name if client else ""
    document = params.capabilities.text_document
    has_inline = document is not None and document.inline_completion is not None
    if has_inline and waits_by_itself(client):
        session.pacing.client_waits = NEOVIM_WAITS
    session.documents.encoding = encoding(server.workspace.position_encoding)
    folders = [folder.uri for folder in params.workspace_folders or []]
    if not folders and params.root_uri:
        folders = [params.root_uri]
    session.set_folders([path for uri in folders if (path := to_fs_path(uri))])
    session.initial = params.initialization_options
    session.apply(session.initial)
    register_for(server, has_inline)


def waits_by_itself(client: types.ClientInfo | None) -> bool:
    """Whether a client debounces: Neovim's own inline completion, from 0.12 on; our fallback for 0.11 does not."""
    if client is None or client.name != "Neovim":
        return False
    version = re.match(r"(\d+)\.(\d+)", client.version or "")
    return version is not None and (int(version[1]), int(version[2])) >= (0, 12)


def encoding(agreed: object) -> Encoding:
    """What pygls and the client agreed on, by its name."""
    for name in ("utf-8", "utf-32"):
        if str(getattr(agreed, "value", agreed)) == name:
            return cast(Encoding, name)
    return "utf-16"


def initialized(session: Session, params: types.InitializedParams) -> None:
    """Ask for settings and for news of files; both are optional for a client."""
    server = session.server
    name = server.client_name or "a client without a name"
    logger.info("remask %s serves %s, positions in %s", server.version, name, session.documents.encoding)
    session.started = True
    session.refresh()
    session.spawn(configuration.pull(session))
    session.spawn(watched_files.watch(session))
    keep_loaded()


async def shutdown(session: Session, params: None) -> None:
    """Stop all work; the engine process stays for other editors."""
    await session.close()


def folders_changed(session: Session, params: types.DidChangeWorkspaceFoldersParams) -> None:
    """Workspace folders were added or removed."""
    gone = {to_fs_path(folder.uri) for folder in params.event.removed}
    added = [path for folder in params.event.added if (path := to_fs_path(folder.uri))]
    session.set_folders([f for f in session.folders if f not in gone] + added)
    session.memory.refresh()
