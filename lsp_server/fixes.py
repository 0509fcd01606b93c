"""Quick fixes out of a repair: which of its edits mend which problem, each verified by the parser on its own."""

from __future__ import annotations

from dataclasses import dataclass

import grammars
from engine.types import Edit, Repair, RepairAnswer
from grammars import Problem, Source

SHOWN = 24  # characters of code that a title quotes


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that mend `problem` (None: everything) and what they do in words; one of a problem is preferred."""

    title: str
    edits: tuple[Edit, ...]
    problem: Problem | None
    preferred: bool = True


def fixes(source: Source, answer: RepairAnswer) -> list[Fix]:
    """Fixes for each problem that a repair mends, the preferred one first, and one fix for everything."""
    repair = answer.repair
    if not repair.edits or not _better(source, _apply(source, repair.edits)):
        return []
    found = _by_problem(source, repair, preferred=True)
    for other in answer.alternatives:
        for fix in _by_problem(source, other, preferred=False):
            if all(fix.edits != known.edits or fix.problem is not known.problem for known in found):
                found.append(fix)
    return [*found, Fix("fix everything that does not parse", tuple(repair.edits), None)]


def _by_problem(source: Source, repair: Repair, preferred: bool) -> list[Fix]:
    """A repair's edits by the problem they are nearest to; all of them where only together they mend it."""
    whole = tuple(repair.edits)
    after = _apply(source, whole)
    found = []
    for problem in source.problems:
        own = tuple(e for e in whole if _nearest(source.problems, e) is problem)
        if own and (len(own) == len(whole) or _better(source, _apply(source, own))):
            found.append(Fix(title(own), own, problem, preferred))
        elif not after.broken:
            found.append(Fix(title(whole), whole, problem, preferred))
    return found


def _better(before: Source, after: Source) -> bool:
    """Whether edits mended something, by the parser's word."""
    return not after.broken or grammars.gained(before, after) < 0


def _nearest(problems: tuple[Problem, ...], edit: Edit) -> Problem:
    def distance(problem: Problem) -> int:
        return max(problem.start - edit.end, edit.start - problem.end, 0)

    return min(problems, key=distance)


def _apply(source: Source, edits: tuple[Edit, ...] | list[Edit]) -> Source:
    for edit in reversed(edits):
        source = source.replace(edit.start, edit.end, edit.new)
    return source


def title(edits: tuple[Edit, ...]) -> str:
    """What edits do, in words."""
    if len(edits) > 1:
        if all(not e.old.strip() and not e.new.strip() for e in edits):
            return "fix the indentation"
        return f"{_one(edits[0])} and {len(edits) - 1} more"
    return _one(edits[0])


def _one(edit: Edit) -> str:
    old, new = edit.old.strip(), edit.new.strip()
    if not old and not new:
        return "fix the indentation"
    if not old:
        return f"insert {_quoted(new)}"
    if not new:
        return f"remove {_quoted(old)}"
    return f"replace {_quoted(old)} by {_quoted(new)}"


def _quoted(code: str) -> str:
    line = " ".join(code.split())
    return f"`{line if len(line) <= SHOWN else line[: SHOWN - 1] + '…'}`"
