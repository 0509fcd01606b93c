from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint import Checkpoint
from engine.vocabulary import Vocabulary

VOCABULARY = Vocabulary(Checkpoint().tokenizer_file)


# The packaged vocabulary has no rows for some control characters and for bytes that start unassigned planes.
WRITABLE = st.characters(exclude_categories=("Cs", "Cc"), max_codepoint=0x3FFFF) | st.sampled_from("\t\r\n\f")


@given(st.text(WRITABLE, max_size=80))
def test_any_text_survives_encoding_and_decoding(text):
    assert VOCABULARY.decode(VOCABULARY.encode(text)) == text


def test_text_that_looks_like_a_reserved_token_stays_text():
    ids = VOCABULARY.encode("<file_sep><|endoftext|><mask>")
    assert VOCABULARY.decode(ids) == "<file_sep><|endoftext|><mask>"
    assert min(ids) > 16


def test_a_lone_surrogate_is_replaced_not_fatal():
    assert VOCABULARY.decode(VOCABULARY.encode("a\ud800b")) == "a?b"


def test_a_cut_character_is_left_out():
    ids = VOCABULARY.encode("x😀")
    assert VOCABULARY.decode(ids[:-1]).startswith("x")
    assert "\ufffd" not in VOCABULARY.decode(ids[:-1])


@pytest.mark.parametrize("text", [b"ret", b"))", b" self", b"\n"])
def test_a_text_begins_with_these_tokens_and_no_others(text):
    assert set(VOCABULARY.beginnings(text)) == {i for i, b in enumerate(VOCABULARY.bytes) if b and text.startswith(b)}


def test_what_stands_behind_a_cursor_is_among_the_spellings_of_the_piece_before_it():
    code = Path(__file__).read_text()
    found = []
    for at in range(1, len(code)):
        piece = VOCABULARY.last_piece(code[:at])
        natural = VOCABULARY.encode(piece + code[at : at + 40])[0]
        found.append(natural in VOCABULARY.spelling(piece.encode()))
    # "vocab", before "ulary", begins with a "v" that only the whole word asks for: rare, and there are other spellings.
    assert sum(found) > 0.98 * len(found)


def test_no_token_crosses_the_border_before_the_last_piece():
    code = Path(__file__).read_text()
    for at in range(1, len(code), 7):
        kept = code[: at - len(VOCABULARY.last_piece(code[:at]))]
        ids = VOCABULARY.encode(kept)
        assert VOCABULARY.encode(code[: at + 40])[: len(ids)] == ids


def test_a_shorter_token_is_a_spelling_only_where_the_tokenizer_would_use_it():
    found = {VOCABULARY.bytes[t] for t in VOCABULARY.spelling(b" collec")}
    assert {b" collection", b" collect"} <= found
    assert not {b" ", b" c", b" co"} & found


def test_what_is_settled_of_a_name_are_the_tokens_that_all_its_ends_share():
    settled = {piece: piece[: VOCABULARY.settled(piece)] for piece in (" unmaske", "BadReq", " retu", "vocab", "(", "")}
    assert settled == {" unmaske": " un", "BadReq": "Bad", " retu": "", "vocab": "vocab", "(": "", "": ""}
    assert VOCABULARY.settled("日本語" * 30) >= 89, "whole characters, and nearly all of a long text without blanks"


def test_what_may_become_a_contraction_is_healed_from_its_quote():
    assert VOCABULARY.last_piece("x = b'r") == "'r"
    assert VOCABULARY.last_piece("x = ('r") == "r"


def test_a_lone_surrogate_at_the_cursor_is_not_fatal_either():
    assert VOCABULARY.last_piece("x = \ud800") == " ?"


def test_a_vocabulary_goes_to_other_processes():
    copy = pickle.loads(pickle.dumps(VOCABULARY))
    assert copy.encode("x = 1") == VOCABULARY.encode("x = 1")
    assert (copy.spelling(b"ret") == VOCABULARY.spelling(b"ret")).all()


def test_a_piece_too_long_to_be_one_is_none():
    assert VOCABULARY.last_piece("x" * 1000) == ""
    assert VOCABULARY.last_piece("") == ""


def test_the_rest_of_a_cut_character_can_be_spelled():
    assert len(VOCABULARY.spelling("中".encode()[1:]))


LINES = st.text(st.sampled_from("ab1é中) '(.s\t\r\n\n\n"), max_size=60)


@given(LINES, LINES)
def test_a_text_read_from_its_last_lines_on_has_the_tokens_of_the_whole(first: str, typed: str):
    assert VOCABULARY.encode_typed(first) == VOCABULARY.encode(first)
    assert VOCABULARY.encode_typed(first + typed) == VOCABULARY.encode(first + typed)
    assert VOCABULARY.encode_again(typed) == VOCABULARY.encode(typed)
    assert VOCABULARY.encode_file(first + typed).tolist() == VOCABULARY.encode(first + typed)


def test_of_a_file_only_the_part_that_changed_is_read_anew(monkeypatch: pytest.MonkeyPatch):
    vocabulary = Vocabulary(Checkpoint().tokenizer_file)
    read: list[int] = []
    encode = vocabulary.encode
    monkeypatch.setattr(vocabulary, "encode", lambda text: read.append(len(text)) or encode(text))
    paragraphs = [f"def number_{n}(value):\n    return value + {n}" for n in range(100)]
    vocabulary.encode_file("\n\n".join(paragraphs))
    read.clear()
    paragraphs[50:51] = ["one = 1", "two = 2"]
    text = "\n\n".join(paragraphs[2:])
    assert vocabulary.encode_file(text).tolist() == encode(text)
    assert sum(read) < 200


def test_only_the_last_lines_of_a_typed_text_are_read_anew(monkeypatch: pytest.MonkeyPatch):
    vocabulary = Vocabulary(Checkpoint().tokenizer_file)
    read: list[int] = []
    encode = vocabulary.encode
    monkeypatch.setattr(vocabulary, "encode", lambda text: read.append(len(text)) or encode(text))
    text = "value = other\n" * 100
    vocabulary.encode_typed(text + "x")
    read.clear()
    ids = vocabulary.encode_typed(text + "x = y")
    assert sum(read) < 20
    ids.append(0)  # whoever gets them may keep and change them
    assert vocabulary.encode_typed(text + "x = y") == encode(text + "x = y")
