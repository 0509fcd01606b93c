"""One module for each method of the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsp_server.features import (
    code_action,
    commands,
    completion,
    configuration,
    denoise,
    fingerprint,
    inline_completion,
    lifecycle,
    rewrite,
    text_sync,
    watched_files,
)

if TYPE_CHECKING:
    from lsp_server.server import Server

MODULES = (
    lifecycle,
    text_sync,
    inline_completion,
    code_action,
    rewrite,
    configuration,
    watched_files,
    commands,
    denoise,
    fingerprint,
)


def register(server: Server) -> None:
    """Register everything that is offered to every client."""
    for module in MODULES:
        module.register(server)


def register_for(server: Server, has_inline: bool) -> None:
    """Register what depends on the client: the ordinary completion list, for those that have nothing better."""
    popup = server.session.settings.completion.popup
    if popup == "always" or (popup == "auto" and not has_inline):
        completion.register(server)
