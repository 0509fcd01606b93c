"""The promise that a suggestion never makes the parse worse."""

from __future__ import annotations

from functools import cached_property
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
    """Whether texts inserted in one place of `before` make it worse, told with as little parsing as that takes."""

    def __init__(self, before: Source, at: int) -> None:
        self.before = before
        self.at = at
        self._after: dict[str, Source] = {}
        self._worse: dict[str, bool] = {}
        self._accepted: dict[Frame, bool] = {}  # by `ast`, as they are

    def after(self, new: str) -> Source:
        """The file with `new` in place; asked twice, it is parsed once."""
        if new not in self._after:
            self._after[new] = self.before.replace(self.at, self.at, new)
        return self._after[new]

    def is_worse(self, new: str) -> bool:
        """As `is_worse` of the whole file; of a Python file that `ast` rejects elsewhere, as if that were mended."""
        if new not in self._worse:
            self._worse[new] = self._is_worse(new)
        return self._worse[new]

    def _is_worse(self, new: str) -> bool:
        told = self._told_by_frame(new)
        if told is not None:
            return told
        return is_worse(self.before, self.after(new), self.at, self.at + len(new))

    @cached_property
    def _frames(self) -> Frames | None:
        """Of a file without errors, the statements around the place."""
        before = self.before
        sure = before.language.name == "python" and len(before.text) <= MAX_AST and not before.tree.root_node.has_error
        return Frames(before, self.at) if sure else None

    def _told_by_frame(self, new: str) -> bool | None:
        frame = self._frames.around(new) if self._frames is not None else None
        if frame is None:
            return None
        text = frame.read(new)
        if self.before.language.parse(text).tree.root_node.has_error:
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
