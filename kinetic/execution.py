"""Where independent pieces of work are done: processes of this machine, or a Dask cluster.

An executor applies a function to items and yields each result as it comes, in any order. A function
that finds a non-physical state yields a `Failed` in its place; another error ends it all. A worker
that dies is replaced, and the work that it had at hand is done once more; if that ends in death
again, it has failed. No other work is touched. Functions and items can be pickled; results are
small, what is large a function writes itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.connection import wait as wait_for
from time import perf_counter
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar

from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.options import Options, choice, integer, optional, text

Item = TypeVar("Item")
Result = TypeVar("Result")

DIED = "the worker died, and so did the one that tried again"
PATIENCE = "10s"
"""For a scheduler to answer."""

AT_HAND = 2
"""Tasks that a worker of a cluster is given at a time, so that it never waits for the next."""

SHORT, MOST = 0.1, 32
"""Items that take fewer seconds travel together, in tasks of about so many, and of so many items at
most: a task costs scheduler and client some milliseconds, of the workers' cores if they share."""


@dataclass(frozen=True)
class Failed:
    """In place of a result: why there is none."""

    reason: str


class Executor(Protocol):
    """Applies functions to items somewhere; see the module."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Failed]]:
        """Yield each item with its result as it is done, or with why there is none.

        Items are taken from the iterable only as workers become free.
        """
        ...


@dataclass(frozen=True)
class ExecutionConfig(Options):
    """Where work is done: ``local`` processes, or ``dask``.

    `workers` is the number of processes, by default one a core; with ``dask`` that of a cluster of
    this machine, unless there is the `address` of a running scheduler.
    """

    PREFIX: ClassVar[str] = "execution"
    SCALAR: ClassVar[str] = "name"

    name: Annotated[str, choice(("local", "dask"))] = "local"
    workers: Annotated[int | None, optional(integer(1, 100_000))] = None
    address: Annotated[str | None, optional(text)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is not None and self.name != "dask":
            raise InvalidInput("execution.address", self.address, "only execution=dask has one")
        if self.address is not None and self.workers is not None:
            allowed = "a running scheduler has its own workers; leave one of both out"
            raise InvalidInput("execution.workers", self.workers, allowed)

    def executor(self, preload: tuple[str, ...] = ()) -> Local | Dask:
        """Return what the configuration describes.

        Args:
            preload: modules that processes of this machine import before they start.
        """
        if self.name == "dask":
            return Dask(self.workers, self.address)
        return Local(self.workers, preload)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def attempt(function: Callable[[Item], Result], item: Item) -> Result | Failed:
    """Return the result, or why there is none."""
    try:
        return function(item)
    except NonPhysicalState as error:
        return Failed(str(error))


@dataclass(frozen=True)
class Local:
    """Processes of this machine, by default one a core; one alone is this process.

    Args:
        workers: number of processes.
        preload: modules that they import before they start.
    """

    workers: int | None = None
    preload: tuple[str, ...] = ()

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Failed]]:
        workers, task = self.workers or cores(), partial(attempt, function)
        if workers == 1:
            yield from ((item, task(item)) for item in items)
            return
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(self.preload))
        remaining = iter(items)
        desks = [_Desk(context, task, item) for item in islice(remaining, workers)]
        try:
            while desks:
                wait([desk.future for desk in desks], return_when=FIRST_COMPLETED)
                for desk in [desk for desk in desks if desk.future.done()]:
                    done, result = desk.item, desk.result()
                    if result is None:
                        continue  # it is at work again
                    for item in islice(remaining, 1):
                        desk.begin(item)
                        break
                    else:
                        desks.remove(desk)
                        desk.close()
                    yield done, result[0]
        finally:
            for desk in desks:
                desk.close(cancel=True)


class _Desk(Generic[Item, Result]):
    """One process and the item it has at hand; a new process if it dies."""

    def __init__(self, context: Any, task: Callable[[Item], Result | Failed], item: Item) -> None:
        self._context, self._task = context, task
        self._pool = self._new()
        self.begin(item)

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context, initializer=start_worker)

    def begin(self, item: Item) -> None:
        """Give it an item."""
        self.item, self._deaths = item, 0
        self._submit()

    def _submit(self) -> None:
        self.future: Future[Result | Failed] = self._pool.submit(self._task, self.item)

    def result(self) -> tuple[Result | Failed] | None:
        """The result of the item that is done; None if the process died and it begins again."""
        try:
            return (self.future.result(),)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool, self._deaths = self._new(), self._deaths + 1
        if self._deaths > 1:
            return (Failed(DIED),)
        self._submit()
        return None

    def close(self, cancel: bool = False) -> None:
        """Let the process end, or make it."""
        if cancel:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=not cancel, cancel_futures=cancel)


def start_worker() -> None:
    """Leave interrupts to the parent, and end as soon as it does, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        wait_for([parent.sentinel])
        os._exit(1)


