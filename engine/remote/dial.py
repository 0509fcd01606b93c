"""Calling a team's engine: the upgrade with a token, the welcome, and a reason in words for everything else."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
from typing import Any

from engine.errors import EngineUnavailableError
from engine.remote.address import Address, SetupError
from engine.remote.token import INSTALL, Token
from engine.remote.wire import CLOSE_SECONDS, SocketWire
from engine.service.backoff import MOST_SECONDS
from engine.service.frames import MAX_FRAME, Message

PROTOCOL = 1
DIAL_SECONDS = 10.0
PING_SECONDS = 20.0  # a connection that answers no ping for so long is dead
LONGEST_REASON = 200  # characters of a server's words that are shown

_quiet = logging.getLogger("websockets.client.remask")
_quiet.setLevel(logging.WARNING)  # its debug records hold headers, and so the token


class RefusedError(EngineUnavailableError):
    """The engine answered, and will not serve; `wait` is how many seconds it wants to be left alone."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class TokenRefusedError(RefusedError):
    """The token is unknown, revoked or expired: asking again with the same one is of no use."""


async def dial(address: Address, token: Token | None) -> tuple[SocketWire, Message]:
    """An open connection and the engine's welcome.

    Raises `SetupError` for what the user must mend, `TokenRefusedError` and `RefusedError` for what the engine said,
    `EngineUnavailableError` when there is none.
    """
    connect = _no_redirects()
    headers = {"Authorization": f"Bearer {token.text}"} if token else {}
    host = address.host
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            # The proxy of the system's settings is used, but not to reach this very machine.
            socket = await connect(
                address.url,
                additional_headers=headers,
                proxy=None if address.loopback else True,
                max_size=MAX_FRAME,
                open_timeout=None,
                close_timeout=CLOSE_SECONDS,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                logger=_quiet,
            )
            wire = SocketWire(socket)
            try:
                welcome = await wire.receive()
            except BaseException:
                wire.close()
                raise
    except TimeoutError:
        raise EngineUnavailableError(f"{host} does not answer") from None
    except ssl.SSLCertVerificationError as wrong:
        raise EngineUnavailableError(
            f"the certificate of {host} is not trusted ({wrong.verify_message}): if your team has a certificate "
            "authority of its own, name its file in the environment variable SSL_CERT_FILE"
        ) from None
    except ssl.SSLError as wrong:  # an OSError too, whose number is not one of the system's
        raise EngineUnavailableError(
            f"{host} does not speak TLS ({_plain(str(wrong.reason or wrong))}): is the port right?"
        ) from None
    except OSError as nobody:
        said = nobody.strerror or str(nobody) or "it hung up"
        why = os.strerror(nobody.errno) if nobody.errno and nobody.errno > 0 else said
        raise EngineUnavailableError(f"{host} cannot be reached ({why})") from None
    except Exception as other:
        raise _in_words(host, token, other) from None
    return wire, _checked(host, wire, welcome)


def _no_redirects() -> Any:
    """`websockets.connect`, but a token goes to the host that was named and to no other."""
    try:
        from websockets.asyncio.client import connect
    except ImportError:
        raise SetupError(f"a team's engine needs the package websockets: {INSTALL}") from None

    class Connect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    return Connect


def _checked(host: str, wire: SocketWire, welcome: Message | None) -> Message:
    if welcome is None:
        wire.close()
        raise ended(host, wire)
    if welcome.get("kind") != "welcome":
        wire.close()
        raise EngineUnavailableError(f"whatever listens at {host} is no engine of Remask: see remask.engine.url")
    if welcome.get("protocol") != PROTOCOL:
        wire.close()
        raise RefusedError(
            f"{host} speaks protocol {str(welcome.get('protocol'))[:10]}, this client {PROTOCOL}: update the older one",
            MOST_SECONDS,
        )
    if isinstance(limit := welcome.get("max_bytes"), int):
        wire.max_bytes = limit
    return welcome


def ended(host: str, wire: SocketWire) -> EngineUnavailableError:
    """Why a connection is over, by its close code."""
    said = f" ({_plain(wire.reason)})" if wire.reason else ""
    match wire.code:
        case 4401:
            return TokenRefusedError(f"{host} no longer accepts your token{said}", MOST_SECONDS)
        case 1013 | 1008:
            return RefusedError(f"{host} has no room for this client at the moment{said}")
        case 4400 | 1009:
            return RefusedError(f"{host} could not read or would not take a message{said}")
        case 1001 | 1012:
            return EngineUnavailableError(f"{host} is being restarted{said}")
        case _:
            return EngineUnavailableError(f"the connection to {host} was lost{said}")


def _in_words(host: str, token: Token | None, failure: Exception) -> EngineUnavailableError:
    from websockets.exceptions import InvalidProxyStatus, InvalidStatus, ProxyError, WebSocketException

    if isinstance(failure, ProxyError):
        status = failure.response.status_code if isinstance(failure, InvalidProxyStatus) else _plain(str(failure))
        return EngineUnavailableError(
            f"the proxy refused to connect to {host} ({status}): see the environment variables https_proxy and NO_PROXY"
        )
    if not isinstance(failure, InvalidStatus):
        if isinstance(failure, WebSocketException):
            return EngineUnavailableError(f"{host} does not speak WebSocket ({type(failure).__name__})")
        return _not_even_called(host, failure)
    response = failure.response
    status, said = response.status_code, _message(response.body)
    if status in (401, 403):
        whose = f"the token from {token.source}" if token else "a client without a token"
        return TokenRefusedError(
            f"{host} does not accept {whose}{said}: get another and run `remask token set`", MOST_SECONDS
        )
    if status in (429, 503):
        after = response.headers.get("Retry-After", "")
        return RefusedError(f"{host} has no room at the moment{said}", float(after) if after.isdecimal() else 0.0)
    return EngineUnavailableError(f"{host} answered with HTTP status {status}{said}: see remask.engine.url")


def _not_even_called(host: str, failure: Exception) -> EngineUnavailableError:
    """What failed on this machine, before the network or beside it."""
    why = _plain(f"{type(failure).__name__}: {failure}")
    if isinstance(failure, ImportError):
        return SetupError(
            f"{host} cannot be reached ({why}): install that package beside Remask (a SOCKS proxy needs "
            "`pip install python-socks`), or name the host in the environment variable NO_PROXY"
        )
    if isinstance(failure, UnicodeError):
        return SetupError(f"{host} is no name of a host ({why}): correct remask.engine.url")
    return EngineUnavailableError(f"{host} cannot be reached ({why})")


def _message(body: bytes | bytearray | None) -> str:
    try:
        raw = json.loads(body or b"")
    except ValueError:
        return ""
    text = raw.get("message") if isinstance(raw, dict) else None
    return f" ({_plain(text)})" if isinstance(text, str) and text else ""


def _plain(text: str) -> str:
    """A stranger's words on one short line."""
    return "".join(c if c.isprintable() else " " for c in text)[:LONGEST_REASON]
