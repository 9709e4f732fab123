"""Command lines made of subcommands, before any configuration is composed.

Listing the subcommands and refusing an unknown one needs none of the numerical libraries, so both
are immediate.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinetic.errors import InvalidInput, nearest

#: Exit statuses of every command.
DONE, FAILED, INVALID, NON_PHYSICAL, INTERRUPTED = 0, 1, 2, 3, 130

Configuration = dict[str, Any]


@contextmanager
def telling(label: str) -> Iterator[list[int]]:
    """Print to standard output in the body; the list ends with the exit status.

    Where it cannot be written, as on a full disk, that is told in one line.
    """
    status = [DONE]
    try:
        yield status
    except BrokenPipeError:  # the reader has left, as `head` does, which is no failure
        abandon_output()
    except OSError as failure:
        abandon_output()
        refusal = InvalidInput("standard output", "", f"cannot be written: {failure.strerror}")
        print(f"{label}: error: {refusal}", file=sys.stderr, flush=True)
        status[0] = INVALID


def abandon_output() -> None:
    """Let what is still to be written to standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leaves(*names: str) -> Callable[[Configuration, Path], bool]:
    """Return whether the directory of a run holds these results, for `Command.has_left`."""

    def has_left(config: Configuration, folder: Path) -> bool:
        """Whether every result is there."""
        return all((folder / name).exists() for name in names)

    return has_left


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        name: what the user types after the program's name.
        summary: what it does and writes, in one line.
        config: name of its primary configuration file, without ``.yaml``.
        run: does the work for a configuration, leaves the results in a directory, and returns one
            line that says what was done.
        has_left: whether the results for a configuration, in a directory, are still there.
        prepare: called once before the jobs of a sweep, which may start together in processes.
    """

    name: str
    summary: str
    config: str
    run: Callable[[Configuration, Path], str]
    has_left: Callable[[Configuration, Path], bool] = lambda config, folder: True
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Program:
    """A program of several subcommands, e.g. ``kinetic``."""

    name: str
    summary: str
    commands: tuple[Command, ...]

    def usage(self) -> str:
        """Return the text that lists the subcommands."""
        width = max(len(command.name) for command in self.commands)
        listing = (f"  {command.name:{width}}  {command.summary}" for command in self.commands)
        return "\n".join(
            (
                f"{self.name}: {self.summary}",
                "",
                f"usage: {self.name} COMMAND [key=value ...] [--multirun] [--cfg job] [--help]",
                "",
                *listing,
                "",
                f"`{self.name} COMMAND --help` lists what can be set.",
            )
        )

    def command(self, name: str) -> Command:
        """Return the subcommand called `name`.

        Raises:
            InvalidInput: there is none; the message lists them and names the nearest.
        """
        known = {command.name: command for command in self.commands}
        if name not in known:
            allowed = "unknown; must be one of " + ", ".join(known)
            raise InvalidInput("command", name, allowed + nearest(name, known))
        return known[name]

    def select(self, arguments: Sequence[str]) -> Command | str:
        """Return the subcommand that the first argument names, or a text to print instead."""
        first = arguments[0] if arguments else "--help"
        if first in ("-h", "--help"):
            return self.usage()
        if first == "--version":
            from kinetic.output import package_version

            return f"{self.name} {package_version()}"
        return self.command(first)
