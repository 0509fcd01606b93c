"""The memory's match beside what reading every remembered file from end to end finds."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.memory import Memory
from engine.memory.index import NEARNESS, SHORTEST
from engine.memory.suffixes import DEPTH
from engine.vocabulary import Vocabulary

code = st.lists(st.sampled_from(["cart", " total", "(", ")", "\n", "\n    ", " =", "."]), min_size=1, max_size=40).map(
    "".join
)


def read(memory: Memory, files: dict[str, str], left: str) -> tuple[int, int, dict[int, float]]:
    """Tokens of the longest match of `left`, the number of its places, and what followed, nearer places for more."""
    fold = memory.folding.of
    known = fold(np.array(memory.vocabulary.encode(left), dtype=np.uint32)).tolist()[-DEPTH:]
    places = []
    for path, text in files.items():
        ids = memory.vocabulary.encode(text)
        folded = fold(np.array(ids, dtype=np.uint32)).tolist()
        for at in range(len(ids)):
            shared = 0
            while shared < min(at, len(known)) and folded[at - 1 - shared] == known[-1 - shared]:
                shared += 1
            places.append((shared, ids[at], NEARNESS[1 if path.startswith("shop/") else 2]))
    longest = max((shared for shared, _, _ in places), default=0)
    if longest < SHORTEST:
        return 0, 0, {}
    weights: dict[int, float] = defaultdict(float)
    for shared, token, weight in places:
        if shared == longest:
            weights[token] += weight
    return longest, sum(shared == longest for shared, _, _ in places), weights


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(code, min_size=1, max_size=6), replaced=code, own=code, left=code, merged=st.booleans())
def test_a_match_is_what_reading_every_other_file_finds(
    vocabulary: Vocabulary, texts: list[str], replaced: str, own: str, left: str, merged: bool
) -> None:
    memory = Memory(vocabulary)
    files = {("shop/" if i % 2 else "bank/") + f"{i}.py": left * (i < 2) + text for i, text in enumerate(texts)}
    for path in files:
        memory.remember(path, replaced)
    memory.remember("shop/edited.py", own + left)
    for path, text in files.items():
        memory.remember(path, text)
    if merged:
        memory.settle()
    # The cursor's line is the whole text before it, so that nothing of the file being edited is searched.
    match = memory.view("python", "shop/edited.py", "", "", 0).match(vocabulary.encode(left))
    memory.close()
    length, count, weights = read(memory, files, left)
    assert (match.length, match.count) == (length, count)
    total = sum(weights.values())
    assert match.chances == pytest.approx({token: weight / total for token, weight in weights.items()})
    assert set(match.ahead[:1]) <= set(weights)
    assert bool(match.ahead) == bool(count)
