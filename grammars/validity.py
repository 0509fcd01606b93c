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
from itertools import islice
from typing import TYPE_CHECKING

from grammars.gaps import mask
from grammars.parsing import parse_within_budget

if TYPE_CHECKING:
    from tree_sitter import Node

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
IN_FORMAT = "f-string: "
FORMAT_PREFIX = re.compile(rb"[rR]?[fFtT]")
BRACE = re.compile(r"(?<!\{)(?:\{\{)*\{(?!\{)")  # its last one: two of them are one character of the string
FIELD_END = re.compile(r"[}!:=]")  # what may end an expression in braces, of which
FIELD_ENDS = 20  # so many are tried,
FIELD_ROWS = 20  # in so many rows
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
    message = getattr(error, "msg", None) or str(error) or "invalid syntax"
    if "\0" in text and getattr(error, "lineno", None) is None:
        null = text.index("\0")  # which some versions tell by a ValueError, none with its place
        return Verdict(True, message, null, null + 1)
    if not isinstance(error, SyntaxError):
        return Verdict(True, message, 0, 0)
    start = _offset(text, error.lineno, error.offset)
    end = _offset(text, error.end_lineno, error.end_offset)
    if sys.version_info < (3, 12):
        shown = (error.text or "").strip()
        first = _offset(text, error.lineno, 1)
        stop = text.find("\n", first)
        last = stop if stop >= 0 else len(text)
        alien = shown.startswith("(") and shown not in text[first:last]
        if alien or message.startswith(IN_FORMAT):
            place = _in_braces(text, first, last, error.msg.removeprefix(IN_FORMAT), shown)
            if place is not None or alien:
                return Verdict(True, message, *(place or ()))
    return Verdict(True, message, start, max(end, start))


def _in_braces(text: str, start: int, end: int, message: str, shown: str) -> tuple[int, int] | None:
    """Where an expression of a format string is wrong, which was read alone, in brackets, in or above a line.

    It is read again, because such places are told in several ways; None when it is not found.
    """
    for _ in range(FIELD_ROWS):
        for opened in BRACE.finditer(text, start, end):
            brace = opened.end() - 1
            for closed in islice(FIELD_END.finditer(text, brace + 1), FIELD_ENDS):
                expression = f"({text[brace + 1 : closed.start()]})"
                if shown[1:-1] not in expression:
                    continue  # a bracket at either end may be none of the text's
                found = _rejection(expression)
                if isinstance(found, SyntaxError) and found.msg == message and (found.text or "").strip() == shown:
                    first = brace + _offset(expression, found.lineno, found.offset)
                    return first, max(brace + _offset(expression, found.end_lineno, found.end_offset), first)
        if not start:
            break
        start, end = text.rfind("\n", 0, start - 1) + 1, start
    return None


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
    if error.message.startswith("unterminated string literal") and _breaks_lines_in_braces(node):
        return True
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


def _breaks_lines_in_braces(node: Node | None) -> bool:
    """Whether a node is in a format string with line breaks in its braces, which needed three quotes before 3.12."""
    while node is not None:
        # The grammar sees fields in every string.
        formatted = node.type == "string" and FORMAT_PREFIX.match(node.children[0].text or b"")
        fields = [child for child in node.children if child.type == "interpolation"] if formatted else []
        if any(field.start_point.row < field.end_point.row for field in fields):
            parts = [(field, part) for field in fields for part in field.children]
            # A format still ends with its line.
            return not any(p.type == "format_specifier" and p.end_point.row < f.end_point.row for f, p in parts)
        node = node.parent
    return False


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
