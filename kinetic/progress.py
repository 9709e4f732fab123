"""A progress bar that only long runs on a terminal show."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import Progress

from kinetic.interrupts import check

DELAY = 2.0


class ProgressBar:
    """Context manager with `update(done, total)`; silent for the first two seconds.

    Args:
        enabled: if false, or if standard error is not a terminal, nothing is ever shown.
        label: text in front of the bar.
    """

    def __init__(self, enabled: bool, label: str = "solving") -> None:
        self._console = Console(stderr=True)
        self._enabled = enabled and self._console.is_terminal
        self._label = label
        self._bar: Progress | None = None
        self._begin = time.monotonic()

    def __enter__(self) -> ProgressBar:
        self._begin = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Report that `done` of `total` steps are finished; end here if that was asked for."""
        check()
        if not self._enabled or time.monotonic() - self._begin < DELAY:
            return
        if self._bar is None:
            self._bar = Progress(console=self._console, transient=True)
            self._bar.start()
            self._bar.add_task(self._label, total=total)
        self._bar.update(self._bar.task_ids[0], completed=done)
