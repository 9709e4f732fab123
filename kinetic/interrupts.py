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

_received = False


def check() -> None:
    """Raise KeyboardInterrupt if there has been a Ctrl-C that was to be noticed.

    Long work calls it as it goes on (`kinetic.progress`), for else a lost one would only end it at
    its end.
    """
    if _received:
        raise KeyboardInterrupt


@contextmanager
def noticed() -> Iterator[Callable[[], None]]:
    """Notice Ctrl-C while a command runs in the main thread; yield `check`."""

    def handle(number: int, frame: FrameType | None) -> None:
        global _received
        _received = True
        signal.default_int_handler(number, frame)

    global _received
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        _received = False
        signal.signal(signal.SIGINT, signal.default_int_handler)
