"""workspace/didChangeConfiguration, and workspace/configuration for clients that are asked rather than tell."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lsprotocol import types

from lsp_server.features.handling import notification
from lsp_server.settings import SECTION

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

logger = logging.getLogger("remask.configuration")
ANSWER_SECONDS = 5.0


def register(server: Server) -> None:
    """Register the notification."""
    notification(server, types.WORKSPACE_DID_CHANGE_CONFIGURATION, did_change)


def did_change(session: Session, params: types.DidChangeConfigurationParams) -> None:
    """New settings: pulled where the client can be asked, else as they were sent."""
    workspace = session.server.client_capabilities.workspace
    if workspace is not None and workspace.configuration:
        session.spawn(pull(session))
    else:
        session.apply(session.initial, params.settings)


async def pull(session: Session) -> None:
    """Ask the client for the section `remask`; one that does not answer is served with what is known."""
    workspace = session.server.client_capabilities.workspace
    try:
        if workspace is not None and workspace.configuration:
            asked = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await session.server.workspace_configuration_async(asked)
            session.apply(session.initial, *found[:1])
    except TimeoutError:
        logger.warning("the client does not answer workspace/configuration")
    finally:
        session.configured.set()
    told = workspace.did_change_configuration if workspace else None
    if told is not None and told.dynamic_registration:
        await _listen(session)


async def _listen(session: Session) -> None:
    """Ask to be told of changes; once."""
    if session.listens:
        return
    session.listens = True
    options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
    registration = types.Registration("remask-settings", types.WORKSPACE_DID_CHANGE_CONFIGURATION, options)
    await session.server.client_register_capability_async(types.RegistrationParams([registration]))
