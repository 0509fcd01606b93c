"""`remask bench repair`: damaged real files, mended by edits alone, by the denoiser alone, and by all parts together.

Each way is measured on the same files in the same run, beside tree-sitter's own recovery as the floor and the time of
one K = 1 forward pass. docs/repair.md explains the columns and keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

import engine
import grammars
from engine.bench import speed
from engine.bench.repair_cases import (
    BY_HAND,
    Case,
    bytes_outside,
    cases_by_hand,
    same_tokens,
    several_cases,
    single_cases,
    token_edits,
)
from engine.bench.repair_corpus import texts
from engine.bench.repair_fit import fit
from engine.core import Engine
from engine.repair import Parts
from engine.types import RepairRequest
from grammars.damage import KINDS
from grammars.errors import error_nodes

LANGUAGES = ("python", "javascript", "typescript", "tsx")
WAYS = {
    "edits alone": Parts(drafts=False, rank=False),
    "edits, ranked": Parts(drafts=False),
    "denoiser, one shot": Parts(edits=False, renoise=False),
    "denoiser, re-noising": Parts(edits=False),
    "all": Parts(),
}
SNIPPETS = Path("tests/grammars/broken.py")
FLOOR = "tree-sitter's recovery"
WITHIN = 5  # token edits for one damage, BIFI's measure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way made of one case."""

    way: str
    language: str
    kinds: tuple[str, ...]
    determined: bool
    parses: bool
    within: bool
    exact: bool
    exact_at_3: bool
    outside: int
    steps: int
    denoised: bool
    ms: float
    cpu_ms: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--language", action="append", choices=LANGUAGES, help="may be repeated; all by default")
    parser.add_argument("--per-kind", type=int, default=6, help="files for each kind of damage")
    parser.add_argument("--several", type=int, default=60, help="files with two or three damages")
    parser.add_argument("--valid", type=int, default=300, help="valid files that must stay as they are")
    parser.add_argument("--way", action="append", choices=[*WAYS, FLOOR], help="may be repeated; all by default")
    parser.add_argument("--deadline", type=float, default=5.0, metavar="S", help="seconds that a repair may take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, default=Path("corpus/repair"), help="where npm packages are kept")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--snippets", type=Path, default=SNIPPETS, help="common mistakes, broken by hand")
    parser.add_argument("--fit", action="store_true", help="weigh the ranking anew, on damage of another seed")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("out/bench-repair.json"))


def run(args: argparse.Namespace) -> int:
    """Print the tables and write the outcomes as JSON; exit 1 when a promise was broken."""
    if args.fit:
        return fit(args.language or LANGUAGES, args)
    console = speed.wide(150)
    outcomes: list[Outcome] = []
    touched: list[str] = []
    with engine.load(args.device, memory=False, model=args.model) as e:
        one = forward_ms(e)
        for language in args.language or LANGUAGES:
            cases = single_cases(language, args.corpus, args.per_kind, args.seed)
            cases += several_cases(language, args.corpus, args.several, args.seed)
            cases += cases_by_hand(language, args.snippets)
            for way in args.way or [FLOOR, *WAYS]:
                for case in cases:
                    outcomes.append(measure(e, way, case, args.deadline))
            touched += false_edits(e, language, args)
        console.print(ways_table(outcomes))
        console.print(kinds_table([o for o in outcomes if o.way == "all"]))
        console.print(f"model {e.model} on {e.device}: one K = 1 forward pass takes {one:.1f} ms (median)")
    console.print(f"valid files touched or blamed: {len(touched)} of {args.valid * len(args.language or LANGUAGES)}")
    for path in touched:
        console.print(f"  {path}")
    outside = sum(o.outside for o in outcomes)
    console.print(f"bytes changed outside of the edits: {outside}, in {len(outcomes)} repairs")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"forward_ms": one, "outcomes": [asdict(o) for o in outcomes]}), encoding="utf-8")
    return 1 if touched or outside else 0


def measure(e: Engine, way: str, case: Case, seconds: float) -> Outcome:
    """Repair one case in one way."""
    text, language = case.damaged.text, case.language
    started, processor = time.perf_counter(), time.process_time()
    if way == FLOOR:
        mended, offered, steps, denoised, outside = recovered(language, text), [], 0, False, 0
    else:
        e.repairer.parts = WAYS[way]
        request = RepairRequest(text, language, deadline=time.monotonic() + seconds)
        answer = e.run_repair(request)
        e.repairer.parts = Parts()
        mended, steps, denoised = answer.repair.text, answer.steps, answer.denoised
        offered = [a.text for a in answer.alternatives]
        outside = bytes_outside(text, answer.repair.edits, mended)
    ms, cpu_ms = (time.perf_counter() - started) * 1e3, (time.process_time() - processor) * 1e3
    parses = grammars.accepts(grammars.get(language), mended)
    exact = parses and same_tokens(language, mended, case.original)
    within = parses and token_edits(language, text, mended) <= WITHIN * len(case.damaged.kinds)
    at_3 = exact or any(same_tokens(language, other, case.original) for other in offered)
    kinds, determined = case.damaged.kinds, case.determined
    return Outcome(
        way,
        language,
        kinds,
        determined,
        parses,
        within,
        exact,
        at_3,
        outside,
        steps,
        denoised,
        round(ms, 1),
        round(cpu_ms, 1),
    )


