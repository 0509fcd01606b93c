from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import grammars
from engine.errors import BadRequestError
from engine.model.evaluation.cases import CUTTERS, build_cases
from engine.model.evaluation.damage import build_damage
from engine.model.evaluation.documents import Document, read_documents
from engine.model.evaluation.holes import build_holes, solves
from engine.model.evaluation.runner import token_edits

JAVASCRIPT = """\
const { join, extname } = require("node:path");

function describe(file, options) {
  const suffix = extname(file);
  if (options.verbose) {
    console.log(join("a", file), suffix);
    return suffix;
  }
  return join(options.root, file);
}

const kinds = ["line", "block", "span"];

module.exports = { describe, kinds };
"""


@pytest.fixture(scope="module")
def documents(dev: Path) -> list[Document]:
    return [*read_documents(dev), Document("own", "0", "javascript", "own.js", JAVASCRIPT)]


def test_a_case_is_the_document_cut_in_three(documents):
    texts = {d.text for d in documents}
    cases = build_cases(documents, CUTTERS, 8)
    assert {c.kind for c in cases} == set(CUTTERS)
    assert {c.language for c in cases} == {"python", "javascript"}
    for case in cases:
        assert case.prefix + case.middle + case.suffix in texts
        assert case.middle.strip()


def test_the_same_seed_gives_the_same_cases_in_any_order_of_the_file(dev, tmp_path):
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(reversed(dev.read_text().splitlines())) + "\n")
    first, again, other = (
        [c.name for c in build_cases(read_documents(path, seed=seed), CUTTERS, 4, seed)]
        for path, seed in ((dev, 3), (turned, 3), (dev, 4))
    )
    assert first == again
    assert first != other


def test_kinds_are_what_they_say(documents):
    for case in build_cases(documents, CUTTERS, 8):
        if case.kind == "line":
            assert "\n" not in case.middle
            assert case.suffix[:1] in ("", "\n")
        elif case.kind == "inside":
            assert "\n" not in case.middle
            assert case.suffix.split("\n")[0].strip()
        elif case.kind == "block":
            assert "\n" in case.prefix[len(case.prefix.rstrip()) :] + case.middle


def test_holes_are_named_again_behind_and_not_before(documents):
    holes = build_holes(documents, 6)
    assert {h.kind for h in holes} == {"import", "parameters", "name", "count"}
    for hole in holes:
        if hole.kind == "count":
            line = hole.suffix.split("\n", 2)[1]
            assert "=" in line
            assert hole.middle in "23456789"
            continue
        for name in re.findall(r"[^\W\d]\w*", hole.middle):
            assert re.search(rf"\b{name}\b", hole.suffix)
            assert not re.search(rf"\b{name}\b", hole.prefix[-1000:])


def test_a_hole_is_solved_by_the_truth_and_by_nothing_longer():
    assert solves("width", "width")
    assert solves("width, height)", "width")
    assert not solves("widths", "width")
    assert not solves("", "width")


def test_damaged_files_are_broken_and_came_from_files_that_were_not(documents):
    files = build_damage(documents, 8)
    assert len(files) >= 6
    for file in files:
        grammar = grammars.get(file.language)
        assert grammar.parse(file.broken).broken
        assert not grammar.parse(file.original).broken


def test_token_edits_count_what_changed():
    assert token_edits("f(a)\n", "f(a)\n") == 0
    assert token_edits("f(a\n", "f(a)\n") == 1
    assert token_edits("x = f(a)\n", "x = g(b)\n") == 2


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "does not exist"),
        ("not json\n", "line 1"),
        ('{"package": "a"}\n', "line 1"),
        ("\n", "line 1"),
        ("", "no documents"),
    ],
)
def test_a_bad_dev_file_is_named_with_what_to_do(tmp_path, content, complaint):
    path = tmp_path / "dev.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadRequestError, match=complaint):
        read_documents(path)


def test_a_line_break_of_another_kind_inside_a_text_does_not_end_its_line(tmp_path):
    path = tmp_path / "dev.jsonl"
    row = {"package": "a", "version": "1", "language": "python", "path": "a.py", "text": "x = 'a\u2028b\x85c'\n"}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [d.text for d in read_documents(path)] == [row["text"]]


def test_an_unknown_language_is_refused_and_files_that_do_not_parse_are_left_out(dev, tmp_path):
    with pytest.raises(BadRequestError, match="klingon"):
        read_documents(dev, ["klingon"])
    path = tmp_path / "dev.jsonl"
    broken = {"package": "a", "version": "1", "language": "python", "path": "a.py", "text": "def f(:\n"}
    path.write_text(json.dumps(broken) + "\n" + dev.read_text().splitlines()[0] + "\n")
    assert len(read_documents(path)) == 1
