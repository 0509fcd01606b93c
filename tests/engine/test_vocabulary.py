from __future__ import annotations

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


@pytest.mark.parametrize("start", [b"ret", b"def", b" self", b"\n"])
def test_spelling_finds_exactly_the_tokens_that_agree_with_a_start(start):
    found = set(VOCABULARY.spelling(start).tolist())
    expected = {i for i, b in enumerate(VOCABULARY.bytes) if b and (b.startswith(start) or start.startswith(b))}
    assert found == expected
