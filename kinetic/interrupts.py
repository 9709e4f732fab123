"""Ctrl-C that is not lost.

A library that is interrupted in a callback of compiled code may swallow the exception, as Numba's
compiler does, or make another one of it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noticed() -> Iterator[Callable[[], None]]:
    """Notice Ctrl-C while a command runs in the main thread.

    Yields:
        What raises KeyboardInterrupt if there has been one.
    """
    received = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = True
        signal.default_int_handler(number, frame)

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
