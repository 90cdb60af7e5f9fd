"""The stage outputs of a run folder and their tables, in any state: read when asked for, and never more columns than needed.

A report of half a study is useful, so nothing here stops at a gap: an absent, failed or damaged stage output becomes a state of its stage
or a line in `problems`, and the page names it. What is shown was compared with its checksums first.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from palpate.core.errors import Damaged, InputError
from palpate.core.examine import metadata_problem
from palpate.core.records import StageOutput, StageRecord, StudyRecord
from palpate.core.rows import SCHEMA, metadata_file
from palpate.core.run_folder import RunFolder
from palpate.core.tables import DAMAGED
from palpate.statistics.curves import COUNTED

Value = TypeVar("Value")
Names = Sequence[str]
ALL = tuple(SCHEMA)

STATES = ("complete", "failed", "damaged", "outdated", "missing")
"""Of a stage: damaged where a file is not as it was written, outdated where it was made from a parent that was made again since."""

UNREADABLE: tuple[type[BaseException], ...] = (Exception, *DAMAGED)
"""What reading a damaged file may raise: the libraries that read them raise anything."""


class Stage(StageOutput):
    """A stage output of the study, and what has become of it.

    Attributes:
        state: one of `STATES`.   error: why it failed, or what is wrong with it, or "".
        folder: where it lies.   record: its stage.json; None where it is not complete.
        tasks: its own, and those of the stages that read it: a training of several findings serves the tasks of all.
    """

    state: str
    error: str
    folder: Path
    record: StageRecord | None
    tasks: frozenset[str]

    @property
    def facts(self) -> dict[str, Any]:
        """What the stage found out about itself; empty where it is not complete."""
        return self.record.facts if self.record else {}

    @property
    def weights(self) -> str:
        """The SHA-256 of the trained weights; "" where there are none."""
        found = self.record.files.get("weights.safetensors") if self.record else None
        return found.sha256 if found else ""

    @property
    def map_method(self) -> str:
        """The explainer of an explain stage."""
        return str(self.facts.get("method") or self.spec.get("method", "grad-cam"))

    def file(self, name: str) -> Path:
        """One of its files, whose checksum was compared when the run was opened.

        Raises:
            Damaged: stage.json does not list it, so that nobody knows what it should hold.
        """
        if self.record is None or name not in self.record.files:
            raise Damaged(f"{self.folder / name}: is not listed in stage.json; run the study again")
        return self.folder / name


@dataclasses.dataclass(frozen=True)
class StageTables:
    """A run folder as the report reads it.

    Attributes:
        path: the folder.   study: its study.json.   stages: in the study's order.
        problems: files of complete stages that could not be read, and sections that could not be made.
    """

    path: Path
    study: StudyRecord
    stages: tuple[Stage, ...]
    problems: list[str]

    def of(self, kind: str, task: str | None = None, model_id: str | None = None) -> list[Stage]:
        """The stages of a kind, in any state, of a task and a model when these are given."""
        chosen = [stage for stage in self.stages if stage.kind == kind and model_id in (None, stage.model_id)]
        return [stage for stage in chosen if task is None or task in stage.tasks]

    def complete(self, kind: str, task: str | None = None, model_id: str | None = None) -> list[Stage]:
        """As `of`, the complete ones."""
        return [stage for stage in self.of(kind, task, model_id) if stage.state == "complete"]

    def stage(self, stage_id: str) -> Stage | None:
        """The complete stage of an id; None where there is none."""
        return next((stage for stage in self.stages if stage.id == stage_id and stage.state == "complete"), None)

    def models(self, task: str) -> list[str]:
        """The models of a task in the study's order, whether or not they have results."""
        return list(dict.fromkeys(stage.model_id for stage in self.stages if task in stage.tasks and stage.model_id))

    def made_with(self) -> dict[str, list[str]]:
        """Of each package its versions, then "device" and "commit", as the stages recorded them; several where they were made differently."""
        records = [stage.record for stage in self.stages if stage.record]
        found: dict[str, list[str]] = {name: [] for record in records for name in record.versions}
        for record in records:
            for name, value in {**record.versions, "device": record.device, "commit": record.commit}.items():
                if value and value not in found.setdefault(name, []):
                    found[name].append(value)
        return found

    def map_label(self, stage: Stage) -> str:
        """What the maps of an explain stage are called: the model, and the method where the task has several."""
        methods = {each.map_method for each in self.of("explain", stage.task)}
        return stage.model_id if len(methods) == 1 else f"{stage.model_id}, {stage.map_method}"

    def prediction_rows(
        self, task: str | None = None, columns: Names = ALL, models: Names | None = None
    ) -> pl.DataFrame:
        """Clean rows of validation and test images, of these models or of all."""
        return self._rows("predict", task, columns, models)

    def attack_rows(self, task: str | None = None, columns: Names = ALL, models: Names | None = None) -> pl.DataFrame:
        """Rows of the attacked images of these models or of all, each once: two attacks on one model both store the same clean rows."""
        return self._clean_once(self._rows("attack", task, columns, models))

    def corruption_rows(self, task: str | None = None, columns: Names = ALL) -> pl.DataFrame:
        """Rows of the corrupted images, the clean ones once for each model."""
        return self._clean_once(self._rows("corrupt", task, columns, None))

    @staticmethod
    def _clean_once(every: pl.DataFrame) -> pl.DataFrame:
        once = ["task", "split", "finding", "model_id", "image_id"]
        clean = every.filter(epsilon_index=0).unique(once, keep="first", maintain_order=True)
        return pl.concat([clean, every.filter(pl.col("epsilon_index") > 0)])

    def attack_rows_of(self, stage: Stage, columns: Names = ALL) -> pl.DataFrame:
        """Rows of one attack stage; empty where they cannot be read."""
        return self._table(stage, "images.parquet", columns, SCHEMA)

    def metadata(self, task: str) -> pl.DataFrame:
        """Image_id and the columns that make subgroups; empty where there are none."""
        file = metadata_file(self.path, task)
        if why := metadata_problem(self.path, task, self.study.tasks[task]):
            self.problems.extend({why} - set(self.problems))
            return pl.DataFrame()
        found = self.attempt(f"metadata/{file.name}", lambda: pl.read_parquet(file)) if file.is_file() else None
        return pl.DataFrame() if found is None else found

    def table(self, kind: str, name: str, task: str | None = None) -> pl.DataFrame:
        """A table that is no table of rows, from all complete stages of a kind: history.parquet, explanations.parquet."""
        found = [self._table(stage, name) for stage in self.complete(kind, task)]
        return pl.concat(found, how="diagonal_relaxed") if found else pl.DataFrame()

    def attempt(self, label: str, load: Callable[[], Value]) -> Value | None:
        """Call `load`; where what it reads is damaged, add a problem and give None."""
        try:
            return load()
        except UNREADABLE as error:
            problem = f"{label}: {error}"
            if problem not in self.problems:
                self.problems.append(problem)
            return None

    def _rows(self, kind: str, task: str | None, columns: Names, models: Names | None) -> pl.DataFrame:
        stages = [stage for stage in self.complete(kind, task) if models is None or stage.model_id in models]
        found = [self._table(stage, "images.parquet", columns, SCHEMA) for stage in stages]
        return pl.concat(found) if found else pl.DataFrame(schema={name: SCHEMA[name] for name in columns})

    def _table(
        self, stage: Stage, name: str, columns: Names = (), schema: Mapping[str, Any] | None = None
    ) -> pl.DataFrame:
        def load() -> pl.DataFrame:
            scanned = pl.scan_parquet(stage.file(name))
            if schema is not None and dict(scanned.collect_schema()) != schema:
                raise InputError("is no table of rows of this version; run the study again")
            return (scanned.select(columns) if columns else scanned).collect()

        empty = {column: schema[column] for column in columns} if schema else {}
        found = self.attempt(f"{stage.id}/{name}", load)
        return pl.DataFrame(schema=empty) if found is None else found


