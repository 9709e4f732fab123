"""Where a data set lies: a directory, or whatever fsspec reaches by a URL (s3://, gs://, ...).

A directory on this machine appears under its name when it is complete, by renaming, and is locked
by its writer. Object stores can do neither: there a data set has begun when its metadata have been
consolidated, which is done last, and who writes must be alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

Location: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True)
class Place:
    """A directory, or a URL.

    Attributes:
        text: path or URL.
    """

    text: str

    @classmethod
    def of(cls, location: Location) -> Place:
        """The place of a path or a URL; one that begins with file:// is a path."""
        return cls(os.fspath(location).removeprefix("file://"))

    def __str__(self) -> str:
        return self.text

    def __fspath__(self) -> str:
        return self.text

    @property
    def remote(self) -> bool:
        """Whether it is a URL."""
        return "://" in self.text

    @property
    def path(self) -> Path:
        """The directory."""
        return Path(self.text)

    def absolute(self) -> Place:
        """The same place, also for processes that run in another directory."""
        return self if self.remote else Place(str(self.path.absolute()))

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        filesystem, root = url_to_fs(self.text if self.remote else f"file://{self.path.absolute()}")
        filesystem.use_listings_cache = False
        return filesystem, root

    def _at(self, parts: tuple[str, ...]) -> str:
        return "/".join((self._filesystem[1], *parts))

    def zarr(self, read_only: bool = False) -> Any:
        """What zarr opens."""
        if not self.remote:
            return self.path
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(self.text, read_only=read_only)

    def exists(self, *parts: str) -> bool:
        """Whether there is something."""
        return bool(self._filesystem[0].exists(self._at(parts)))

    def names(self, *parts: str) -> list[str]:
        """Names of what is in a directory, none if there is none."""
        filesystem, folder = self._filesystem[0], self._at(parts)
        filesystem.invalidate_cache()
        try:
            listed = filesystem.ls(folder, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name.rstrip("/").rpartition("/")[2] for name in listed]

    def remove(self, *parts: str) -> None:
        """Remove a file, or a directory and all that is in it."""
        self._filesystem[0].rm(self._at(parts), recursive=True)

    def size(self, *parts: str) -> int | None:
        """Bytes of a file, None if there is no file."""
        filesystem, name = self._filesystem[0], self._at(parts)
        return int(filesystem.size(name)) if filesystem.isfile(name) else None

    def tail(self, count: int, *parts: str) -> bytes:
        """The last bytes of a file."""
        return bytes(self._filesystem[0].tail(self._at(parts), count))

    def pieces(self, starts: Sequence[int], count: int, *parts: str) -> list[bytes]:
        """So many bytes of a file from each of some positions, fewer at its end.

        Raises:
            Exception: of the kind of store, when there is no such file or position.
        """
        filesystem, name = self._filesystem[0], self._at(parts)
        ends = [start + count for start in starts]
        names = [name] * len(ends)
        return list(filesystem.cat_ranges(names, list(starts), ends, on_error="raise"))
