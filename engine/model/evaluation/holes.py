"""Holes that only what follows can decide: seeing the end before writing the beginning is what diffusion promises.

`import`: a name, from its later use. `parameters`: from the body. `name`: of a variable, from where it is used.
`count`: the length of the list that comes next. Each is solved when the answer begins with the truth and the name or
number ends there: where the rest of the line ends is another question, and without the suffix nobody could know.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import tree_sitter

from engine.model.evaluation.cases import PER_DOCUMENT, Case, Cutter, Span, build_cases, case_at, walk
from engine.model.evaluation.documents import Document
from grammars import Source, get

NEAR = 600  # characters in which a name must be used again
FAR = 1500  # characters before the hole in which it must not occur
IDENTIFIER = re.compile(r"[^\W\d]\w*")


def build_holes(documents: Sequence[Document], each: int, seed: int = 0) -> list[Case]:
    """Up to `each` holes for every language and kind."""
    return build_cases(documents, HOLES, each, seed) + _counts(documents, each, seed)


def solves(answer: str, truth: str) -> bool:
    """Whether an answer fills the hole: the truth, and then nothing that would make it another name or number."""
    return answer.startswith(truth) and re.match(r"\w", answer[len(truth) :]) is None


def _decided_by_suffix(text: str, start: int, end: int) -> bool:
    """Whether every name of the span occurs soon after it and none shortly before."""
    names = IDENTIFIER.findall(text[start:end])
    before, after = text[max(0, start - FAR) : start], text[end : end + NEAR]
    return bool(names) and all(
        re.search(rf"\b{re.escape(n)}\b", after) and not re.search(rf"\b{re.escape(n)}\b", before) for n in names
    )


def _chosen(source: Source, nodes: list[tree_sitter.Node], rng: random.Random) -> Iterator[Span]:
    """One-line spans of nodes that the suffix decides, in a seeded order."""
    rng.shuffle(nodes)
    for node in nodes:
        start, end = source.character(node.start_byte), source.character(node.end_byte)
        inside = source.text[start:end]
        if inside[:1] in "([{" and inside[-1:] in ")]}":
            start, end = start + 1, end - 1
            start += len(source.text[start:end]) - len(source.text[start:end].lstrip())
            end -= len(source.text[start:end]) - len(source.text[start:end].rstrip())
            if source.text[start:end].startswith("self, "):
                start += len("self, ")
        span = source.text[start:end]
        if 2 <= len(span) <= 60 and "\n" not in span and span != "self" and _decided_by_suffix(source.text, start, end):
            yield start, end


def _import(source: Source, rng: random.Random) -> Iterator[Span]:
    nodes = []
    for node in walk(source.tree.root_node):
        if node.type == "import_from_statement" and len(node.children_by_field_name("name")) == 1:
            nodes.append(node.children_by_field_name("name")[0])
        elif node.type == "named_imports" or (node.type == "object_pattern" and b"require(" in _text(node.parent)):
            nodes.append(node)
        elif node.type == "variable_declarator" and b"= require(" in _text(node):
            nodes += [n for n in node.children_by_field_name("name") if n.type == "identifier"]
    yield from _chosen(source, nodes, rng)


def _parameters(source: Source, rng: random.Random) -> Iterator[Span]:
    nodes = [n for n in walk(source.tree.root_node) if n.type in ("parameters", "formal_parameters")]
    yield from _chosen(source, nodes, rng)


def _name(source: Source, rng: random.Random) -> Iterator[Span]:
    nodes = []
    for node in walk(source.tree.root_node):
        field = {"assignment": "left", "variable_declarator": "name"}.get(node.type)
        if field and (target := node.child_by_field_name(field)) and target.type == "identifier":
            nodes.append(target)
    yield from _chosen(source, nodes, rng)


def _counts(documents: Sequence[Document], each: int, seed: int) -> list[Case]:
    """A line put before a real list that gives its length."""
    found: dict[str, list[Case]] = {}
    for document in documents:
        cases = found.setdefault(document.language, [])
        source = get(document.language).parse(document.text)
        lists = list(_lists(source))
        random.Random(f"{seed}:count:{document.package}:{document.path}").shuffle(lists)
        for start, name, count in lists[:PER_DOCUMENT]:
            if len(cases) >= each:
                break
            line_start = document.text.rfind("\n", 0, start) + 1
            indent = document.text[line_start:start]
            head, tail = (
                (f"{name}_count = ", "\n") if document.language == "python" else (f"const {name}Count = ", ";\n")
            )
            text = document.text[:start] + head + str(count) + tail + indent + document.text[start:]
            at = start + len(head)
            cases.append(case_at(replace(document, text=text), "count", at, at + 1))
    return [case for language in sorted(found) for case in found[language]]


def _lists(source: Source) -> Iterator[tuple[int, str, int]]:
    """Statements that assign a literal of 2 to 9 elements to a name: (start, name, elements)."""
    for node in walk(source.tree.root_node):
        statement, fields = (
            node.parent,
            {"assignment": "left right", "variable_declarator": "name value"}.get(node.type),
        )
        if fields is None or statement is None:
            continue
        target, value = (node.child_by_field_name(f) for f in fields.split())
        if target is None or value is None or target.type != "identifier":
            continue
        elements = [n for n in value.named_children if n.type not in ("comment", "spread_element", "list_splat")]
        if value.type not in ("list", "tuple", "array") or not 2 <= len(elements) <= 9:
            continue
        if len(elements) == value.named_child_count and statement.start_point[1] == _indent(source, statement):
            yield source.character(statement.start_byte), _text(target).decode(), len(elements)


def _indent(source: Source, node: tree_sitter.Node) -> int:
    """Columns before the first character of the node's line."""
    first = source.data.rfind(b"\n", 0, node.start_byte) + 1
    line = source.data[first : node.end_byte]
    return len(line) - len(line.lstrip())


def _text(node: tree_sitter.Node | None) -> bytes:
    return (node.text or b"") if node is not None else b""


HOLES: dict[str, Cutter] = {"import": _import, "parameters": _parameters, "name": _name}
