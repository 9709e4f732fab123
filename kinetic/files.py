"""Files that appear whole or not at all, small files read within bounds, and directories in use.

What is written goes to the disk under another name, ``.NAME.PID.partial``, and is then renamed: a
reader, and the next run after a kill or on a full disk, finds what was there before or all that is
new. A directory cannot be renamed over another: the earlier one is first renamed to
``.NAME.PID.old``. What a killed process leaves under such names is put back or removed by
`remove_partials`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from kinetic.errors import InvalidInput

#: What an operating system says of a place that cannot be read or written, not of a defect.
STORAGE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ESTALE),
)
#: Bytes of a JSON file that is read.
MOST_JSON = 1 << 28
#: Of a whole number in it, so that it can be made a float.
MOST_DIGITS = 300
LEFT = re.compile(r"\.(.+)\.(\d+)\.(partial|old)")
#: What a file system that knows no locks answers.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def write_file(path: Path, content: bytes | str) -> Path:
    """Write a file, text as UTF-8, complete or not at all; return its path.

    Raises:
        OSError: there is no room or no permission; nothing new is left behind.
    """
    with replacing(path) as partial, partial.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    return path


def write_json(path: Path, value: Any, indent: int | None = 1) -> Path:
    """Write strict JSON, complete or not at all; return its path.

    Raises:
        OSError: as `write_file`.
        ValueError: a number is not finite.
    """
    return write_file(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


@contextmanager
def replacing(path: Path, over: bool = True) -> Iterator[Path]:
    """Yield where to write a file or a directory that becomes `path` at the end.

    If the body raises, what it wrote is removed and `path` stays as it was. A directory that is
    replaced disappears only afterwards.

    Args:
        path: what shall be there.
        over: whether it replaces a directory; else one that is not empty ends in an OSError.
    """
    partial = _beside(path, "partial")
    _remove(partial)
    try:
        yield partial
        if over and partial.is_dir() and path.exists():
            _exchange(partial, path)
        else:
            partial.replace(path)
    finally:
        _remove(partial)


def _exchange(partial: Path, path: Path) -> None:
    old = _beside(path, "old")
    _remove(old)
    path.rename(old)
    try:
        partial.rename(path)
    except OSError:
        old.rename(path)
        raise
    old.rename(partial)  # to be removed; what is called old is whole


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{suffix}")


def _remove(path: Path) -> None:
    """Remove a file, a link or a directory; nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove what processes that no longer run on this machine left in a directory.

    What one of them was killed while replacing is put back.

    Raises:
        OSError: there is no permission.
    """
    for entry in list(folder.iterdir()) if folder.is_dir() else ():
        left = LEFT.fullmatch(entry.name)
        if not left or _is_running(int(left[2])):
            continue
        name, kind = folder / left[1], left[3]
        if kind == "old" and not os.path.lexists(name):
            entry.rename(name)
        else:
            _remove(entry)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def read_file(path: Path, most: int) -> bytes:
    """Read an ordinary file of at most so many bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no ordinary file, or larger.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it is not a file")
    if about.st_size > most:
        raise ValueError(f"it is larger than {most} bytes")
    with path.open("rb") as file:
        return file.read(about.st_size)


def read_json(path: Path, most: int = MOST_JSON) -> Any:
    """Read strict JSON: UTF-8, without the numbers NaN and Infinity and those no float can hold.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, nested too deeply, or no JSON.
    """
    return parse_json(read_file(path, most))


def parse_json(text: bytes | str) -> Any:
    """Return the value of strict JSON; see `read_json`."""
    try:
        return json.loads(text, parse_float=_finite, parse_int=_whole, parse_constant=_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(digits: str) -> float:
    number = float(digits)
    return number if abs(number) < float("inf") else _constant(digits)


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"{digits[:20]}... has too many digits")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name[:20]} is no number of JSON")


@contextmanager
def locked(folder: Path, key: str) -> Iterator[None]:
    """Hold a directory for this process; the system releases it however the process ends.

    On a file system that knows no locks nothing is held.

    Raises:
        InvalidInput: under `key`, when another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder, key)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, key: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InvalidInput(key, folder, "is being written by another process") from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def explain_storage(error: OSError, key: str, place: object) -> InvalidInput | None:
    """Return the refusal of a place that cannot be read or written, None of another error."""
    if error.errno not in STORAGE:
        return None
    name = f" ({error.filename})" if error.filename and str(error.filename) != str(place) else ""
    return InvalidInput(key, place, f"cannot be used: {error.strerror}{name}")
