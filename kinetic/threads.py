"""Threads that are kept, for kernels that hold no lock of the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

Result = TypeVar("Result")


def share(kernel: Callable[[int, int], Result], size: int, parts: int) -> list[Result]:
    """Call ``kernel(first, last)`` on equal parts of range(size), each on a thread of its own.

    What the kernel writes must not depend on the parts.
    """
    if parts <= 1:
        return [kernel(0, size)]
    edges = [size * part // parts for part in range(parts + 1)]
    return list(pool(parts).map(lambda ends: kernel(*ends), pairwise(edges)))


def pool(workers: int) -> ThreadPoolExecutor:
    """Return threads that are kept: starting them takes longer than many a kernel."""
    return _pool(workers, os.getpid())


@cache
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of a parent do not survive a fork."""
    return ThreadPoolExecutor(workers)
