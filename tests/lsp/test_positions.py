from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as t

from lsp_server.documents import Document
from lsp_server.positions import Encoding, Lines, characters, units

TEXTS = st.text(alphabet=st.sampled_from("ab \t\r\n\f\x1c\x85\u2028é😀𝒳"), max_size=40)
ENCODINGS: list[Encoding] = ["utf-8", "utf-16", "utf-32"]
CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


@pytest.mark.parametrize(("encoding", "column"), [("utf-16", 9), ("utf-8", 11), ("utf-32", 8)])
def test_an_emoji_counts_as_the_encoding_says(encoding: Encoding, column: int) -> None:
    text = "a = '😀'\n\tb = '😀' # x\r\nc"
    lines = Lines(text, encoding)
    at = text.index("# x")
    assert lines.position(at) == t.Position(1, column + 1)
    assert lines.offset(t.Position(1, column + 1)) == at


def test_a_position_inside_a_surrogate_pair_is_before_the_character() -> None:
    assert Lines("😀x").offset(t.Position(0, 1)) == 0


def test_positions_outside_are_moved_to_the_nearest_place() -> None:
    lines = Lines("one\r\ntwo")
    assert lines.offset(t.Position(0, 99)) == 3
    assert lines.offset(t.Position(9, 0)) == 8
    assert lines.offset(t.Position(1, 99)) == 8


def test_only_the_three_line_breaks_of_the_protocol_break_lines() -> None:
    assert len(Lines("a\fb\x1cc\x85d\u2028e")) == 1
    assert len(Lines("a\r\nb\rc\nd")) == 4


@given(TEXTS, st.sampled_from(ENCODINGS))
def test_every_offset_survives_the_way_to_a_position_and_back(text: str, encoding: Encoding) -> None:
    lines = Lines(text, encoding)
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] != "\r\n":  # between the two there is no position
            assert lines.offset(lines.position(offset)) == offset


BREAKS = st.text(alphabet=st.sampled_from("a\r\n😀"), max_size=12)


@given(BREAKS, BREAKS, st.integers(0, 12), st.integers(0, 12), st.booleans())
def test_lines_after_an_edit_are_those_of_the_new_text(old: str, new: str, a: int, b: int, known: bool) -> None:
    start, end = sorted((min(a, len(old)), min(b, len(old))))
    text = old[:start] + new + old[end:]
    before = Lines(old)
    if known:
        assert before.starts
    after = before.edited(start, end, text)
    assert after.text == text
    assert after.starts == Lines(text).starts


@given(st.text(max_size=30), st.sampled_from(ENCODINGS), st.integers(0, 130))
def test_counting_units_and_characters_agrees(text: str, encoding: Encoding, count: int) -> None:
    kept = characters(text, count, encoding)
    assert units(text[:kept], encoding) <= count
    if kept < len(text):
        assert units(text[: kept + 1], encoding) > count


class Reference:
    """A client's text as bytes, edited as bytes: shares no code with the server."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self.codec, self.width = CODECS[encoding]
        self.data = text.encode(self.codec)

    def starts(self) -> list[int]:
        if self.width == 1:
            breaks = re.finditer(rb"\r\n|\n|\r", self.data)
            return [0, *(b.end() for b in breaks)]
        found, i, w = [0], 0, self.width
        n, r = "\n".encode(self.codec), "\r".encode(self.codec)
        while i < len(self.data):
            unit = self.data[i : i + w]
            i += w
            if unit == r and self.data[i : i + w] == n:
                i += w
            if unit in (n, r):
                found.append(i)
        return found

    def offset(self, position: t.Position) -> int:
        starts = self.starts()
        start = starts[position.line]
        end = starts[position.line + 1] if position.line + 1 < len(starts) else len(self.data)
        line = self.data[start:end].decode(self.codec).rstrip("\r\n").encode(self.codec)
        return start + min(position.character * self.width, len(line))

    def edit(self, span: t.Range, new: str) -> None:
        a, b = self.offset(span.start), self.offset(span.end)
        self.data = self.data[:a] + new.encode(self.codec) + self.data[b:]

    @property
    def text(self) -> str:
        return self.data.decode(self.codec)


@given(TEXTS, st.sampled_from(ENCODINGS), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), TEXTS), max_size=12))
def test_any_sequence_of_edits_leaves_the_servers_text_equal_to_the_clients(
    text: str, encoding: Encoding, edits: list[tuple[float, float, str]]
) -> None:
    document = Document(t.TextDocumentItem("file:///a.py", "python", 1, text), encoding)
    client = Reference(text, encoding)
    for version, (a, b, new) in enumerate(edits, 2):
        lines = Lines(client.text, encoding)
        first, second = sorted((int(a * len(lines.text)), int(b * len(lines.text))))
        span = lines.range(first, second)
        client.edit(span, new)
        document.change(version, [t.TextDocumentContentChangePartial(span, new)])
        assert document.snapshot.text == client.text
        assert document.snapshot.version == version


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6), st.sampled_from(["(", ")", "x", "\n", "é", "'", ":"])))
)
def test_a_document_parsed_edit_by_edit_has_the_problems_of_one_parsed_afresh(
    edits: list[tuple[int, int, str]],
) -> None:
    item = t.TextDocumentItem("file:///a.py", "python", 1, "def f(a):\n    return a\n")
    document = Document(item, "utf-16")
    for version, (start, length, new) in enumerate(edits, 2):
        lines = document.snapshot.lines
        change = t.TextDocumentContentChangePartial(lines.range(start, start + length), new)
        document.change(version, [change])
        source = document.snapshot.source
        afresh = source.language.parse(document.snapshot.text)
        assert source.text == afresh.text
        assert source.problems == afresh.problems


def test_a_surrogate_pair_sent_in_two_halves_becomes_one_character() -> None:
    document = Document(t.TextDocumentItem("file:///a.py", "python", 1, "x = ''"), "utf-16")
    at = t.Position(0, 5)
    document.change(2, [t.TextDocumentContentChangePartial(t.Range(at, at), "\ud83d")])
    assert document.snapshot.clean == "x = '?'"
    assert document.snapshot.source.text == "x = '?'"
    at = t.Position(0, 6)
    document.change(3, [t.TextDocumentContentChangePartial(t.Range(at, at), "\ude00")])
    assert document.snapshot.text == "x = '😀'"
