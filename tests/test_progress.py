"""The progress bar: only long runs on a terminal show it."""

from __future__ import annotations

import pytest

from kinetic import progress
from kinetic.progress import ProgressBar


def shown(capsys, enabled):
    with ProgressBar(enabled, "solving") as bar:
        for done in range(1, 4):
            bar.update(done, 3)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("terminal", "delay", "enabled", "visible"),
    [
        (True, 0.0, True, True),
        (True, 60.0, True, False),
        (True, 0.0, False, False),
        (False, 0.0, True, False),
    ],
)
def test_bar_shows_only_when_asked_on_a_terminal_after_a_while(
    terminal, delay, enabled, visible, capsys, monkeypatch
):
    monkeypatch.setattr(progress, "DELAY", delay)
    monkeypatch.setenv("FORCE_COLOR" if terminal else "NO_COLOR", "1")
    assert ("solving" in shown(capsys, enabled)) == visible
