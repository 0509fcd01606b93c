"""`remask complete FILE --line L --column C`: what goes at the cursor."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console
from rich.text import Text

from engine.cli.source_file import SourceFile, read_source
from engine.types import CompleteAnswer, CompleteRequest

CONTEXT_LINES = 4


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("complete", help="complete code at a position in a file")
    parser.add_argument("file")
    parser.add_argument("--line", type=int, required=True, help="1-based line of the cursor")
    parser.add_argument("--column", type=int, required=True, help="1-based: characters before the cursor, plus 1")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--language", help="instead of the one the file's extension says")
    parser.add_argument("--alternatives", type=int, default=1, metavar="N", help="1 to 8 (default 1)")
    parser.add_argument("--max-tokens", type=int, default=64, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--no-memory", action="store_true", help="learn nothing from the project around FILE")
    parser.add_argument("--sampler", default="verified", help="verified (default) or denoise")


def run(args: argparse.Namespace) -> int:
    """Exit 0 when answered, even with nothing; 2 for bad input."""
    file = read_source(args.file, args.language)
    offset = file.offset(args.line, args.column)
    import engine  # after the input is known to be good: a wrong path is told at once
    from engine.cli import project

    request = CompleteRequest(
        prefix=file.text[:offset],
        suffix=file.text[offset:],
        language=file.language,
        path=str(file.path.resolve()),
        max_tokens=args.max_tokens,
        alternatives=args.alternatives,
        seed=args.seed,
    )
    with engine.load(args.device, memory=not args.no_memory, model=args.model, sampler=args.sampler) as e:
        if not args.no_memory:
            for path, text in project.around(file.path):
                e.remember(path, text)
        answer = e.run_complete(request)
        if args.json:
            print(json.dumps(as_json(answer, offset, e.model, e.device)))
        else:
            show(Console(), file, offset, answer, f"{e.model} on {e.device}")
    return 0


def as_json(answer: CompleteAnswer, offset: int, model: str, device: str) -> dict[str, Any]:
    """The contract's object: a pure insertion starts and ends at the cursor."""
    items = [{"text": i.text, "start": offset, "end": offset, "confidence": i.confidence} for i in answer.items]
    return {
        "items": items,
        "model": model,
        "device": device,
        "steps": answer.steps,
        "tokens": answer.tokens,
        "prompt_tokens": answer.prompt_tokens,
        "cached_tokens": answer.cached_tokens,
        "timings_ms": answer.timings_ms,
    }


def show(console: Console, file: SourceFile, offset: int, answer: CompleteAnswer, what: str) -> None:
    """The lines around the cursor with each suggestion in place."""
    before = file.text[:offset].split("\n")
    after = file.text[offset:].split("\n")
    head = "\n".join(before[-CONTEXT_LINES - 1 :])
    tail = "\n".join(after[: CONTEXT_LINES + 1])
    if not answer.items:
        console.print(Text.assemble((head, "dim"), ("▏", "bold yellow"), (tail, "dim")))
        console.print("Nothing held up here: no suggestion.", style="yellow")
    for number, item in enumerate(answer.items, 1):
        if len(answer.items) > 1:
            console.rule(f"{number} of {len(answer.items)}", align="left", style="dim")
        console.print(Text.assemble((head, "dim"), (item.text, "bold green"), (tail, "dim")), soft_wrap=True)
        console.print(f"confidence {item.confidence:.2f}, {item.tokens} tokens, {item.steps} steps", style="dim")
    t = answer.timings_ms
    console.print(
        f"{what}: {t.get('total', 0):.0f} ms (prefill {t.get('prefill', 0):.0f} for {answer.prompt_tokens} tokens, "
        f"denoise {t.get('denoise', 0):.0f}, verify {t.get('verify', 0):.1f})",
        style="dim",
    )
