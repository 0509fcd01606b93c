"""Commands with subcommands: each of these a module with `add_arguments(parser)` and `run(args) -> exit code`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def declare(subparsers: Any, command: str, summary: str, subcommands: Mapping[str, tuple[str, str]]) -> None:
    """Declare `command` with its subcommands, given as name: (module, summary)."""
    parser = subparsers.add_parser(command, help=summary)
    inner = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    for name, (where, what) in subcommands.items():
        importlib.import_module(where).add_arguments(inner.add_parser(name, help=what))
