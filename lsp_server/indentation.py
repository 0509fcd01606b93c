"""Indentation as the document has it: tabs or spaces, how wide, and what the line at the cursor should have."""

from __future__ import annotations

import re

from grammars import Language

LEADING = re.compile(r"^[ \t]+(?=\S)", re.MULTILINE)
BLANK = re.compile(r"^[ \t]+\Z", re.MULTILINE)
DEFAULT_UNIT = "    "


def unit(text: str) -> str:
    """One step of indentation: a tab, or the smallest difference between the indentations that `text` has."""
    return _step(LEADING.findall(text[-20_000:]))


def unit_around(prefix: str, suffix: str) -> str | None:
    """One step of a file's indentation; None when no line of it shows one, nor the blanks before the cursor."""
    leads = LEADING.findall(prefix[-20_000:] + suffix[:20_000]) or BLANK.findall(prefix[-200:])
    return _step(leads) if leads else None


def _step(leads: list[str]) -> str:
    tabs = sum(lead.startswith("\t") for lead in leads)
    if 2 * tabs > len(leads):
        return "\t"
    widths = sorted({len(lead) for lead in leads if not lead.startswith("\t")})
    steps = [b - a for a, b in zip([0, *widths], widths, strict=False) if b - a in (2, 3, 4, 8)]
    return " " * min(steps) if steps else DEFAULT_UNIT


def leading(line: str) -> str:
    """The blanks that a line begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def columns(blanks: str, step: str) -> int:
    """How far blanks reach, with a tab as wide as one step (4 where steps are tabs)."""
    return len(blanks.expandtabs(len(step) if step != "\t" else 4))


def expected(prefix: str, language: Language) -> int | None:
    """Columns that the first token of the cursor's line should have: those of the line above, or one step more."""
    above = next((line for line in reversed(prefix.split("\n")[:-1]) if line.strip()), None)
    if above is None:
        return 0
    step = unit(prefix)
    width = columns(leading(above), step)
    opens = above.rstrip().endswith((language.header_end, "(", "[", "{"))
    return width + (columns(step, step) if opens else 0)


def in_style_of(text: str, prefix: str, suffix: str) -> str:
    """`text` with the indentation of its lines (all but the first) made of what the document uses, if it shows that."""
    if "\n" not in text or (step := unit_around(prefix, suffix)) is None:
        return text
    first, *rest = text.split("\n")
    own = unit("\n".join(rest))
    if (own == "\t") == (step == "\t"):
        return text
    return "\n".join([first, *(_converted(line, own, step) for line in rest)])


def _converted(line: str, own: str, step: str) -> str:
    blanks = leading(line)
    width = columns(blanks, own)
    size = columns(step, step) if own == "\t" else columns(own, own)
    return step * (width // size) + " " * (width % size) + line[len(blanks) :]
