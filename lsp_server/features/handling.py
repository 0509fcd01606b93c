"""How a handler runs: with the session, and never with an exception for the editor to show."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pygls.exceptions import JsonRpcException

from engine.errors import RemaskError

if TYPE_CHECKING:
    from lsp_server.server import Server
    from lsp_server.session import Session

logger = logging.getLogger("remask.handling")

Params = TypeVar("Params")
Result = TypeVar("Result")


def request(
    server: Server,
    method: str,
    handler: Callable[[Session, Params], Awaitable[Result]],
    empty: Callable[[Params], Result],
    options: Any = None,
) -> None:
    """Register a request: cancelled when the client says so, what `empty` makes of it when something fails."""

    async def handle(params: Params) -> Result:
        try:
            return await handler(server.session, params)
        except (asyncio.CancelledError, JsonRpcException):
            raise
        except RemaskError as error:
            server.session.engine_failed(error)
        except Exception:
            logger.exception("%s failed", method)
        return empty(params)

    server.feature(method, options)(handle)


def notification(server: Server, method: str, handler: Callable[[Session, Params], None], options: Any = None) -> None:
    """Register a notification, which is handled before the next message is read."""

    def handle(params: Params) -> None:
        try:
            handler(server.session, params)
        except Exception:
            logger.exception("%s failed", method)

    server.feature(method, options)(handle)
