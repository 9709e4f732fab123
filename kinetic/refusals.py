"""What the user is told when Hydra refuses a command line: one line instead of its own many."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from kinetic.errors import InvalidInput, nearest
from kinetic.resources import config_dir

Keys = Callable[[], Sequence[str]]


def explain(error: Exception, overrides: Sequence[str], valid_keys: Keys) -> InvalidInput:
    """Return the refusal of a configuration that Hydra could not compose.

    Args:
        error: what Hydra raised.
        overrides: the command line, without program and subcommand.
        valid_keys: returns every key that may be set; called only when one is unknown.
    """
    if isinstance(error, OSError) and error.strerror is not None:
        return _unusable(error, overrides)
    if options := getattr(error, "options", None):
        return _unknown_option(str(getattr(error, "missing_cfg_file", "")), options)
    if override := getattr(error, "override", None):
        return _unreadable(override)
    text = str(error)
    if match := re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text):
        return _unknown_key(match.group(1), overrides, valid_keys())
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.+)'", text):
        key, _, value = match.group(1).partition("=")
        allowed = "must be one value; add --multirun to run each, or brackets to make it a list"
        return InvalidInput(key, value, allowed)
    if "Config group override must be" in text:
        return _not_a_name(overrides)
    reason = (text or str(error.__cause__)).partition("\n    full_key")[0]
    return InvalidInput("overrides", " ".join(overrides), reason)


def refuse_lists(overrides: Sequence[str]) -> None:
    """Refuse ``group=[a,b]``, which Hydra would merge into one configuration without a word.

    Raises:
        InvalidInput: a group is set to a list.
    """
    for key, _, value in (override.partition("=") for override in overrides):
        if value.startswith("[") and key and (config_dir() / key).is_dir():
            raise InvalidInput(key, value, "must be one option; a sweep is a,b with --multirun")


def explain_option(complaint: str, usage: str) -> InvalidInput:
    """Return the refusal of a command-line option, from the complaint and usage of argparse."""
    message = complaint.strip().splitlines()[-1].partition("error: ")[2]
    option = re.search(r"--?\w[\w-]*", message)
    name = option.group() if option else ""
    known = re.findall(r"--?[\w-]+", usage)
    if name not in known:
        message += nearest(name, known) or "; a key is set by key=value, without dashes"
    return InvalidInput("option", name, message)


def dotted_keys(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the keys of a nested configuration in dotted form, groups before their members."""
    keys = []
    for name, value in config.items():
        keys.append(prefix + name)
        if isinstance(value, Mapping):
            keys.extend(dotted_keys(value, f"{prefix}{name}."))
    return keys


def nearest_key(key: str, valid: Sequence[str]) -> str:
    """Return ``"; did you mean 'velocity.points'?"`` for the valid key most like `key`, or "".

    A key that lacks its group, such as ``points``, is compared with the last parts of the others.
    """
    full = {name.rpartition(".")[2]: name for name in reversed(valid)}
    last = key.rpartition(".")[2]
    if last in full:
        return nearest(full[last], [full[last]])
    match = get_close_matches(last, full, n=1)
    return nearest(key, valid) or (nearest(full[match[0]], [full[match[0]]]) if match else "")


def _unusable(error: OSError, overrides: Sequence[str]) -> InvalidInput:
    """Return the refusal of a place that the operating system refuses."""
    key = f"hydra.{'sweep' if {'-m', '--multirun'} & set(overrides) else 'run'}.dir"
    given = (text.partition("=")[2] for text in overrides if text.startswith(f"{key}="))
    place = error.filename or next(given, "the working directory")
    return InvalidInput(key, place, f"cannot be used: {error.strerror}")


def _unknown_option(path: str, options: Sequence[str]) -> InvalidInput:
    group, _, value = path.rpartition("/")
    also = ", or the directory of a trained closure" if group == "closure" else ""
    allowed = "must be one of " + ", ".join(options) + also
    return InvalidInput(group, value, allowed + nearest(value, options))


def _not_a_name(overrides: Sequence[str]) -> InvalidInput:
    """Return the refusal of the first ``group=value`` whose value is no option of the group."""
    for key, _, value in (override.partition("=") for override in overrides):
        options = sorted(file.stem for file in (config_dir() / key).glob("*.yaml"))
        if options and value not in options:
            return _unknown_option(f"{key}/{value}", options)
    return InvalidInput(
        "overrides", " ".join(overrides), "a group must be set to one of its options"
    )


def _unreadable(override: str) -> InvalidInput:
    key, equals, value = override.partition("=")
    if not equals:
        return InvalidInput("argument", override, "must be written key=value")
    return InvalidInput(
        key, value, "cannot be read; write key=value, with quotes around special characters"
    )


def _unknown_key(key: str, overrides: Sequence[str], valid: Sequence[str]) -> InvalidInput:
    key = key.partition("@")[0].lstrip("~+")
    given = (text.partition("=")[2] for text in overrides if text.lstrip("~+").startswith(key))
    allowed = "unknown key" + nearest_key(key, valid)
    return InvalidInput(key, next(given, ""), allowed + "; --help lists the keys")
