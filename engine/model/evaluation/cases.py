"""Cursors in held-out files: what stands before and after each, and what was there.

`line`: the rest of a line, or a whole one. `inside`: an expression with more of its line behind it. `block`: the body
of a header. `statement`: what is missing of one of several lines while its first line is typed. `span`: any stretch of
text, cut without regard to syntax. Cuts fall inside words too, as typing does. Holes that only what follows can decide
are in `holes.py`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import tree_sitter

import grammars
from engine.model.evaluation.documents import Document
from grammars import Source
from grammars.blocks import opens_block

MAX_CHARACTERS = 240  # a middle: what fits into 64 tokens with room to spare
WORD = re.compile(r"\w+|[^\w\s]")
PER_DOCUMENT = 2  # cases of one kind: many packages say more than many cursors in one file
TRIES = 60


@dataclass(frozen=True, slots=True)
class Case:
    """One cursor: `prefix + middle + suffix` is the document's text."""

    kind: str
    language: str
    package: str
    path: str
    prefix: str
    middle: str
    suffix: str

    @property
    def name(self) -> str:
        """Says where it is: the same in every run over the same documents."""
        return f"{self.package}/{self.path}:{len(self.prefix)}+{len(self.middle)}"


Span = tuple[int, int]
Cutter = Callable[[Source, random.Random], Iterator[Span]]


def build_cases(documents: Sequence[Document], cutters: Mapping[str, Cutter], each: int, seed: int = 0) -> list[Case]:
    """Up to `each` cases for every language and kind, spread over the documents in their order."""
    cases = []
    for language in sorted({d.language for d in documents}):
        own = [d for d in documents if d.language == language]
        for kind, cutter in cutters.items():
            cases += _of_kind(own, kind, cutter, each, seed)
    return cases


def _of_kind(documents: Sequence[Document], kind: str, cutter: Cutter, each: int, seed: int) -> list[Case]:
    found: list[Case] = []
    for document in documents:
        if len(found) >= each:
            break
        rng = random.Random(f"{seed}:{kind}:{document.package}:{document.path}")
        source = grammars.get(document.language).parse(document.text)
        taken: list[Span] = []
        for start, end in cutter(source, rng):
            if len(taken) >= PER_DOCUMENT or len(found) >= each:
                break
            if any(start < b and a < end for a, b in taken):
                continue
            taken.append((start, end))
            found.append(case_at(document, kind, start, end))
    return found


def case_at(document: Document, kind: str, start: int, end: int) -> Case:
    """The case whose middle is `text[start:end]`."""
    text = document.text
    return Case(kind, document.language, document.package, document.path, text[:start], text[start:end], text[end:])


def _line(source: Source, rng: random.Random) -> Iterator[Span]:
    text = source.text
    starts = [m.start() for m in re.finditer(r"^(?=[^\S\n]*\S)", text, re.MULTILINE)]
    for _ in range(TRIES):
        first = rng.choice(starts)
        stop = text.find("\n", first)
        stop = stop if stop >= 0 else len(text)
        stop -= text[first:stop].endswith("\r")
        line = text[first:stop]
        words = list(WORD.finditer(line))
        if not words:
            continue
        whole = rng.random() < 0.3
        word = words[0] if whole else rng.choice(words)
        cut = first + word.start()
        if not whole and rng.random() < 0.4 and len(word.group()) > 2:
            cut += rng.randrange(1, len(word.group()))
        prose = source.inside_comment_or_string(cut) or source.inside_comment_or_string(cut + 1) == "comment"
        if 3 <= stop - cut <= 120 and line == line.rstrip() and not prose:
            yield cut, stop


def _inside(source: Source, rng: random.Random) -> Iterator[Span]:
    text = source.text
    nodes = [n for n in walk(source.tree.root_node) if n.is_named and n.start_point[0] == n.end_point[0]]
    rng.shuffle(nodes)
    for node in nodes[: 4 * TRIES]:
        start, end = source.character(node.start_byte), source.character(node.end_byte)
        stop = text.find("\n", end)
        rest = text[end : stop if stop >= 0 else len(text)].strip()
        if not 3 <= end - start <= 60 or len(rest) < 1 or source.inside_comment_or_string(start):
            continue
        if node.type in ("comment", "string_content", "string_start", "block"):
            continue
        first = WORD.match(text, start)
        if first and rng.random() < 0.4 and len(first.group()) > 3:
            start += rng.randrange(1, len(first.group()) - 1)
        yield start, end


def _block(source: Source, rng: random.Random) -> Iterator[Span]:
    cursor = tree_sitter.QueryCursor(source.language.query("blocks"))
    bodies = [n for nodes in cursor.captures(source.tree.root_node).values() for n in nodes]
    bodies = [b for b in bodies if b.named_children and (b.start_point[0] != b.end_point[0] or b.type == "block")]
    bodies.sort(key=lambda n: n.start_byte)
    rng.shuffle(bodies)
    for body in bodies:
        statements = body.named_children
        if not statements:
            continue
        start = source.character(statements[0].start_byte)
        end = source.character(statements[-1].end_byte)
        before = source.text[:start]
        header_end = len(before.rstrip())
        own_line = "\n" in before[header_end:]
        prose = source.text[start : start + 3].startswith(('"', "'", "//", "/*", "#"))
        if not own_line or prose or not 8 <= end - start <= MAX_CHARACTERS:
            continue
        # Half the time right behind the header, where the line break is still to be written.
        yield (header_end if rng.random() < 0.5 else start), end


def _statement(source: Source, rng: random.Random) -> Iterator[Span]:
    text = source.text
    nodes = [n for n in walk(source.tree.root_node) if n.is_named and n.start_point[0] != n.end_point[0]]
    rng.shuffle(nodes)
    for node in nodes[: 4 * TRIES]:
        start, end = source.character(node.start_byte), source.character(node.end_byte)
        stop = text.index("\n", start)
        line = text[text.rfind("\n", 0, start) + 1 : stop].strip()
        words = [m.start() for m in WORD.finditer(text, start, stop)][1:-1]
        opens = opens_block(source, line) or grammars.opens_at_end(source.language, line)
        alone = text[end : end + 1] in ("", "\n", "\r") and line.startswith(text[start:stop].strip())
        if not (words and opens and alone) or end - start > MAX_CHARACTERS or source.inside_comment_or_string(start):
            continue
        yield rng.choice(words), end


def _span(source: Source, rng: random.Random) -> Iterator[Span]:
    text = source.text
    for _ in range(TRIES):
        start = rng.randrange(len(text))
        end = min(start + round(3 * 40 ** rng.random()), len(text))
        middle = text[start:end]
        if middle != middle.strip() or len(middle) < 3 or source.inside_comment_or_string(start):
            continue
        if source.inside_comment_or_string(end):
            continue
        yield start, end


def walk(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """A node and all below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


CUTTERS: dict[str, Cutter] = {
    "line": _line,
    "inside": _inside,
    "block": _block,
    "statement": _statement,
    "span": _span,
}
