"""What `remask doctor` says of a team's engine: whether it can be reached, and where the token is; never the token."""

from __future__ import annotations

import asyncio
import time

from engine.errors import RemaskError
from engine.remote import token
from engine.remote.address import Address
from engine.remote.dial import dial
from engine.remote.token import Token


def examine(url: str, plaintext: bool) -> tuple[dict[str, str], list[str]]:
    """Facts by name, and what is wrong."""
    facts = {"team's engine": url}
    try:
        address = Address.parse(url, plaintext)
        facts["team's engine"] = address.url
        found = token.needed(address)
        facts["team's token"] = f"from {found.source}" if found else "none"
        facts["team's engine"] = asyncio.run(_call(address, found))
    except RemaskError as wrong:
        return facts, [str(wrong)]
    return facts, []


async def _call(address: Address, found: Token | None) -> str:
    started = time.perf_counter()
    wire, welcome = await dial(address, found)
    took = (time.perf_counter() - started) * 1e3
    wire.close()
    await wire.closed()
    what = f"{welcome.get('model') or 'no model yet'} on {welcome.get('device') or 'no device yet'}"
    return (
        f"{address.url}: Remask {welcome.get('version', '?')}, {what}, connected in {took:.0f} ms; "
        "the text of the file that you are in is sent there"
    )
