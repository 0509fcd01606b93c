"""`remask repair FILE`: the smallest verified edits that make a file parse."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from engine.cli.source_file import SourceFile, read_source
from engine.types import RepairAnswer, RepairRequest

STYLES = {"+": "green", "-": "red", "@": "cyan"}
NO_NEWLINE = "\\ No newline at end of file\n"


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("repair", help="repair a file that does not parse")
    parser.add_argument("file")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the edits as JSON")
    form.add_argument("--diff", action="store_true", help="print a unified diff and nothing else")
    form.add_argument("--write", action="store_true", help="mend the file in place")
    parser.add_argument("--language", help="instead of the one the file's extension says")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the file is clean or can be fixed, 1 when errors are left, 2 for bad input."""
    file = read_source(args.file, args.language)
    import engine  # after the input is known to be good: a wrong path is told at once

    with engine.load(args.device, memory=False, model=args.model) as e:
        answer = e.run_repair(RepairRequest(file.text, file.language, args.file, args.seed))
    repair = answer.repair
    if args.write and repair.edits:
        file.write(repair.text)
    if args.json:
        print(json.dumps(as_json(answer)))
    elif args.diff:
        sys.stdout.buffer.write(patch(file, args.file, repair.text))
        sys.stdout.buffer.flush()
    else:
        console = Console(highlight=False)
        show(console, args.file, file.text, repair.text)
        console.print(summary(answer, args.file, args.write))
    return 1 if repair.errors_after else 0


def as_json(answer: RepairAnswer) -> dict[str, Any]:
    """The contract's object."""
    repair = answer.repair
    return {
        "edits": [asdict(edit) for edit in repair.edits],
        "errors_before": repair.errors_before,
        "errors_after": repair.errors_after,
        "steps": answer.steps,
        "timings_ms": answer.timings_ms,
    }


def unified(name: str, old: str, new: str) -> list[str]:
    """A unified diff's lines with their ends, of which a carriage return is a part, as for git."""
    a, b = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (old, new))
    name = name.lstrip("/")
    end = "\t" if " " in name else ""  # as git and GNU patch want it: the name ends here
    lines = difflib.unified_diff(a, b, _quoted(f"a/{name}") + end, _quoted(f"b/{name}") + end)
    return [part for line in lines for part in ([line] if line.endswith("\n") else [line + "\n", NO_NEWLINE])]


def show(console: Console, name: str, old: str, new: str) -> None:
    """Print a unified diff for people."""
    for line in unified(name, old, new):
        console.print(Text(line.rstrip("\r\n"), style=STYLES.get(line[:1], "")), soft_wrap=True)


def _quoted(name: str) -> str:
    """A file's name as git writes it: one that would break the line in quotes."""
    if not any(c in '"\\' or c < " " or c == "\x7f" for c in name):
        return name
    plain = (f"\\{c}" if c in '"\\' else f"\\{ord(c):03o}" if c < " " or c == "\x7f" else c for c in name)
    return f'"{"".join(plain)}"'


def patch(file: SourceFile, name: str, new: str) -> bytes:
    """A unified diff that `git apply` takes: in the file's own bytes."""
    mark = "\ufeff" if file.bom else ""  # belongs to the first line
    lines = unified(name, mark + file.text, mark + new)
    head, body = lines[:2], lines[2:]
    return b"".join([*map(os.fsencode, head), *(line.encode(file.encoding) for line in body)])


def summary(answer: RepairAnswer, name: str, written: bool) -> str:
    """One line for a person."""
    repair, took = answer.repair, f"{answer.timings_ms.get('total', 0):.0f} ms, {answer.steps} forward passes"
    if not repair.errors_before:
        return f"{name} parses: nothing to repair."
    mended = repair.errors_before - repair.errors_after
    state = "written" if written and repair.edits else "nothing written (use --write)"
    if not mended:
        return f"{name}: {repair.errors_before} error(s), none could be repaired with a result that parses ({took})."
    rest = f", {repair.errors_after} left" if repair.errors_after else ""
    return f"{name}: {mended} error(s) repaired with {len(repair.edits)} edit(s){rest}; {state} ({took})."
