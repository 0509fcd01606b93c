"""The promise that a suggestion never makes the parse worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grammars.errors import ErrorNode
from grammars.problems import MAX_PROBLEMS
from grammars.statements import touched
from grammars.validity import MAX_AST, python_error

if TYPE_CHECKING:
    from grammars.source import Source


def new_errors(before: Source, after: Source, start: int, end: int) -> tuple[ErrorNode, ...]:
    """Errors that touch the text put into `before` at [start, end), giving `after`, and that were not there before."""
    added = end - start
    known = {(e.start, e.end, e.missing, e.expected) for e in before.errors}

    def was_there(error: ErrorNode) -> bool:
        a = error.start if error.start <= start else error.start - added
        b = error.end if error.end <= start else error.end - added
        return (a, b, error.missing, error.expected) in known

    return tuple(e for e in after.errors if e.start <= end and e.end >= start and not was_there(e))


def is_worse(before: Source, after: Source, start: int, end: int) -> bool:
    """New errors at the inserted text, more bytes under errors than before, or a Python file that `ast` now rejects."""
    if after.tree.root_node.has_error and (
        after.error_bytes > before.error_bytes or new_errors(before, after, start, end)
    ):
        return True
    if before.language.name != "python" or before.tree.root_node.has_error or len(after.text) > MAX_AST:
        return False
    # Most of what is suggested is right: the statements that it touches tell, without reading all of the file.
    if python_error(touched(before, after, start, end)) is None:
        return False
    return python_error(before.text) is None and python_error(after.text) is not None


def gained(before: Source, after: Source) -> int:
    """How many problems `after` has more than `before`, of which it is an edit; negative where edits mended some.

    Where both have as many as are ever told, the bytes under errors stand for those that are not.
    """
    more = len(after.problems) - len(before.problems)
    return more if more or len(before.problems) < MAX_PROBLEMS else after.error_bytes - before.error_bytes
