"""Finished parts of a stage that is not complete: a run that was stopped or killed goes on from the last of them.

    RUN/.kept/<kind>-<fingerprint>/<inputs>/<part>/values.pt    what the next part must know
    RUN/.kept/<kind>-<fingerprint>/<inputs>/<part>/kept.json    written last; checksums of the part's other files

A part appears whole or not at all and is checked against its checksums before it is used. `inputs` stands for the content of the stage's parents, so
that parts made from other weights are never taken.
"""

import contextlib
import itertools
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import numpy as np
import torch

from palpate.core.io import atomic_folder, read_record, sha256, write_record
from palpate.core.records import check_stage_id
from palpate.core.run_folder import RunFolder
from palpate.models.resume import mapped
from palpate.models.weight_files import load_without_code

Piece = TypeVar("Piece")

EVERY = 1.0
"""Seconds of work, at least, between two parts that are kept: writing less often than this saves nothing."""

SHARE = 20
"""Work takes, at least, so many times as long as keeping it did: at most a twentieth of the time goes into it."""


class Kept:
    """The kept parts of one stage.

    Args:
        path: their folder, made when the first part is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last, self._cost = time.monotonic(), 0.0

    def due(self) -> bool:
        """Whether enough work was done since a part was kept that keeping another one pays."""
        return time.monotonic() - self._last >= max(EVERY, SHARE * self._cost)

    @contextlib.contextmanager
    def put(self, name: str, values: Any = None) -> Iterator[Path]:
        """Give a folder to write the files of a part into; on leaving without an error the part is kept, with what `values` holds.

        Args:
            name: letters, digits and hyphens.
            values: numbers, text, tensors, and lists, tuples and dicts of these.
        """
        start = time.monotonic()
        with atomic_folder(self.path / name) as draft:
            yield draft
            torch.save(mapped(values, _by_itself), draft / "values.pt")
            checksums = {file.name: sha256(file) for file in sorted(draft.iterdir())}
            write_record(draft / "kept.json", {"checksums": checksums})
        self._last = time.monotonic()
        self._cost = self._last - start

    def get(self, name: str) -> tuple[Path, Any] | None:
        """The folder of a part and its values; None where it is absent, or damaged, in which case it is removed."""
        folder = self.path / name
        if not folder.is_dir():
            return None
        try:
            record = read_record(folder / "kept.json")
            for file, expected in record["checksums"].items():
                if sha256(folder / Path(file).name) != expected:
                    raise ValueError(f"{file} was changed")
            return folder, load_without_code(folder / "values.pt")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, UnpicklingError):
            self.drop(name)
            return None

    def names(self, unit: str) -> list[str]:
        """The parts of a unit, `<unit>-<how many of them are done>`, in the order of their numbers; they may be damaged."""
        found = self.path.glob(f"{unit}-*") if self.path.is_dir() else ()
        return sorted((part.name for part in found if re.fullmatch(rf"{unit}-\d+", part.name)), key=_number)

    def make_blocks(
        self,
        unit: str,
        count: int,
        pieces: Callable[[slice, Any], Iterator[tuple[slice, Piece]]],
        write: Callable[[list[Piece], Path], None],
        *,
        first: int = 0,
        after: int = 0,
    ) -> list[Path]:
        """Make what is in no kept block, and keep it in blocks; gives the folders of all blocks from `first` to before `count`.

        Args:
            unit: what is counted: "image", or what else the work goes through one after the other.
            count: how many there are.
            pieces: of a place, and what the piece before it carries (a dict, empty at the start), gives consecutive pieces with their places,
                and changes the dict to what the next piece must know.
            write: writes the pieces of a block into its folder.
            first: where to begin.   after: the end of the block whose carry is that of `first`; 0 where there is none.
        """
        before = self.get(f"{unit}-{after}") if after else None
        folders, done, carry = list[Path](), first, before[1]["carry"] if before else {}
        blocks = (self.get(name) for name in self.names(unit) if _number(name) > first)
        for folder, values in itertools.chain(filter(None, blocks), [(None, {"start": count})]):
            gap, made = slice(done, min(values["start"], count)), list[Piece]()
            for place, piece in pieces(gap, carry) if gap.start < gap.stop else ():
                made.append(piece)
                if self.due() or place.stop == gap.stop:
                    with self.put(f"{unit}-{place.stop}", {"start": done, "carry": carry}) as draft:
                        write(made, draft)
                    folders.append(self.path / f"{unit}-{place.stop}")
                    made, done = list[Piece](), place.stop
            if folder and values["start"] == done < count:
                folders.append(folder)
                done, carry = _number(folder.name), values["carry"]
            if done >= count:
                break
        assert done >= count, f"{unit}s up to {count} were to be made, and were up to {done}"
        return folders

    def drop(self, name: str) -> None:
        """Remove a part."""
        shutil.rmtree(self.path / name, ignore_errors=True)


def kept_folder(run: RunFolder, stage_id: str) -> Path:
    """Where the parts of a stage are kept, those made from other inputs too; they are of no use once the stage is complete."""
    return run.own(".kept") / check_stage_id(stage_id)


def kept_so_far(run: RunFolder) -> str:
    """What is kept of a run for the next time, in one sentence: the stages that are complete, and how far others have come."""
    stages = run.study().stages
    words = [f"{sum(run.complete(stage.id) for stage in stages)} of {len(stages)} stages are complete"]
    for stage in stages:
        done: dict[str, int] = {}
        for part in kept_folder(run, stage.id).glob("*/*-*"):
            unit, _, number = part.name.partition("-")
            if number.isdecimal():
                done[unit] = max(done.get(unit, 0), int(number))
        words += [f"{stage.title} is kept up to {unit} {number:,}" for unit, number in done.items()]
    return "; ".join(words)


class KeptState:
    """The last state of a training or of checks, as a part of their stage; see `palpate.models.resume.Resume`."""

    def __init__(self, kept: Kept, kind: str) -> None:
        self.kept, self.kind = kept, kind

    def load(self) -> dict[str, Any] | None:
        """The last state, or the one before where that is damaged."""
        found = (self.kept.get(name) for name in reversed(self.kept.names(self.kind)))
        return next((part[1] for part in found if part), None)

    def due(self) -> bool:
        """Whether enough work was done since the last state."""
        return self.kept.due()

    def save(self, done: int, state: dict[str, Any]) -> None:
        """Keep a state, and no longer those before it."""
        before = self.kept.names(self.kind)
        with self.kept.put(f"{self.kind}-{done}", state):
            pass
        for name in before:
            self.kept.drop(name)


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _by_itself(value: Any) -> Any:
    """A value as it can be read again without running code: a tensor on the CPU, in its own layout and without the rest of its storage."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be kept")