@dataclass(frozen=True)
class Dask:
    """Workers of a Dask cluster, of one thread each.

    Args:
        workers: of a cluster on this machine that lives as long as the work, by default one a core.
        address: of a running scheduler instead, ``tcp://host:port``. How often it gives an item to
            another worker before it is redone here is its own setting, 3, where that of a cluster
            on this machine is 0: `distributed.scheduler.allowed-failures`.

    Raises:
        InvalidInput: Dask is not installed, or no scheduler answers at the address.
    """

    workers: int | None = None
    address: str | None = None

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Failed]]:
        with self._client() as client:
            yield from _in_flight(client, partial(attempt, function), iter(items))

    @contextmanager
    def _client(self) -> Iterator[Any]:
        distributed = _distributed()
        if self.address is not None:
            with _connected(distributed, self.address) as client:
                yield client
            return
        with (
            local_cluster(self.workers or cores()) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """Yield a Dask cluster of this machine, of so many workers of one thread each."""
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": 0,
        # By default workers give back memory at once, and fault it in again half of their time.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**30,
        "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,
        # A worker is one core: Zarr would compress chunks on others, which have workers too.
        "distributed.nanny.pre-spawn-environ.ZARR_THREADING__MAX_WORKERS": 1,
    }
    options = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0"}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=workers, silence_logs=50, **options) as cluster,
    ):
        yield cluster


def _in_flight(
    client: Any, task: Callable[[Item], Result | Failed], items: Iterator[Item]
) -> Iterator[tuple[Item, Result | Failed]]:
    """Keep all workers of a cluster busy and yield what comes back.

    A scheduler blames all that a worker was given for its end. So what was lost is done once more
    when the rest is done, one item at a time: only the one that ends a worker again has failed.
    """
    from distributed import KilledWorker, as_completed

    def submit(count: int) -> list[Any]:
        futures = []
        for _ in range(count):
            if group := list(islice(items, together)):
                futures.append(client.submit(_in_turn, task, group, pure=False))
                pending[futures[-1].key] = group
        return futures

    together = 1
    pending: dict[str, list[Item]] = {}
    lost: list[Item] = []
    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    completed = as_completed(submit(AT_HAND * workers))
    for future in completed:
        group = pending.pop(future.key)
        completed.update(submit(1))
        try:
            results, seconds = future.result()
        except KilledWorker:
            lost += group
            continue
        # No clock is so fine that it never shows zero.
        together = max(1, min(MOST, round(SHORT * len(group) / max(seconds, SHORT / MOST))))
        yield from zip(group, results, strict=True)
    for item in lost:
        try:
            yield item, client.submit(task, item, pure=False).result()
        except KilledWorker:
            yield item, Failed(DIED)


def _in_turn(task: Callable[[Item], Result], items: list[Item]) -> tuple[list[Result], float]:
    """The results of several items, and the seconds that they took."""
    begin = perf_counter()
    return [task(item) for item in items], perf_counter() - begin


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        allowed = "needs Dask: pip install 'kinetic-closures[dask]'"
        raise InvalidInput("execution", "dask", allowed) from None
    return distributed


@contextmanager
def _connected(distributed: Any, address: str) -> Iterator[Any]:
    """A client of the scheduler at an address."""
    try:
        client = distributed.Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        allowed = f"must be the address of a running Dask scheduler, as tcp://host:8786; {reason}"
        raise InvalidInput("execution.address", address, allowed) from None
    with client:
        yield client
