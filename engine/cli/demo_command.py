"""`remask demo`: a block being denoised step by step, and a broken file mended, on a sample or on a file of yours."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from engine.cli.repair_command import show, summary
from engine.cli.source_file import read_source
from engine.errors import BadRequestError
from engine.sampler import Trace
from engine.types import CompleteRequest, RepairRequest
from engine.vocabulary import Vocabulary

MASK = "░░"
CURSOR = "<|>"

SAMPLE = '''import json


def load_settings(path):
    """Read the settings file."""
    with open(path, encoding="utf-8") as handle:
        return json.<|>


class Cart:
    def __init__(self):
        self.items = []

    def add(self, name, price, count=1):
        self.items.append((name, price, count))

    def total(self):
        return sum(price * count for _, price, count in self.items)
'''

BROKEN = (
    SAMPLE.replace("<|>", "load(handle)")
    .replace("price, count))", "price, count)")
    .replace("total(self):", "total(self)")
)


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("demo", help="watch a draft being denoised, step by step")
    parser.add_argument("file", nargs="?", help="a file of yours; without it, a sample")
    parser.add_argument("--line", type=int, help="1-based line of the cursor")
    parser.add_argument("--column", type=int, help="1-based column of the cursor")
    parser.add_argument("--block", type=int, default=8, metavar="K", help="tokens denoised together (default 8)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw what was shown into an SVG picture")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")


def run(args: argparse.Namespace) -> int:
    """Exit 0; 2 for bad input."""
    console = Console(highlight=False, record=args.svg is not None, width=100 if args.svg else None)
    if args.file:
        file = read_source(args.file)
        lines = file.text.split("\n")
        line = args.line or len(lines)
        at = file.offset(line, args.column or len(lines[min(line, len(lines)) - 1].removesuffix("\r")) + 1)
        prefix, suffix, language, broken = file.text[:at], file.text[at:], file.language, None
    else:
        prefix, suffix = SAMPLE.split(CURSOR)
        language, broken = "python", BROKEN
    import engine

    with engine.load(args.device, memory=False, model=args.model, sampler="denoise") as e:
        e.completer.denoise.block = args.block
        console.print(f"[bold]Denoising[/bold] in blocks of {args.block} with {e.model} on {e.device}\n")
        stage = Stage(console, e.vocabulary, prefix)
        answer = e.run_complete(CompleteRequest(prefix, suffix, language), observe=stage.show)
        final = answer.items[0].text if answer.items else "(nothing held up)"
        console.print(Text.assemble("\nthe parser accepts  ", (final, "bold green")))
        console.print(f"{answer.steps} passes, {answer.timings_ms['total']:.0f} ms\n", style="dim")
        if broken is not None:
            console.print("[bold]Repairing[/bold] a file with a missing bracket and a missing colon\n")
            repaired = e.run_repair(RepairRequest(broken, language), observe=Stage(console, e.vocabulary, "").show)
            show(console, "sample.py", broken, repaired.repair.text)
            console.print(summary(repaired, "sample.py", False).replace("nothing written (use --write)", "in memory"))
    if args.svg is not None:
        _draw(console, args.svg)
    return 0


def _draw(console: Console, file: Path) -> None:
    try:
        file.write_text(console.export_svg(title="remask demo"), encoding="utf-8")
    except OSError as failure:
        raise BadRequestError(f"cannot write {file}: {failure.strerror or failure}") from None


class Stage:
    """Prints each pass: known tokens plain, masks as shade, what the parser sent back to noise in red."""

    def __init__(self, console: Console, vocabulary: Vocabulary, prefix: str) -> None:
        self.console = console
        self.vocabulary = vocabulary
        self.line = prefix[prefix.rfind("\n") + 1 :].lstrip()
        self.last: list[int | None] = []
        self.step = 0

    def show(self, trace: Trace) -> None:
        """One line a pass."""
        self.step += trace.kind != "renoise"
        label = "parser → noise" if trace.kind == "renoise" else f"{trace.kind} {self.step}"
        text = Text(f"{label:>16}  ", style="red" if trace.kind == "renoise" else "cyan")
        text.append(self.line, style="dim")
        for i, token in enumerate(trace.tokens):
            known_before = i < len(self.last) and self.last[i] == token
            if token is None:
                text.append(MASK, style="red" if trace.kind == "renoise" else "grey42")
            else:
                spelled = self.vocabulary.bytes[token].decode("utf-8", "replace").replace("\n", "⏎")
                text.append(spelled or "⟨end⟩", style="white" if known_before else "bold green")
        self.last = list(trace.tokens)
        self.console.print(text, soft_wrap=True)
