"""Lines that stand in the wrong column, and bodies that are missing (languages in which indentation matters)."""

from __future__ import annotations

from collections.abc import Iterator

from grammars.edits.guess import Guess
from grammars.sites import Site
from grammars.units import rows_inside

BLOCK = 60  # lines that move together at most


def propose(site: Site) -> Iterator[Guess]:
    """Move a line, or it and the lines under it, to a column that its neighbours suggest."""
    if not site.language.indentation_matters:
        return
    rows = list(site.rows)
    for row in site.rows[:2]:
        following = site.lines.neighbour(row, 1)
        if following >= 0 and following not in rows:
            rows.append(following)
    rows = rows[:6]
    for n, row in enumerate(rows):
        yield from _move(site, row, 0.08 * n)
        yield from _body(site, row, 0.08 * n)
        yield from _tabs(site, row)
    if any("\t" in site.lines.margin(row) for row in rows):
        yield from _all_tabs(site)


def _move(site: Site, row: int, cost: float) -> Iterator[Guess]:
    lines = site.lines
    content = lines.content(row)
    if not content.strip():
        return
    start, current = lines.span(row)[0], lines.margin(row)
    unit = indent_unit(site.text)
    before, after = lines.neighbour(row, -1), lines.neighbour(row, 1)
    wanted: dict[str, float] = {}

    def want(margin: str, price: float) -> None:
        wanted[margin] = min(price, wanted.get(margin, 9.0))

    if before >= 0:
        level = lines.margin(before)
        opened = lines.content(before).split("#")[0].rstrip().endswith((":", "(", "[", "{"))
        want(level + unit, 0.85 if opened else 1.5)
        want(level, 0.9 if not opened else 1.4)
        while level:
            level = level[: -len(unit)] if level.endswith(unit) else level[:-1]
            want(level, 1.0)
    if after >= 0:
        want(lines.margin(after), 0.95 if lines.indent(after) else 1.1)
        if content.split("#")[0].rstrip().endswith(":") and lines.margin(after).endswith(unit):
            want(lines.margin(after)[: -len(unit)], 0.85)
    for margin, price in wanted.items():
        if margin == current:
            continue
        yield start, start + len(current), margin, price + cost
        yield from _move_block(site, row, current, margin, price + cost + 0.1)


def _move_block(site: Site, row: int, current: str, margin: str, cost: float) -> Iterator[Guess]:
    """The same move for the lines after it that are as deep or deeper."""
    lines, last, moved = site.lines, row, 0
    for following in range(row + 1, min(row + BLOCK, len(lines.starts))):
        content = lines.content(following)
        if content.strip() and not content.startswith(current):
            break
        if content.strip():
            last, moved = following, moved + 1
    if last == row or not (current or margin):
        return
    start, end = lines.span(row)[0], lines.span(last)[1]
    block = site.text[start:end].split("\n")
    text = "\n".join(margin + line[len(current) :] if line.strip() else line for line in block)
    yield start, end, text, cost + 0.03 * moved


def _body(site: Site, row: int, cost: float) -> Iterator[Guess]:
    """A header that has no body."""
    lines = site.lines
    content = lines.content(row).split("#")[0].rstrip()
    following = lines.neighbour(row, 1)
    if content.endswith(":") and (following < 0 or lines.indent(following) <= lines.indent(row)):
        end = lines.span(row)[1]
        word = lines.content(following).split("(")[0].split() if following >= 0 else []
        alone = following != row + 1 or not word or word[0] in ("def", "class", "async") or word[0].startswith("@")
        body = site.newline + lines.margin(row) + indent_unit(site.text) + "pass"
        yield end, end, body, (0.8 if alone else 1.15) + cost


def _tabs(site: Site, row: int) -> Iterator[Guess]:
    """A tab among spaces, or spaces among tabs: as most of the text has it."""
    lines, text = site.lines, site.text
    margin = lines.margin(row)
    unit = indent_unit(text)
    start = lines.span(row)[0]
    if unit == "\t" and " " in margin:
        for width in (4, 8, 2):
            yield start, start + len(margin), "\t" * (len(margin.expandtabs(width)) // width), 0.7 + 0.01 * width
    elif unit != "\t" and "\t" in margin:
        above = lines.neighbour(row, -1)
        opened = above >= 0 and lines.content(above).split("#")[0].rstrip().endswith(":")
        body = lines.margin(above) + unit if opened else margin
        for width in (len(unit), 8, 4):
            plain = margin.expandtabs(width)
            fits = above >= 0 and plain in (lines.margin(above), body)
            yield start, start + len(margin), plain, 0.7 + 0.01 * width - 0.1 * fits


def _all_tabs(site: Site) -> Iterator[Guess]:
    """The tabs of all lines among spaces; what is inside of a string stays."""
    lines, text, unit = site.lines, site.text, indent_unit(site.text)
    hidden = rows_inside(site.brackets.tokens, lines)
    tabbed = [row for row in range(len(lines.starts)) if "\t" in lines.margin(row) and row not in hidden]
    tabbed = [row for row in tabbed if lines.content(row).strip()]
    if unit == "\t" or not tabbed:
        return
    start, end = lines.starts[tabbed[0]], lines.span(tabbed[-1])[1]
    for width in dict.fromkeys((len(unit), 8, 4)):
        parts, at = [], start
        for row in tabbed:
            margin = lines.margin(row)
            parts += [text[at : lines.starts[row]], margin.expandtabs(width)]
            at = lines.starts[row] + len(margin)
        yield start, end, "".join(parts) + text[at:end], 0.9


def indent_unit(text: str) -> str:
    """What one level of indentation is in this text: its most frequent small step."""
    counts: dict[str, int] = {}
    for line in text.split("\n", 400)[:400]:
        margin = line[: len(line) - len(line.lstrip(" \t"))]
        if not margin or not line.strip():
            continue
        unit = "\t" if margin[0] == "\t" else "  " if len(margin) == 2 else "    " if len(margin) == 4 else ""
        if unit:
            counts[unit] = counts.get(unit, 0) + 1
    return max(counts, key=lambda unit: counts[unit], default="    ")
