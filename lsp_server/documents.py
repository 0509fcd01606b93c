"""Open documents: what the client's text is, exactly, and how it came to be so.

A `Snapshot` is immutable: work in the background holds one, and compares its version before it says anything.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from lsprotocol import types
from pygls.uris import to_fs_path

import grammars
from grammars import Language, Source
from lsp_server.positions import Encoding, Lines

Change = Literal["opened", "typed", "pasted", "deleted", "undone"]

HISTORY = 64  # texts remembered, as hashes, to tell an undo from typing
TYPED_AT_ONCE = 2  # characters besides blanks: a key and the closer that the editor adds
SURROGATE = re.compile("[\ud800-\udfff]")
CELL = "vscode-notebook-cell:"  # VS Code's, followed by the notebook's path and the cell as a fragment
REMOTE = re.compile(
    r"//[^/]*(?:\+|%2b|:|%3a)[^/]*", re.IGNORECASE
)  # where its window is (wsl+ubuntu): no host of a share


@dataclass(frozen=True)
class Edit:
    """One change as it was applied: `length` characters at `start` became `new`."""

    start: int
    length: int
    new: str


@dataclass(frozen=True)
class Snapshot:
    """A document at one version."""

    uri: str
    version: int
    language: Language | None
    text: str
    lines: Lines
    edited: Source | None = field(default=None, repr=False, compare=False)  # that of the version before, edited

    @property
    def path(self) -> str | None:
        """The file's path; None for what is not in the file system."""
        return to_fs_path(self.uri) if self.uri.startswith("file:") else None

    @property
    def kept_in(self) -> str | None:
        """The path of the file that the text is kept in: its own, or that of the notebook whose cell it is."""
        if not self.uri.startswith(CELL):
            return self.path
        place = self.uri.removeprefix(CELL)
        remote = REMOTE.match(place)
        return to_fs_path("file:" + place[remote.end() if remote else 0 :])

    @property
    def newline(self) -> str:
        """The line break that the document uses."""
        found = re.search(r"\r\n|\n|\r", self.text)
        return found.group() if found else "\n"

    @cached_property
    def source(self) -> Source:
        """The text as its parser sees it. Only for documents that have a language."""
        if self.language is None:
            raise ValueError(f"{self.uri} has no language")
        return self.edited or self.language.parse(self.text)

    @property
    def clean(self) -> str:
        """The text as UTF-8 can carry it, character by character."""
        return SURROGATE.sub("?", self.text)


class Document:
    """One open document; `snapshot` is its present state."""

    def __init__(self, item: types.TextDocumentItem, encoding: Encoding) -> None:
        language = grammars.language_id(item.language_id) or grammars.for_path(item.uri)
        self.encoding = encoding
        self.snapshot = Snapshot(item.uri, item.version, language, item.text, Lines(item.text, encoding))
        self.last_change: Change = "opened"
        self.cursor: int | None = None  # where the last change ended: the nearest thing to a cursor that LSP shows
        self.listed: int | None = None  # the version that the completion list was last asked for
        self._seen: deque[int] = deque([hash(item.text)], maxlen=HISTORY)

    def change(self, version: int, changes: Sequence[types.TextDocumentContentChangeEvent]) -> list[Edit]:
        """Apply the client's changes in their order; returns them in characters."""
        before = self.snapshot
        text, lines, edits = before.text, before.lines, []
        # Half a character was parsed as something else: what completes it is no edit of that. An edit is without.
        whole = before.language is not None and (before.edited is not None or not unpaired(text))
        source = before.source if whole else None
        for change in changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                start, end = lines.offsets(change.range)
            else:
                start, end = 0, len(text)
            edits.append(Edit(start, end - start, change.text))
            text = text[:start] + change.text + text[end:]
            if unpaired(change.text):
                text, source = joined(text), None
                lines = Lines(text, self.encoding)
            else:
                lines = lines.edited(start, end, text)
                source = source and source.replace(start, end, change.text)
        if not edits:
            return []
        self.snapshot = Snapshot(before.uri, version, before.language, text, lines, source)
        self.last_change = self._kind(before.text, text, edits)
        self.cursor = edits[-1].start + len(edits[-1].new)
        self._seen.append(hash(text))
        return edits

    def _kind(self, old: str, new: str, edits: list[Edit]) -> Change:
        if new == old:
            return self.last_change
        added = "".join(e.new for e in edits)
        keys = len("".join(added.split()))
        if len(new) < len(old):
            # Over a selection; what brings back an earlier text by that is no typing.
            over = len(edits) == 1 and 1 <= keys <= TYPED_AT_ONCE and hash(new) not in self._seen
            return "typed" if over else "deleted"
        few = keys <= TYPED_AT_ONCE and len(new) - len(old) <= len(added)
        if few and not any(e.length > TYPED_AT_ONCE for e in edits):
            return "typed"
        return "undone" if hash(new) in self._seen else "pasted"


def unix(text: str) -> str:
    """Text with line feeds only, as the model reads it; to look for one character in a whole file takes no time."""
    return text.replace("\r\n", "\n") if "\r" in text else text


def unpaired(text: str) -> bool:
    """Whether there is half a character in the text: asked of whole files on every key, so by the fastest codec."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def joined(text: str) -> str:
    """`text` with surrogates that meet made one character, as they are for the client."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class Documents:
    """All open documents by URI."""

    def __init__(self) -> None:
        self._open: dict[str, Document] = {}
        self.encoding: Encoding = "utf-16"

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._open.values()))

    def open(self, item: types.TextDocumentItem) -> Document:
        """Start to follow a document, or start again."""
        document = self._open[item.uri] = Document(item, self.encoding)
        return document

    def get(self, uri: str) -> Document | None:
        """The open document of this URI."""
        return self._open.get(uri)

    def close(self, uri: str) -> Document | None:
        """Stop following a document, and return it; unknown ones are fine."""
        return self._open.pop(uri, None)
