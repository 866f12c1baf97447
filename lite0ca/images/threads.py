"""Work on photos in threads: decoding and OpenCV release Python's lock."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits

AHEAD = 4  # items a thread that may wait for who takes them
LONGEST_S = 5.0  # that the end of a thread is waited for


def in_threads(work: Callable, items: Sequence, bar: Callable | None = None) -> list:
    """`[work(item) for item in items]` on all cores.

    `bar(results, how many)` passes the results on, and shows how far they are.
    """
    with threadpool_limits(1):
        results = in_order(work, items, os.cpu_count() or 1)
        return list(bar(results, len(items)) if bar else results)


def in_order(work: Callable, items: Iterable, threads: int) -> Iterator:
    """`map(work, items)` in threads, of which each is a few items ahead."""
    if threads < 2:
        yield from map(work, items)
        return
    begun: set[int] = set()
    pool = ThreadPoolExecutor(threads, initializer=lambda: begun.add(threading.get_native_id()))
    try:
        waiting = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        wait_until_gone(begun)


def wait_until_gone(threads: Iterable[int]) -> None:
    """Wait until the system has no thread of these numbers any more; seen on Linux alone.

    Python calls a thread ended when its own part of it is. OpenCV then tidies up after it under a
    lock, and a loader process that is forked meanwhile would wait for that lock for ever.
    """
    folder, end = "/proc/self/task", time.monotonic() + LONGEST_S
    while any(os.path.exists(f"{folder}/{one}") for one in threads) and time.monotonic() < end:
        time.sleep(0.001)
