"""One table for people, one JSON file for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.errors import BadRequestError
from engine.model.evaluation.measures import Measure, mcnemar, paired_interval
from engine.model.evaluation.runner import COLUMNS, Results

OFFERED = ("verified", "complete")  # columns that say what an editor gets


def table_of(results: Results, title: str, columns: Sequence[str] = COLUMNS) -> Table:
    """A row a figure, a column a sampler."""
    table = _empty(title, [*columns])
    last = ""
    for measure in results.measures.values():
        cells = [_figure(measure.value(c)) for c in columns]
        last = _add_row(table, measure, last, columns, cells)
    return table


def comparison_table(old: Results, new: Results, names: tuple[str, str], title: str, seed: int = 0) -> Table:
    """Two models over the same cases: each with its K = 1, and the difference of what editors get."""
    heads = [f"{names[0]}", "its K = 1", f"{names[1]}", "its K = 1", "difference", "95 % interval", "McNemar p"]
    table = _empty(title, heads)
    last = ""
    for key, a in old.measures.items():
        b = new.measures[key]
        column = next(c for c in OFFERED if c in a.samples)
        low, high = paired_interval(a.samples[column], b.samples[column], seed)
        difference = b.value(column) - a.value(column)
        clear = low > 0 or high < 0
        good = (difference > 0) == a.higher_is_better
        style = ("green" if good else "red") if clear else "dim"
        cells = [_figure(m.value(c)) for m in (a, b) for c in (column, "K = 1")]
        cells += [f"[{style}]{difference:+.3f}[/]", f"{low:+.3f} … {high:+.3f}", _chance(a, b, column)]
        last = _add_row(table, a, last, [column], cells)
    return table


def _empty(title: str, heads: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("where")
    table.add_column("what")
    table.add_column("n", justify="right")
    for head in heads:
        table.add_column(head, justify="right")
    return table


def _add_row(table: Table, measure: Measure, last: str, columns: Sequence[str], cells: Sequence[str]) -> str:
    if last and measure.group != last:
        table.add_section()
    count = max(measure.count(c) for c in columns)
    table.add_row(measure.group if measure.group != last else "", measure.name, str(count), *cells)
    return measure.group


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _chance(a: Measure, b: Measure, column: str) -> str:
    """McNemar's p where each case is solved or not."""
    if not (a.binary and b.binary):
        return ""
    return f"{mcnemar([n > 0 for n, _ in a.samples[column]], [n > 0 for n, _ in b.samples[column]]):.3f}"


def as_json(results: Results) -> dict[str, Any]:
    """Every figure and every answer."""
    figures = [
        {
            "group": m.group,
            "measure": m.name,
            "higher_is_better": m.higher_is_better,
            "values": {c: {"value": round(m.value(c), 6), "n": m.count(c)} for c in m.samples},
        }
        for m in results.measures.values()
    ]
    return {"figures": figures, "answers": results.answers}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content`; `BadRequestError` when the place cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as failure:
        raise BadRequestError(
            f"cannot write {path}: {failure.strerror or failure}; name another file with --json"
        ) from None
