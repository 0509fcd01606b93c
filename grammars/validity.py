"""What "broken" means, and how broken.

Python: a text that the running interpreter's `ast` accepts is never broken. One that both reject is. Where only `ast`
rejects, it is broken unless the error lies in syntax that is newer than the interpreter, which tree-sitter knows.
Other languages: tree-sitter decides.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from grammars.gaps import mask
from grammars.parsing import parse_within_budget

if TYPE_CHECKING:
    from grammars.registry import Language
    from grammars.source import Source

# Node types of syntax that came after Python 3.11, and spellings without a node of their own.
NEWER_NODES = frozenset({"type_parameter", "type_alias_statement"})
NEWER_TEXT = re.compile(
    rb"\btype\s+\w+.*=|\b(?:def|class)\s+\w+\s*\[|\bexcept\s+\w[\w.]*\s*,|\b[tT][rR]?['\"]"
    rb"|\b(?:[fF][rR]?|[rR][fF])['\"](?:.|\n)*?\{[^}]*['\"]"
)
MAYBE_NEWER = re.compile(
    r"\btype\s+\w|\b(?:def|class)\s+\w+\s*\[|\bexcept\s+\w[\w.]*\s*,|\b[tT][rR]?['\"]|\b[rR]?[fF][rR]?['\"]"
)
MAX_AST = 2_000_000  # characters; above, tree-sitter decides alone


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a text is broken, and where Python's own parser stopped (characters; None when it did not)."""

    broken: bool
    message: str = ""
    start: int | None = None
    end: int | None = None


def verdict(source: Source) -> Verdict:
    """The contract's definition of broken."""
    rejected = source.tree.root_node.has_error
    if source.language.name != "python" or len(source.text) > MAX_AST:
        return Verdict(rejected)
    found = python_error(source.text)
    if found is None:
        return Verdict(False)
    if not rejected and newer_than_interpreter(source, found):
        return Verdict(False)
    return found


@lru_cache(maxsize=16)
def python_error(text: str) -> Verdict | None:
    """What `ast.parse` says of a text; None when it accepts."""
    return ast_error(text)


def ast_error(text: str) -> Verdict | None:
    """The same, for a text that will not be asked about again."""
    error = _rejection(text)
    return None if error is None else _placed(text, error)


def _rejection(text: str) -> SyntaxError | ValueError | None:
    """What `ast.parse` raises; None when it accepts."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError) as error:  # the latter for null bytes
        return error
    except (RecursionError, MemoryError):
        return None  # nesting deeper than this interpreter reads: not accepted, but nothing is wrong with it either
    return None


def _placed(text: str, error: SyntaxError | ValueError) -> Verdict:
    """An error with its place in the text."""
    if not isinstance(error, SyntaxError):
        return Verdict(True, str(error), 0, 0)
    message = error.msg or "invalid syntax"
    if sys.version_info < (3, 12) and _tells_of_an_expression(text, error):
        # An expression of a format string was read alone, in brackets, and columns are those of that.
        place = text.find("{" + (error.text or "").strip()[1:-1], _offset(text, error.lineno, 1))
        if place < 0:
            return Verdict(True, message)
        start, end = place + (error.offset or 1) - 1, place + (error.end_offset or 1) - 1
        return Verdict(True, message, start, max(end, start))
    start = _offset(text, error.lineno, error.offset)
    end = _offset(text, error.end_lineno, error.end_offset)
    return Verdict(True, message, start, max(end, start))


def _tells_of_an_expression(text: str, error: SyntaxError) -> bool:
    """Whether the line that an error shows is none of the text, but `(expression)`."""
    shown, start = (error.text or "").strip(), _offset(text, error.lineno, 1)
    stop = text.find("\n", start)
    line = text[start : stop if stop >= 0 else len(text)]
    return shown.startswith("(") and not line.lstrip().startswith(shown)


LINE_BREAK = re.compile(r"\r\n|\r|\n")


def _offset(text: str, line: int | None, column: int | None) -> int:
    """The character offset of a 1-based line and column as SyntaxError gives them; clamped to the line."""
    if not line or line < 1:
        return len(text) if line is None else 0
    start, row = 0, 1
    for found in LINE_BREAK.finditer(text):
        if row == line:
            break
        start, row = found.end(), row + 1
    if row < line:
        return len(text)
    stop = LINE_BREAK.search(text, start)
    width = (stop.start() if stop else len(text)) - start
    return start + min(max((column or 1) - 1, 0), width)


def newer_than_interpreter(source: Source, error: Verdict) -> bool:
    """Whether `ast` stumbled over syntax that is newer than it: tree-sitter accepts, and the statement shows why."""
    if "only supported in Python" in error.message:
        return True
    if "indent" in error.message or error.start is None:
        return False
    at = source.byte(min(error.start, max(len(source.text) - 1, 0)))
    node = source.tree.root_node.descendant_for_byte_range(at, at)
    while node is not None and node.parent is not None and node.parent.parent is not None:
        if node.type in NEWER_NODES or node.type in ("except_clause", "except_group_clause"):
            break
        if node.type.endswith(("_statement", "_definition")):
            break
        node = node.parent
    if node is None:
        return False
    first = source.data.rfind(b"\n", 0, node.start_byte) + 1
    last = source.data.find(b"\n", max(node.start_byte, at))
    text = source.data[first : last if last >= 0 else len(source.data)]
    return node.type in NEWER_NODES or NEWER_TEXT.search(text) is not None


def accepts(language: Language, text: str) -> bool:
    """Whether a text is not broken; cheaper than a `Source` for one candidate of many."""
    if language.name != "python" or len(text) > MAX_AST:
        tree = parse_within_budget(language, mask(language, text).encode("utf-8", "replace"))
        return tree is not None and not tree.root_node.has_error
    error = _rejection(text)
    if error is None:
        return True
    message = getattr(error, "msg", None) or ""
    if "only supported in Python" not in message and ("indent" in message or not MAYBE_NEWER.search(text)):
        return False
    source = language.parse(text)
    return not source.tree.root_node.has_error and newer_than_interpreter(source, _placed(text, error))
