"""pygls' protocol with our documents in place of its own, and an answer to every request, even to a malformed one."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, lsp_method

logger = logging.getLogger("remask.protocol")


class Protocol(LanguageServerProtocol):
    """What differs from pygls.

    Its text documents split lines at form feeds and other characters that editors do not count, so positions after one
    are wrong; ours take the changes at once, in the order in which they came.
    """

    _leaving: Future[Any] | None = None  # the answer to a `shutdown`

    @property
    def was_shut_down(self) -> bool:
        """Whether the client said `shutdown`."""
        return self._shutdown

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """Only our handler."""
        self.fm.features[types.TEXT_DOCUMENT_DID_OPEN](params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Only our handler."""
        self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE](params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """Only our handler."""
        self.fm.features[types.TEXT_DOCUMENT_DID_CLOSE](params)

    def structure_message(self, data: dict[str, Any]) -> Any:
        """A message as a typed object; a request whose parameters make no sense is answered with an error."""
        request = data.get("id") if "jsonrpc" in data and "method" in data else None
        try:
            return super().structure_message(data)
        except JsonRpcException as wrong:
            if isinstance(request, int | str):
                self._send_response(request, error=wrong.to_response_error())
            raise

    def handle_message(self, message: Any) -> None:
        """A message; what is not one is logged and dropped, and requests after `shutdown` are answered."""
        if not hasattr(message, "jsonrpc"):
            logger.warning("dropped what is no JSON-RPC 2.0 message")
            return
        if self._shutdown and getattr(message, "method", types.EXIT) != types.EXIT:
            if (request := getattr(message, "id", None)) is not None:
                code = types.ErrorCodes.InvalidRequest
                self._send_response(request, error=types.ResponseError(code, "the server was shut down"))
            return
        super().handle_message(message)
        if getattr(message, "method", None) == types.SHUTDOWN:
            self._leaving = self._request_futures.get(message.id)

    async def ready(self) -> None:
        """Until the next message may be handled: what the last one asked for has begun, a `shutdown` is answered.

        An `exit` right behind it would else end the server with what it still has to save.
        """
        await asyncio.sleep(0)
        if self._leaving is not None:
            await asyncio.wait([asyncio.wrap_future(self._leaving)])
