"""The loop of concurrent learning: explore, select, label, train, again and again.

Round 0 labels gases drawn at random. Every later round

1. explores: gases drawn at random, and generations of offspring of the worst, which climb the
   indicator (`closures.learn.explore`);
2. selects candidates (`closures.learn.selection`), or stops (`closures.learn.stopping`);
3. labels them with the kinetic solver (`closures.learn.label`);
4. trains every member of the ensemble on all labels from its last weights
   (`closures.learn.ensemble`).

Its random numbers depend on the seed and the number of the round alone, and every step leaves a
file that appears only when it is complete: a run that was killed at any moment finds what was
done, and ends with the same bits. In the directory of the run:

    labels/                     all labels (`closures.learn.store`)
    rounds/NNN/                 see `closures.learn.rounds`
    rounds.jsonl, progress.json see `closures.learn.status`
    model/                      the closure, at the end
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import Tensor

from closures.fast import warm_up as warm_up_compiled
from closures.learn.ensemble import Member
from closures.learn.execution import HereFirst
from closures.learn.label import Labeller, discretised
from closures.learn.model import keep_model
from closures.learn.options import LearnConfig
from closures.learn.proposals import Proposals
from closures.learn.rounds import RoundFolder, Selection
from closures.learn.status import ByDecade, Log, Row, by_decade, heading, line, locked, read_rows
from closures.learn.stopping import reason_to_stop
from closures.learn.store import LabelSet, LabelStore
from closures.learn.validation import validation_errors
from closures.memory import keep_freed_memory
from kinetic.errors import InvalidInput
from kinetic.execution import Executor, Failed
from kinetic.files import read_file, write_file
from kinetic.output import package_version
from kinetic.progress import ProgressBar
from kinetic.reference import warm_up
from kinetic.solver import Scheme

IDENTITY = "configuration.json"


@dataclass(frozen=True)
class Finished:
    """A run that has stopped: its model, what it took, and why it stopped."""

    model: Path
    rows: list[dict[str, Any]]
    reason: str
    failures: dict[str, str]

    def __str__(self) -> str:
        last = self.rows[-1]
        counts = f"{last['total_explored']} gases explored, {last['total_labelled']} labelled"
        failed = f"; {len(self.failures)} labels failed" if self.failures else ""
        return f"{self.model} ({counts}; {self.reason}{failed})"


def learn(
    config: LearnConfig | Mapping[str, Any],
    folder: str | os.PathLike[str],
    progress: bool = True,
    executor: Executor | None = None,
) -> Finished:
    """Learn a closure concurrently, or go on where a run was.

    Args:
        config: what to learn; a mapping is read by `LearnConfig.from_mapping`.
        folder: directory of the run.
        progress: print a line a round, and bars on a terminal.
        executor: where labels are made, in place of that of the configuration.

    Raises:
        InvalidInput: the configuration is not allowed, no label could be made, or `folder` holds
            something else or is in use by another process.
        NonPhysicalState: the closed equations broke down in training.
    """
    if not isinstance(config, LearnConfig):
        config = LearnConfig.from_mapping(config)
    folder = Path(folder)
    with locked(folder):
        _check_same(config, folder)
        keep_freed_memory()
        return Learning(config, folder, executor or _executor(config), progress).run()


def _executor(config: LearnConfig) -> Executor:
    """Where labels are made: in this process first, unless the configuration says by how many."""
    execution = config.execution
    executor = execution.executor(preload=("closures.learn.label",))
    asked = execution.name != "local" or execution.workers is not None
    return executor if asked else HereFirst(executor)


def _check_same(config: LearnConfig, folder: Path) -> None:
    """Refuse to go on with a run of another configuration or version."""
    here = json.dumps([package_version(), config.identity()], indent=1, sort_keys=True)
    file = folder / IDENTITY
    if not file.exists():
        write_file(file, here)
    elif not _holds(file, here.encode()):
        allowed = "holds a run of another configuration or version; choose another directory"
        raise InvalidInput("hydra.run.dir", folder, allowed)


def _holds(file: Path, content: bytes) -> bool:
    try:
        return read_file(file, len(content)) == content
    except ValueError:  # it is longer, or no file
        return False


class Learning:
    """A run: its configuration and its directory; see `learn`."""

    def __init__(
        self, config: LearnConfig, folder: Path, executor: Executor, progress: bool
    ) -> None:
        self.config, self.options = config, config.learn
        self.folder, self.executor, self.shown = folder, executor, progress
        self.store = LabelStore(folder / "labels")
        self.log = Log(folder)
        self.seconds: dict[str, float] = {}
        self.keys: list[str] = []
        self.failures: dict[str, str] = {}
        self.proposals = Proposals(config, self._files, self._members, self.log)

    def run(self) -> Finished:
        """Go through the rounds until there is a reason to stop; write the model."""
        self.store.clean()
        self._warm_up()
        self._show(heading())
        number = 0
        while (reason := self._round(number)) is None:
            number += 1
        with self._timed("model"):
            model = keep_model(self.folder / "model", self._members(number - 1)[0], self._labels())
        self.log.finish(number, reason)
        return Finished(model, read_rows(self.folder), reason, self.failures)

    def _warm_up(self) -> None:
        """Compile all kernels, or find them in their cache, before the rounds are timed."""
        scheme = self.config.scheme
        warm_up(Scheme(scheme.time, scheme.limiter, scheme.cfl), self.config.velocity.dim)
        if self.config.velocity.dim == 1:
            warm_up_compiled()

    def _round(self, number: int) -> str | None:
        """Do a round, or return why the run stops instead."""
        if number > self.options.rounds:
            return reason_to_stop(self.options, number, None)
        self.seconds = {}
        selected = self._selected(number)
        reason = reason_to_stop(self.options, number, selected) if number else None
        if reason is None:
            self._label(number, selected)
            self._check_labels(selected)
            self._train(number)
        self._report(number, selected, reason is None)
        return reason

    def _selected(self, number: int) -> Selection:
        """What a round labels, found before or now."""
        files = self._files(number)
        found = files.selection()
        if found is None:
            with self._timed("explore"):
                blind = number == 0 or self.options.selection == "random"
                propose = self.proposals.drawn if blind else self.proposals.explored
                found = propose(number)
                files.keep_selection(found)
        return found

    def _label(self, number: int, selected: Selection) -> None:
        """Have the labels of a round made that are not there; note those that failed."""
        physics = self.config.physics
        with self._timed("label"):
            keys = {request.key(physics): request for request in selected.requests}
            if self.options.retry:
                for key in keys:
                    self.store.forgive(key)
            known = [key for key in keys if self.store.has(key) or self.store.failure(key)]
            pending = [request for key, request in keys.items() if key not in known]
            self.log.progress(number, "labelling", len(known), len(keys))
            label = Labeller(physics, self.store.path)
            for done, (request, result) in enumerate(self.executor.map(label, pending), 1):
                if isinstance(result, Failed):
                    key = request.key(physics)
                    self.store.fail(key, result.reason, request.to_mapping())
                self.log.progress(number, "labelling", len(known) + done, len(keys))
            self.keys += [key for key in keys if self.store.has(key)]
            reasons = {key: self.store.failure(key) for key in keys}
            self.failures |= {key: why for key, why in reasons.items() if why is not None}

    def _check_labels(self, selected: Selection) -> None:
        """Refuse to train on nothing.

        Raises:
            InvalidInput: there is no label at all; why the first could not be made.
        """
        if self.keys:
            return
        physics, first = self.config.physics, selected.requests[0]
        discretised(physics, first)  # refuses the velocity grid under its own key
        allowed = f"no label could be made: {self.failures[first.key(physics)]}"
        raise InvalidInput("learn.first", self.options.first, allowed)

    def _labels(self) -> LabelSet:
        return LabelSet(self.store, self.keys, self.config.physics, self.options.window)

    def _train(self, number: int) -> None:
        """Train every member on all labels, from the weights of the round before."""
        labels = self._labels()
        for member in self._members(number):
            self.log.progress(number, "training", member.number, self.options.members)
            with self._timed("train"), ProgressBar(self.shown, "training") as bar:
                member.train(labels, self._weights_before(member), bar)

    def _weights_before(self, member: Member) -> Mapping[str, Tensor] | None:
        if member.round == 0:
            return None
        return self._members(member.round - 1)[member.number].weights()

    def _report(self, number: int, selected: Selection, trained: bool) -> None:
        """Add the row of a round, unless it is there, and show it."""
        if not self._is_reported(number, selected if trained else None):
            with self._timed("validate"):
                members = self._members(number if trained else number - 1)
                errors = by_decade(validation_errors(members, self._labels()))
            self.log.add(self._row(number, selected, trained, errors))
        self._show(line(read_rows(self.folder)[number]))

    def _is_reported(self, number: int, labelled: Selection | None) -> bool:
        """Whether there is the row of a round that asked for these labels.

        A run that stopped here may go on by other criteria, or stop where it had gone on; its row
        is then of another number of labels.
        """
        rows = read_rows(self.folder)
        if number >= len(rows):
            return False
        asked = len(labelled.requests) if labelled else 0
        return bool(rows[number]["labelled"] + rows[number]["unlabelled"] == asked)

    def _row(self, number: int, selected: Selection, trained: bool, errors: ByDecade) -> Row:
        requests = selected.requests if trained else ()
        failed = sum(request.key(self.config.physics) in self.failures for request in requests)
        before = read_rows(self.folder)[:number]
        explored = selected.explored + sum(row["explored"] for row in before)
        return Row(
            round=number,
            explored=selected.explored,
            accurate=selected.accurate,
            candidate=selected.candidate,
            failed=selected.failed,
            labelled=len(requests) - failed,
            unlabelled=failed,
            total_explored=explored,
            total_labelled=len(self.keys),
            share=len(self.keys) / explored,
            candidate_share=selected.candidate_share,
            level=selected.level,
            worst=selected.worst,
            error=errors,
            seconds=self.seconds,
        )

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Add up the wall time of a phase of a round."""
        begin = perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + perf_counter() - begin

    def _show(self, text: str) -> None:
        if self.shown:
            print(text, flush=True)

    def _files(self, number: int) -> RoundFolder:
        return RoundFolder(self.folder / "rounds" / f"{number:03}")

    def _members(self, number: int) -> list[Member]:
        path = self._files(number).path
        return [Member(path, self.config, number, m) for m in range(self.options.members)]
