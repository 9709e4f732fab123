"""Command lines made of subcommands, before any configuration is composed.

Listing the subcommands and refusing an unknown one needs none of the numerical libraries, so both
are immediate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinetic.errors import InvalidInput, nearest

#: Exit statuses of every command.
DONE, FAILED, INVALID, NON_PHYSICAL, INTERRUPTED = 0, 1, 2, 3, 130

Configuration = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        name: what the user types after the program's name.
        summary: what it does and writes, in one line.
        config: name of its primary configuration file, without ``.yaml``.
        run: does the work for a configuration, leaves the results in a directory, and returns one
            line that says what was done.
        prepare: called once before the jobs of a sweep, which may start together in processes.
    """

    name: str
    summary: str
    config: str
    run: Callable[[Configuration, Path], str]
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
