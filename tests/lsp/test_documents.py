from __future__ import annotations

import pytest
from lsprotocol import types as t

from lsp_server.documents import Document


def document(text: str) -> Document:
    return Document(t.TextDocumentItem("file:///a.py", "python", 1, text), "utf-16")


def replace(doc: Document, start: int, end: int, new: str) -> str:
    span = doc.snapshot.lines.range(start, end)
    doc.change(doc.snapshot.version + 1, [t.TextDocumentContentChangePartial(span, new)])
    return doc.last_change


@pytest.mark.parametrize(
    ("start", "end", "new", "kind"),
    [
        (5, 5, "a", "typed"),
        (5, 5, "()", "typed"),
        (5, 5, "\n        ", "typed"),
        (5, 5, "a whole line", "pasted"),
        (2, 5, "", "deleted"),
        (0, 5, "x", "typed"),
        (0, 5, "()", "typed"),
        (0, 5, " ", "deleted"),
        (0, 9, "a word", "deleted"),
    ],
)
def test_a_change_is_told_for_what_it_is(start: int, end: int, new: str, kind: str) -> None:
    assert replace(document("value = 1\n"), start, end, new) == kind


def test_bringing_back_an_earlier_text_is_an_undo_and_typing_it_again_is_not() -> None:
    doc = document("value = compute(1)\n")
    assert replace(doc, 8, 18, "") == "deleted"
    assert replace(doc, 8, 8, "compute(1)") == "undone"
    assert replace(doc, 17, 18, "") == "deleted"
    assert replace(doc, 17, 17, ")") == "typed"


def test_an_undo_that_shortens_the_text_is_no_typing_over_a_selection() -> None:
    doc = document("x = 1\n")
    assert replace(doc, 0, 1, "value") == "pasted"
    assert replace(doc, 0, 5, "x") == "deleted"
    assert replace(doc, 0, 1, "y") == "typed"


def test_several_changes_in_one_message_apply_one_after_the_other() -> None:
    doc = document("abc")
    changes = [
        t.TextDocumentContentChangePartial(t.Range(t.Position(0, 0), t.Position(0, 0)), "1\n"),
        t.TextDocumentContentChangePartial(t.Range(t.Position(1, 3), t.Position(1, 3)), "2"),
    ]
    edits = doc.change(2, changes)
    assert doc.snapshot.text == "1\nabc2"
    assert [(e.start, e.length, e.new) for e in edits] == [(0, 0, "1\n"), (5, 0, "2")]


def test_a_change_without_a_range_replaces_everything() -> None:
    doc = document("abc")
    doc.change(2, [t.TextDocumentContentChangeWholeDocument("x = 1\n")])
    assert doc.snapshot.text == "x = 1\n"
    assert not doc.snapshot.source.problems


def test_the_language_comes_from_the_identifier_and_else_from_the_files_name() -> None:
    by_name = Document(t.TextDocumentItem("file:///a/b.tsx", "plaintext", 1, ""), "utf-16")
    assert by_name.snapshot.language is not None
    assert by_name.snapshot.language.name == "tsx"
    unknown = Document(t.TextDocumentItem("untitled:Untitled-1", "plaintext", 1, ""), "utf-16")
    assert unknown.snapshot.language is None
    assert unknown.snapshot.path is None


def test_a_character_that_comes_in_two_halves_is_parsed_as_one() -> None:
    doc = document("x = ''\n")
    replace(doc, 5, 5, "\ud83d")
    assert doc.snapshot.source.text == "x = '?'\n"
    replace(doc, 6, 6, "\ude00")
    assert doc.snapshot.text == "x = '😀'\n"
    assert doc.snapshot.source.text == doc.snapshot.text


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("/home/a%20b/nb.ipynb", "/home/a b/nb.ipynb"),
        ("//wsl%2Bubuntu/home/me/nb.ipynb", "/home/me/nb.ipynb"),
        ("//ssh-remote+box/home/me/nb.ipynb", "/home/me/nb.ipynb"),
        ("//localhost%3A8080/home/me/nb.ipynb", "/home/me/nb.ipynb"),
    ],
)
def test_a_cells_notebook_is_found_wherever_its_window_is_connected_to(place: str, path: str) -> None:
    uri = f"vscode-notebook-cell:{place}#W0sZmlsZQ%3D%3D"
    assert Document(t.TextDocumentItem(uri, "python", 1, ""), "utf-16").snapshot.kept_in == path