MADE_ON = ("device", "commit")
"""What `StageTables.made_with` holds besides packages."""

ATTACKED = (*COUNTED, "radius", "prediction")
"""The columns of attacked rows that curves and rankings need."""


def open_tables(path: Path) -> StageTables:
    """Open a run folder, complete or not.

    Raises:
        InputError: the folder is no run folder, was made by another version, or its study.json cannot be read.
    """
    run = RunFolder(Path(path))
    tables = StageTables(run.path, run.study(), (), [])
    failures = run.failures()

    readers: dict[str, set[str]] = {}
    for planned in tables.study.stages:
        for read in (planned.id, *(parent.id for parent in planned.parents)):
            readers.setdefault(read, set()).add(planned.task)

    def stage(planned: StageOutput) -> Stage:
        (state, why), record = run.state(planned), None
        if state == "complete":
            record = run.stage(planned.id)
        elif planned.id in failures:
            state, why = "failed", failures[planned.id].error
        elif why:
            tables.problems.append(f"{planned.title}: {state}, so it is not shown: {why}")
        tasks = frozenset(readers[planned.id])
        return Stage(**dict(planned), state=state, error=why, folder=run.folder(planned.id), record=record, tasks=tasks)

    return dataclasses.replace(tables, stages=tuple(stage(planned) for planned in tables.study.stages))