def recovered(language: str, text: str) -> str:
    """What tree-sitter's error recovery amounts to: skip what it skipped, insert what it invented."""
    source = grammars.get(language).parse(text)
    data = source.data
    for start, end, missing, kind, depth in sorted(error_nodes(source.tree), reverse=True):
        if missing and not kind.isidentifier():
            data = data[:start] + kind.encode() + data[start:]
        elif not missing and not depth:
            data = data[:start] + data[end:]
    return data.decode("utf-8", "replace")


def forward_ms(e: Engine, context: int = 256, rounds: int = 15) -> float:
    """The median time of a pass over one row behind a context of `context` tokens."""
    cache, ids = e.denoiser.new_cache(), list(range(1000, 1000 + context))
    e.denoiser.causal(cache, ids, 0, [0])
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        e.denoiser.causal(cache, [42], context, [0])
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def false_edits(e: Engine, language: str, args: argparse.Namespace) -> list[str]:
    """Valid files that were edited or blamed."""
    found = []
    for path, text in texts(language, args.corpus, args.valid, args.seed + 1, lines=(1, 100_000)):
        repair = e.run_repair(RepairRequest(text, language)).repair
        if repair.edits or repair.errors_before or repair.text != text:
            found.append(str(path))
    return found


def ways_table(outcomes: list[Outcome]) -> Table:
    """One line for each language, group of cases and way."""
    table = Table(title="Repair of damaged files: shares of files, milliseconds", title_justify="left")
    for column in (
        "language",
        "cases",
        "way",
        "n",
        "parses",
        f"≤ {WITHIN} edits",
        "exact",
        "exact@3",
        "p50",
        "p95",
        "cpu",
        "steps",
    ):
        table.add_column(column, justify="left" if column in ("language", "cases", "way") else "right")
    groups = {
        "by hand": lambda o: o.kinds == BY_HAND,
        "one, determined": lambda o: len(o.kinds) == 1 and o.determined and o.kinds != BY_HAND,
        "one, not determined": lambda o: len(o.kinds) == 1 and not o.determined,
        "two or three": lambda o: len(o.kinds) > 1,
    }
    for language in dict.fromkeys(o.language for o in outcomes):
        for name, belongs in groups.items():
            for way in dict.fromkeys(o.way for o in outcomes):
                chosen = [o for o in outcomes if o.language == language and o.way == way and belongs(o)]
                if chosen:
                    table.add_row(language, name, way, *_figures(chosen))
            table.add_section()
    return table


def kinds_table(outcomes: list[Outcome]) -> Table:
    """One line for each kind of single damage, over all languages; `*` marks kinds whose repair is determined."""
    table = Table(title="All parts together, by kind of damage", title_justify="left")
    for column in ("kind", "n", "parses", f"≤ {WITHIN} edits", "exact", "exact@3", "p50", "p95", "cpu", "steps"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind in KINDS:
        chosen = [o for o in outcomes if o.kinds == (kind,)]
        if chosen:
            table.add_row(kind + (" *" if KINDS[kind].determined else ""), *_figures(chosen))
    for name, denoised in (("the denoiser was not asked", False), ("the denoiser was asked", True)):
        chosen = [o for o in outcomes if bool(o.steps) == denoised]
        if chosen:
            table.add_row(name, *_figures(chosen), style="bold")
    return table


def _figures(chosen: list[Outcome]) -> list[str]:
    n = len(chosen)
    times = sorted(o.ms for o in chosen)
    shares = [sum(getattr(o, name) for o in chosen) / n for name in ("parses", "within", "exact", "exact_at_3")]
    steps = statistics.mean(o.steps for o in chosen)
    p95 = times[min(int(0.95 * n), n - 1)]
    cpu = statistics.median(o.cpu_ms for o in chosen)
    spent = (f"{statistics.median(times):.0f}", f"{p95:.0f}", f"{cpu:.0f}", f"{steps:.1f}")
    return [str(n), *(f"{s:.3f}" for s in shares), *spent]
