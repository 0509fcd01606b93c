"""A parsed text: an immutable snapshot that can be edited into another one by an incremental re-parse.

Offsets are characters everywhere outside this file; tree-sitter counts bytes of UTF-8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import tree_sitter

from grammars.errors import ErrorNode, error_bytes, error_nodes
from grammars.gaps import mask
from grammars.parsing import one_error, parse_within_budget
from grammars.registry import Language

if TYPE_CHECKING:
    from grammars.faults import Fault

STRIDE = 2048  # characters between two entries of the byte-offset table


class _Parsed(NamedTuple):
    tree: tree_sitter.Tree
    given_up: bool
    masked: bool


@dataclass(frozen=True, eq=False)
class Source:
    """A text, its bytes and its tree. Equal edits give equal trees, parsed afresh or incrementally.

    The text is parsed when its tree is first asked for, however many edits lead to it: of most texts that are typed
    nobody asks. `old` is an earlier text's tree that those edits were made in; without one the text is parsed afresh.
    """

    language: Language
    text: str
    data: bytes
    old: tree_sitter.Tree | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, language: Language, text: str) -> Source:
        """A whole text, to be parsed afresh."""
        return cls(language, *encode(text))

    def replace(self, start: int, end: int, new: str) -> Source:
        """This text with `text[start:end]` replaced by `new` (characters), to be re-parsed where it changed."""
        new, fresh = encode(new)
        first = self._byte_once(start)
        last = first + (len(self.text[start:end].encode()) if end > start else 0)
        data = b"".join((self.data[:first], fresh, self.data[last:]))
        text = self.text[:start] + new + self.text[end:]
        # With nothing to begin from, what is made of this text would be parsed afresh each time.
        known = self._parsed if self.old is None else self.__dict__.get("_parsed")
        old = self.old if known is None else None if known.masked or known.given_up else known.tree
        if old is not None:
            old, stop = old.copy(), first + len(fresh)
            place = point(self.data, first)
            at = first, place.row
            old.edit(first, last, stop, place, point(self.data, last, *at), point(data, stop, *at))
        return Source(self.language, text, data, old)

    @property
    def tree(self) -> tree_sitter.Tree:
        """The parsed text."""
        return self._parsed.tree

    @property
    def given_up(self) -> bool:
        """Whether parsing would have taken far too long, so that the tree is one error (grammars/parsing.py)."""
        return self._parsed.given_up

    @property
    def masked(self) -> bool:
        """Whether the parser read the text with gaps of the grammar blanked out (grammars/gaps.py)."""
        return self._parsed.masked

    @cached_property
    def _parsed(self) -> _Parsed:
        masked = mask(self.language, self.text)
        if masked != self.text:
            # What is masked may have changed outside of the edits.
            data, old = masked.encode(), None
        else:
            data, old = self.data, self.old
        tree = parse_within_budget(self.language, data, old)
        return _Parsed(tree or one_error(self.language, data), tree is None, data is not self.data)

    @cached_property
    def _byte_table(self) -> list[int]:
        table, at = [0], 0
        for i in range(0, len(self.text), STRIDE):
            at += len(self.text[i : i + STRIDE].encode())
            table.append(at)
        return table

    @cached_property
    def _ascii(self) -> bool:
        return len(self.data) == len(self.text)

    def byte(self, character: int) -> int:
        """The byte offset of a character offset."""
        if self._ascii:
            return character
        row = character // STRIDE
        return self._byte_table[row] + len(self.text[row * STRIDE : character].encode())

    def _byte_once(self, character: int) -> int:
        """`byte`, without a table that nobody else may ask for."""
        if self._ascii or "_byte_table" in self.__dict__:
            return self.byte(character)
        return len(self.text[:character].encode())

    def character(self, byte: int) -> int:
        """The character offset of a byte offset."""
        if self._ascii:
            return byte
        low, high = 0, len(self._byte_table) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._byte_table[middle] <= byte else (low, middle)
        return low * STRIDE + len(self.data[self._byte_table[low] : byte].decode("utf-8", "ignore"))

    @cached_property
    def _error_nodes(self) -> list[tuple[int, int, bool, str, int]]:
        return list(error_nodes(self.tree)) if self.tree.root_node.has_error else []

    @cached_property
    def errors(self) -> tuple[ErrorNode, ...]:
        """Every ERROR and MISSING node, outermost first, in the order of the text."""
        return tuple(
            ErrorNode(self.character(a), self.character(b), missing, expected, depth)
            for a, b, missing, expected, depth in self._error_nodes
        )

    @cached_property
    def error_bytes(self) -> int:
        """Bytes under ERROR nodes, each counted once; a MISSING node counts 1."""
        return error_bytes(self._error_nodes)

    @cached_property
    def quiet(self) -> list[tuple[int, int, str]]:
        """Spans of comments and strings in ascending order: (start, end, "comment" or "string")."""
        return self._quiet(0, len(self.data))

    def inside_comment_or_string(self, offset: int) -> str | None:
        """Whether the cursor at `offset` is inside a "comment" or a "string"."""
        at = self.byte(offset)
        for start, end, kind in self._quiet(max(at - 1, 0), at + 1):
            if start >= offset:
                break
            if offset < end or (kind == "comment" and offset == end and not self._ended(start, end)):
                return kind
        return None

    def _ended(self, start: int, end: int) -> bool:
        """Whether what is typed behind a comment no longer belongs to it."""
        block = self.language.block_comment
        closed = (
            block is not None and self.text.startswith(block[0], start) and self.text.endswith(block[1], start, end)
        )
        return closed or self.text[end - 1] == "\n"

    def may_be_comment(self, offset: int) -> bool:
        """Whether `offset` can be inside a comment at all: what can be told without the tree."""
        text, line, block = self.text, self.language.line_comment, self.language.block_comment
        if line in text[text.rfind("\n", 0, offset) + 1 : offset + len(line) - 1]:
            return True
        if block is None:
            return False
        opening, closing = block
        last = text.rfind(opening, 0, offset + len(opening) - 1)
        return last >= 0 and text.find(closing, last + len(opening), offset) < 0

    def _quiet(self, first: int, last: int) -> list[tuple[int, int, str]]:
        """Those that touch a range of bytes: asked on every key, so the rest of the file is left out."""
        cursor = tree_sitter.QueryCursor(self.language.query("quiet"))
        cursor.set_byte_range(first, last)
        found = []
        for kind, nodes in cursor.captures(self.tree.root_node).items():
            found += [(self.character(n.start_byte), self.character(n.end_byte), kind) for n in nodes]
        return sorted(found)

    def invites_block(self, offset: int) -> bool:
        """Whether several lines are expected at the cursor: behind a block's opening, or in its empty body."""
        from grammars.blocks import invites_block

        return invites_block(self, offset)

    @cached_property
    def broken(self) -> bool:
        """Whether the text is broken (docs/regions.md says what that means for each language)."""
        from grammars.validity import verdict

        return verdict(self).broken

    @cached_property
    def accepted(self) -> bool:
        """Whether Python's own parser accepts the text. Only for Python."""
        from grammars.validity import python_error

        return python_error(self.text) is None

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """The units that do not parse, in ascending order; () when not broken."""
        from grammars.faults import faults

        return tuple(faults(self))

    def first_faults(self, most: int) -> tuple[Fault, ...]:
        """At most so many of `faults`: to read all of them in a text that is no code takes seconds."""
        if "faults" not in self.__dict__:
            from grammars.faults import faults

            found = tuple(islice(faults(self), most + 1))
            if len(found) > most:
                return found[:most]
            self.__dict__["faults"] = found
        return self.faults[:most]

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """What a person should be told, one for each independent error; () when not broken."""
        from grammars.problems import problems

        return tuple(problems(self))


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as a person would name it, at `text[start:end]`."""

    start: int
    end: int
    message: str


def encode(text: str) -> tuple[str, bytes]:
    """The text and its UTF-8; lone surrogates, which editors may send, become "?": both have the same characters."""
    try:
        return text, text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode()
        return text, text.encode()


def point(data: bytes, offset: int, start: int = 0, row: int = 0) -> tree_sitter.Point:
    """Row and column, both in bytes, of a byte offset; an earlier `start` is known to be in `row`."""
    return tree_sitter.Point(row + data.count(b"\n", start, offset), offset - (data.rfind(b"\n", 0, offset) + 1))
