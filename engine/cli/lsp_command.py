"""`remask lsp`: the language server over standard input and output, and what an editor's setup asks of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("lsp", help="run the language server over standard input and output")
    parser.add_argument("--stdio", action="store_true", help="accepted for editors that pass it; it is the only way")
    parser.add_argument("--log-file", metavar="FILE", help="write the log to a file from the first line on")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--settings-schema", action="store_true", help="print the settings as a JSON schema and leave")
    parser.add_argument("--settings-docs", action="store_true", help="print docs/settings.md and leave")
    parser.add_argument("--neovim", action="store_true", help="print the folder for Neovim's runtimepath and leave")
    parser.add_argument("--clientProcessId", dest="client", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until the client says exit or goes away; exit 0 after a proper shutdown, 1 without one."""
    if args.settings_schema or args.settings_docs:
        from lsp_server import settings_schema

        schema = json.dumps(settings_schema.schema(), indent=2) + "\n"
        print(schema if args.settings_schema else settings_schema.markdown(), end="")
        return 0
    if args.neovim:
        import lsp_server

        print(Path(lsp_server.__file__).parent / "neovim")
        return 0
    from lsp_server.server import serve

    return serve(args.log_file, args.log_level)
