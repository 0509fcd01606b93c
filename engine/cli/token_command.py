"""`remask token set|clear|where URL`: the token of a team's engine in the system's keyring."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from engine.remote import token
from engine.remote.address import Address


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "token",
        help="keep the token of a team's engine in the system's keyring",
        description="`set` asks for the token, or reads it from standard input; `where` says where it comes from. "
        f"The environment variable {token.VARIABLE} goes before the keyring.",
    )
    parser.add_argument("action", choices=("set", "clear", "where"))
    parser.add_argument("url", metavar="URL", help="remask.engine.url: wss://HOST:PORT")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when done, 1 when there is no token, 2 for bad input. The token itself is never printed."""
    address = Address.parse(args.url, plaintext=True)
    if args.action == "set":
        typed = getpass.getpass(f"Token for {address.host}: ") if sys.stdin.isatty() else sys.stdin.readline()
        print(f"The token for {address.host} is in {token.keep(address, typed)}.")
        return 0
    if args.action == "clear":
        gone = token.drop(address)
        print(f"The token for {address.host} is gone." if gone else f"There was no token for {address.host}.")
        return 0 if gone else 1
    found = token.find(address)
    print(f"The token for {address.host} comes from {found.source}." if found else f"No token for {address.host}.")
    return 0 if found else 1
