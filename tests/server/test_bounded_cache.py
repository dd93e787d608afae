"""The cache whose size is counted in bytes."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from taskgate_server.bounded_cache import ENTRY_BYTES, BoundedCache


def test_least_recently_used_entries_are_evicted_first() -> None:
    cache: BoundedCache[str, int] = BoundedCache(3 * (ENTRY_BYTES + 10))
    for number, key in enumerate("abc"):
        cache.put(key, number, 10)
    assert cache.get("a") == 0
    cache.put("d", 3, 10)
    assert [cache.get(key) for key in "abcd"] == [0, None, 2, 3]


def test_an_entry_larger_than_the_cache_is_not_stored() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2 * ENTRY_BYTES)
    cache.put("small", 1, 0)
    cache.put("large", 2, 2 * ENTRY_BYTES)
    assert (cache.get("small"), cache.get("large")) == (1, None)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5000))))
def test_the_size_is_that_of_the_entries_and_within_the_bound(puts: list[tuple[int, int]]) -> None:
    cache: BoundedCache[int, int] = BoundedCache(10_000)
    for key, size in puts:
        cache.put(key, size, size)
        assert cache.size <= cache.max_bytes
    present = [value for key in range(21) if (value := cache.get(key)) is not None]
    assert cache.size == sum(present) + len(cache) * ENTRY_BYTES
    assert len(present) == len(cache)


def test_the_bound_holds_for_real_memory() -> None:
    tracemalloc.start()
    try:
        cache: BoundedCache[tuple[str, bytes], int] = BoundedCache(1_000_000)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20_000):
            cache.put((f"User caller-{number}", b"x" * (number % 1000)), 1, number % 1000 + 80)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1.2 * cache.max_bytes
