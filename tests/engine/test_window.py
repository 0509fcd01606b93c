from __future__ import annotations

from engine.checkpoint import Checkpoint
from engine.vocabulary import Vocabulary
from engine.window import Budget, WindowBuilder
from tests.conftest import ROOT

CHECKPOINT = Checkpoint()
VOCABULARY = Vocabulary(CHECKPOINT.tokenizer_file)
RESERVED = CHECKPOINT.config.reserved
BUILDER = WindowBuilder(VOCABULARY, RESERVED)
LONG = (ROOT / "engine" / "checkpoint.py").read_text() * 3


def test_the_layout_is_suffix_prefix_middle():
    ids = BUILDER.build("a = 1", ")\n").ids
    assert ids == [
        RESERVED.suffix,
        *VOCABULARY.encode(")\n"),
        RESERVED.prefix,
        *VOCABULARY.encode("a = 1"),
        RESERVED.middle,
    ]


def test_damaged_text_stands_between_prefix_and_middle():
    ids = BUILDER.build("a = ", "\n", broken="(1").ids
    assert ids[-len(VOCABULARY.encode("(1")) - 2 :] == [RESERVED.broken, *VOCABULARY.encode("(1"), RESERVED.middle]


def test_no_window_exceeds_its_budget_and_long_ones_use_it():
    sizes = [len(BUILDER.build(LONG[:at], LONG[at:]).ids) for at in range(0, len(LONG), 397)]
    assert max(sizes) <= Budget().total
    assert sorted(sizes)[len(sizes) // 2] > 250


def test_a_line_longer_than_the_budget_still_gives_a_window():
    line = "x = [" + "12, " * 5000
    ids = BUILDER.build(line, "]\n").ids
    assert 100 < len(ids) <= Budget().total


def test_typing_leaves_all_but_the_last_tokens_of_the_window_in_place():
    at = LONG.index("def quantised", 12000)
    typed = "    return self.cache[name]"
    kept = []
    before = BUILDER.build(LONG[:at] + typed[:1], LONG[at:]).ids
    for n in range(2, len(typed) + 1):
        ids = BUILDER.build(LONG[:at] + typed[:n], LONG[at:]).ids
        same = next((i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(ids))
        kept.append(len(before) - same)
        before = ids
    assert max(kept) <= 4  # the growing word's tokens and <middle>


def test_a_name_cut_by_the_cursor_is_healed():
    window = BUILDER.build("x = json.lo", "(handle)\n")
    assert window.heal == b"lo"
    assert BUILDER.build("x = retu", "").heal == b" retu"


def test_of_a_name_of_several_tokens_only_those_are_healed_that_may_change():
    window = BUILDER.build("x = unmaske", "(handle)\n")
    assert window.heal == b"maske"
    assert VOCABULARY.decode(window.left) == "x = un"


def test_the_window_of_a_cursor_has_the_tokens_that_the_finished_text_has():
    text = LONG[: len(LONG) // 3]
    ends, at = set(), 0
    for token in VOCABULARY.encode(text):
        ends.add(at := at + len(VOCABULARY.bytes[token]))
    cuts = range(1, len(text), 3)
    natural = [len(text[:n].encode()) - len(BUILDER.build(text[:n], text[n:]).heal) in ends for n in cuts]
    assert sum(natural) > 0.995 * len(natural)


def test_a_bracket_at_the_cursor_is_healed_since_what_follows_may_join_it():
    assert BUILDER.build("x = f(", "\n").heal == b"("
    assert BUILDER.build("self._", "\n").heal == b"._"


def test_what_nothing_can_join_is_not_healed():
    assert BUILDER.build("x = 12", "\n").heal == b""
    assert BUILDER.build("", "\n").heal == b""


def test_crlf_and_emoji_and_emptiness_build_windows():
    for prefix, suffix in (("", ""), ("a\r\n", "\r\nb"), ("s = '😀", "'"), ("\t", "\t")):
        assert BUILDER.build(prefix, suffix).ids[-1] == RESERVED.middle


def test_white_space_at_the_cursor_is_healed_since_it_belongs_to_the_word_after_it():
    assert BUILDER.build("x = ", "\n").heal == b" "
    assert BUILDER.build("if x:\n        ", "\n").heal == b"\n        "
    natural = VOCABULARY.encode("if x:\n        return")
    healed = BUILDER.build("if x:\n        ", "\n")
    assert healed.left == natural[: len(healed.left)]
