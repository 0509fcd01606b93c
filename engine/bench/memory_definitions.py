"""Definitions in the window: the signatures that the cursor's line mentions, from other files, before the suffix.

Definitions are found by the `tags.scm` that the grammar packages ship.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import tree_sitter
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_typescript

import grammars
from engine.model.evaluation.cases import Case
from engine.model.evaluation.documents import Document
from engine.window import WindowBuilder

NAME = re.compile(r"[^\W\d]\w{2,}")
LONGEST = 160  # characters of a signature
TAGS = {
    "python": tree_sitter_python.TAGS_QUERY,
    "javascript": tree_sitter_javascript.TAGS_QUERY,
    "typescript": tree_sitter_javascript.TAGS_QUERY + tree_sitter_typescript.TAGS_QUERY,
}


class Definitions:
    """The signatures of a workspace, by name."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for document in documents:
            language = grammars.get(document.language)
            query = tree_sitter.Query(language.compiled, TAGS[document.language])
            data = document.text.encode()
            root = language.parser.parse(data).root_node
            for _, captures in tree_sitter.QueryCursor(query).matches(root):
                names = captures.get("name", [])
                nodes = [n for key, found in captures.items() if key.startswith("definition.") for n in found]
                if names and nodes:
                    name = data[names[0].start_byte : names[0].end_byte].decode("utf-8", "replace")
                    self._found[name].append((document.path, signature(data, nodes[0])))

    def mentioned(self, case: Case) -> list[str]:
        """Signatures of the names in the cursor's line from other files, those nearest to the cursor first."""
        line = case.prefix[case.prefix.rfind("\n") + 1 :]
        signatures: list[str] = []
        for name in reversed(NAME.findall(line)):
            signatures += [s for path, s in self._found.get(name, []) if path != case.path]
        return list(dict.fromkeys(signatures))


def signature(data: bytes, node: tree_sitter.Node) -> str:
    """A definition without its body, on one line."""
    body = node.child_by_field_name("body")
    text = data[node.start_byte : body.start_byte if body is not None else node.end_byte].decode("utf-8", "replace")
    return " ".join(text.split())[:LONGEST]


class WithDefinitions(WindowBuilder):
    """Windows with signatures before the suffix, in at most `most` tokens."""

    most = 64
    signatures: Sequence[str] = ()

    def _suffix(self, suffix: str) -> list[int]:
        ids: list[int] = []
        for text in self.signatures:
            more = self.vocabulary.encode(text + "\n")
            if len(ids) + len(more) > self.most:
                break
            ids += more
        return [*ids, *super()._suffix(suffix)]
