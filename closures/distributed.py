"""Training in several processes, on one host or many, as torch's `torchrun` starts them:

    torchrun --nproc-per-node 2 --no-python closures train train.data=...

All processes draw the samples of a step alike, each computes the loss of its part, and gradients
are averaged: n processes take the steps of one, up to the order of sums. The first one alone writes
checkpoints and the model, in a directory that all see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from kinetic.errors import InvalidInput


@contextmanager
def team() -> Iterator[None]:
    """Join the processes that `torchrun` has started, if it has."""
    if not dist.is_torchelastic_launched():
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this process is the one that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait() -> None:
    """Wait until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


@contextmanager
def leader_first() -> Iterator[None]:
    """Let the others do what follows after the first, which writes what they read."""
    if not leads():
        wait()
    yield
    if leads():
        wait()


def check_share(key: str, count: int) -> None:
    """Refuse `count` samples a step that do not part equally.

    Raises:
        InvalidInput: under `key`.
    """
    if size() > 1 and count % size():
        allowed = f"must be a multiple of {size()} for {size()} processes"
        raise InvalidInput(key, count, allowed)


def share(rows: Tensor) -> Tensor:
    """The part of the samples `rows` of a step that is this process's.

    Raises:
        InvalidInput: the data have too few samples for all to have as many.
    """
    if not dist.is_initialized():
        return rows
    check_share("train.data", len(rows))
    return rows[dist.get_rank() :: size()]


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace the gradients by their mean over the processes, in one message."""
    if not dist.is_initialized():
        return
    owners = [one for one in parameters if one.grad is not None]
    flat = torch.cat([one.grad.flatten() for one in owners if one.grad is not None])
    dist.all_reduce(flat)
    parts = (flat / size()).split([one.numel() for one in owners])
    for one, part in zip(owners, parts, strict=True):
        one.grad = part.view_as(one)
