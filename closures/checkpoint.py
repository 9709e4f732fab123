"""Checkpoints of a training run: tensors and a JSON record, replaced as one.

The tensors are written first, under a name of their own, then by renaming the record that declares
them, so that a run killed at any moment finds its last whole checkpoint. Nothing is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from kinetic.errors import InvalidInput
from kinetic.files import read_file, read_json, remove_partials, write_file, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.optim import Optimizer

RECORD = "checkpoint.json"
MOST_BYTES = 1 << 30
"""Of the tensors of a checkpoint."""

DAMAGE = (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError)
"""What reading a damaged checkpoint, or using what it holds, raises."""


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of the run `key` in the directory `path`."""

    path: Path
    key: str

    def save(self, number: int, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Replace the checkpoint; `number` never repeats within a run."""
        self.path.mkdir(parents=True, exist_ok=True)
        remove_partials(self.path)
        # Named after the run, so that what a record declares is never another run's tensors.
        name = f"{self.key[:12]}-{number}.safetensors"
        whole = {key: value.detach().contiguous() for key, value in tensors.items()}
        content = save(whole)
        write_file(self.path / name, content)
        known = {"key": self.key, "file": name, "sha256": sha256(content).hexdigest()}
        write_json(self.path / RECORD, {**known, **record}, indent=None)
        for old in self.path.glob("*.safetensors"):
            if old.name != name:
                old.unlink()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and record of this very run; None if there are none.

        Raises:
            InvalidInput: the checkpoint is damaged.
        """
        if not (self.path / RECORD).exists():
            return None
        with self.reading():
            record = read_json(self.path / RECORD)
            if record["key"] != self.key:
                return None
            content = read_file(self.path / Path(record["file"]).name, MOST_BYTES)
            if sha256(content).hexdigest() != record["sha256"]:
                raise ValueError("the digest of its tensors is another")
            return load(content), record

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Refuse the checkpoint if what it holds turns out not to fit."""
        try:
            yield
        except DAMAGE as error:
            why = str(error).partition("\n")[0]
            allowed = f"holds a damaged checkpoint ({why}); delete it to start again"
            raise InvalidInput("hydra.run.dir", self.path, allowed) from error


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as tensors named ``parameter.quantity``."""
    return {
        f"{i}.{name}": value
        for i, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put what `optimizer_tensors` returned back."""
    whole = optimizer.state_dict()
    for name, value in tensors.items():
        index, _, quantity = name.partition(".")
        whole["state"].setdefault(int(index), {})[quantity] = value
    optimizer.load_state_dict(whole)


def group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix.``, without it."""
    start = f"{prefix}."
    return {n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)}
