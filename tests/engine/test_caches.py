"""Which cache serves a window: the longest common prefix, room for new documents, a bound on memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine.caches import CachePool
from engine.checkpoint import Checkpoint
from engine.denoiser import Denoiser
from engine.device import choose
from tests.engine.tiny import LLAMA, write_model


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Denoiser:
    folder: Path = write_model(tmp_path_factory.mktemp("model"), LLAMA)
    return Denoiser(Checkpoint(folder), choose("cpu"), "int8-blocks")


def document(seed: int, length: int = 100) -> list[int]:
    return np.random.default_rng(seed).integers(20, 600, length).tolist()


def used(pool: CachePool, ids: list[int]):
    """The cache for `ids`, filled with them as a sampler does."""
    cache = pool.get(ids)
    cache.tokens[0] = list(ids)
    return cache


def test_typing_on_takes_the_same_cache(small):
    pool, text = CachePool(small), document(1)
    first = used(pool, text)
    assert pool.get([*text, 5, 6]) is first
    assert pool.stats()["prompt_tokens_cached"] == 100


def test_another_document_gets_a_cache_of_its_own_while_there_is_room(small):
    pool = CachePool(small, limit=2)
    a, b = used(pool, document(1)), used(pool, document(2))
    assert a is not b
    assert pool.get(document(1)) is a
    assert pool.get(document(2)) is b


def test_the_least_recently_used_cache_is_given_up(small):
    pool = CachePool(small, limit=2)
    a, b = used(pool, document(1)), used(pool, document(2))
    assert pool.get(document(1)) is a  # now b is the oldest
    assert used(pool, document(3)) is b
    assert pool.stats()["caches"] == 2


def test_the_bound_on_memory_holds_and_is_reported(small):
    pool = CachePool(small, limit=3)
    for seed in range(10):
        used(pool, document(seed))
    one = small.new_cache().bytes
    assert pool.stats()["cache_bytes"] == 3 * one
    pool.clear()
    assert pool.stats()["cache_bytes"] == 0


def test_the_hit_rate_counts_only_what_need_not_be_computed(small):
    pool, text = CachePool(small), document(1)
    used(pool, text)
    pool.get(text)  # the last token is always computed: its row gives the next prediction
    assert pool.stats()["cache_hit_rate"] == pytest.approx(99 / 200, abs=1e-4)


def test_a_request_under_way_keeps_its_cache_from_other_threads(small):
    pool, text = CachePool(small, limit=1), document(1)
    mine = used(pool, text)
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(pool.get, text).result()
        assert theirs is not mine
        assert pool.get(text) is mine
        pool.release()
        assert pool.stats()["caches"] == 1  # back within the limit: what a request holds stays
        other.submit(pool.release).result()
    assert pool.get(document(2)) is theirs
