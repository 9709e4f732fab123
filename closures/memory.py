"""Keep freed memory in the process: its pages cost more to fault in again than to compute with.

PyTorch allocates every intermediate array anew. Arrays of some 100 kB come from `mmap` and go back
to the system when they are freed, so each costs a page fault for every 4 kB.
"""

from __future__ import annotations

import ctypes
from functools import cache

OPTIONS = {
    "M_MMAP_THRESHOLD": (-3, 2**25),
    "M_TRIM_THRESHOLD": (-1, 2**30),
    "M_TOP_PAD": (-2, 2**26),
}
"""Of mallopt(3) of the GNU C library: number and value. Larger arrays still come from `mmap`."""


@cache
def keep_freed_memory() -> bool:
    """Tell the C library, once a process; return whether it listens (GNU libc does)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(option, value) == 1 for option, value in OPTIONS.values())
