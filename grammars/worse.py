"""The promise that a suggestion never makes the parse worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grammars.errors import ErrorNode
from grammars.problems import MAX_PROBLEMS
from grammars.statements import Frame, Frames
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
    return python_error(after.text) is not None and before.accepted


class Insertions:
    """Whether texts inserted in one place of `before` make it worse, each read with the statements around it alone."""

    def __init__(self, before: Source, at: int) -> None:
        self._before = before
        sure = before.language.name == "python" and not before.tree.root_node.has_error and len(before.text) <= MAX_AST
        self._frames = Frames(before, at) if sure else None
        self._accepted: dict[Frame, bool] = {}  # by `ast`, as they are

    def is_worse(self, new: str) -> bool | None:
        """As `is_worse` of the whole file, were the rest of it right; None where only the whole tells."""
        frame = self._frames.around(new) if self._frames is not None else None
        if frame is None:
            return None
        text = frame.read(new)
        if self._before.language.parse(text).tree.root_node.has_error:
            return True
        if python_error(text) is None:
            return False
        if frame not in self._accepted:
            self._accepted[frame] = python_error(frame.read("")) is None
        return self._accepted[frame]


def gained(before: Source, after: Source) -> int:
    """How many problems `after` has more than `before`, of which it is an edit; negative where edits mended some.

    Where both have as many as are ever told, the bytes under errors stand for those that are not.
    """
    more = len(after.problems) - len(before.problems)
    return more if more or len(before.problems) < MAX_PROBLEMS else after.error_bytes - before.error_bytes
