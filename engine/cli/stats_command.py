"""`remask stats`: how many suggestions were shown, accepted and rejected in this user's editors. All local."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from lsp_server import counters


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("stats", help="count suggestions shown, accepted and rejected in your editors")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--reset", action="store_true", help="delete the counts")


def run(args: argparse.Namespace) -> int:
    """Exit 0, also when nothing was counted yet."""
    path = counters.file()
    if args.reset:
        path.unlink(missing_ok=True)
    found = counters.read(path)
    if args.json:
        print(json.dumps({"file": str(path), "languages": found}))
        return 0
    console = Console(highlight=False)
    if not found:
        console.print("Nothing was counted yet: suggestions are, once an editor runs `remask lsp`.")
        return 0
    table = Table("language", *counters.KINDS, "acceptance", box=None, header_style="bold")
    for language, counts in found.items():
        decided = counts["accepted"] + counts["partly accepted"] + counts["rejected"]
        taken = counts["accepted"] + counts["partly accepted"]
        share = f"{taken / decided:.0%}" if decided else "–"
        table.add_row(language, *(str(counts[kind]) for kind in counters.KINDS), share)
    console.print(table)
    console.print(f"[dim]Kept in {path}, sent nowhere; remask stats --reset deletes it.[/dim]", soft_wrap=True)
    return 0
