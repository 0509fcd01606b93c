"""The few lines in which each error can be mended: docs/regions.md shows hard cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grammars.source import Region, Source

MAX_REGIONS = 64


def regions(source: Source) -> list[Region]:
    """Single lines, disjoint, in ascending order: for each broken unit, the lines that its stops blame."""
    from grammars.source import Region

    rows: dict[int, Region] = {}
    for fault in source.faults:
        for row in fault.site.rows:
            start, end = fault.site.lines.span(row)
            start, end = fault.shift + start, fault.shift + end
            if start >= fault.start:
                rows.setdefault(start, Region(start, end))
    return [rows[start] for start in sorted(rows)][:MAX_REGIONS]
