"""The JSON records of a run folder, one schema each: written by a study, read by the report, checked by both."""

import hashlib
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from palpate.core.epsilon import Scale
from palpate.core.errors import InputError
from palpate.core.spec import Name, Spec

FORMAT = 3
"""Of a run folder; raised when the records change so that an older palpate could not read them. Version 0.1 stated none."""

Kind = Literal["train", "predict", "attack", "explain", "trust", "corrupt"]
Role = Literal["model", "attack", "sibling"]
"""What a stage reads its parent for: the trained model, the attack to explain or examine, or another model of the same task."""

STAGE_ID = "^(train|predict|attack|explain|trust|corrupt)-[0-9a-f]{16}$"
Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
StageId = Annotated[str, Field(pattern=STAGE_ID)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Checksum = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Subject = Literal["model", "result"]
Status = Literal["fail", "warn", "not run", "pass"]
"""What a check found, the most alarming first."""


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Figure = Annotated[float | None, BeforeValidator(_finite)]
"""A number, or None where there is none: JSON knows neither infinity nor NaN."""


def check_stage_id(value: str) -> str:
    """Give back an id that may become a path.

    Raises:
        InputError: it is not a kind and a fingerprint.

    >>> check_stage_id("../train-0123456789abcdef")
    Traceback (most recent call last):
    palpate.core.errors.InputError: stage id must be a kind and 16 hex digits, such as train-0123456789abcdef, given '../train-0123456789abcdef'
    """
    if not re.fullmatch(STAGE_ID, value):
        raise InputError(f"stage id must be a kind and 16 hex digits, such as train-0123456789abcdef, given {value!r}")
    return value


class Parent(Spec):
    """A stage that another reads, and what for."""

    kind: Kind
    id: StageId
    role: Role

    @model_validator(mode="after")
    def _of_its_kind(self) -> "Parent":
        if not self.id.startswith(f"{self.kind}-"):
            raise ValueError(f"id must be that of a {self.kind} stage, given {self.id!r}")
        return self


class StageOutput(Spec):
    """One node of a study, planned or made. What it is made of decides its name, so an equal one is never made twice.

    Attributes:
        kind: what makes it.
        fingerprint: of everything that changes its result.
        title: for people.
        task, model_id: what it belongs to.
        spec: everything that changes its result, besides its parents.
        parents: the stages that it reads.
    """

    kind: Kind
    fingerprint: Fingerprint
    title: str
    task: str
    model_id: str
    spec: dict[str, Any]
    parents: tuple[Parent, ...] = ()

    @property
    def id(self) -> str:
        """The name of its folder."""
        return f"{self.kind}-{self.fingerprint}"

    def parent(self, role: Role) -> Parent | None:
        """The first parent of a role, or None."""
        return next((parent for parent in self.parents if parent.role == role), None)


class TaskRecord(Spec):
    """What a report says of a task's data.

    Attributes:
        title, classes, finding, licence, cite: as the task states them; classes in label order.
        kind: "real" or "synthetic".
        size: side of the images in pixels.
        images, groups: numbers per split: "train", "val", "test".
        majority_rate: share in [0, 1] of the test images in their most frequent class.
        identity: SHA-256 over ids, labels, groups, splits and pixels.
        notes: what was done to the data and what a reader of results must know about them.
        epsilons: radii in [0, 1], rising.
        scale: the values of the files that became 0 and 1, their unit, and how many levels lie between.
        disease: the labels that count as disease; none where any misclassification counts.
        part_of, whole: the task with several findings of which this is one, and the identity of its data; or "".
        metadata: SHA-256 of the file with the columns that make subgroups.
    """

    title: str
    classes: tuple[str, ...]
    finding: str
    licence: str
    cite: str
    kind: str
    size: int
    images: dict[str, int]
    groups: dict[str, int]
    majority_rate: float
    identity: str
    notes: tuple[str, ...]
    epsilons: tuple[float, ...]
    scale: Scale = Scale()
    disease: tuple[int, ...] = ()
    part_of: str = ""
    whole: str = ""
    metadata: str = ""


class StudyFacts(Spec):
    """What was asked for and what the data are.

    Attributes:
        name, title: of the study.
        tasks: by name, in the study's order.
        spec: the study itself, as it can be written in TOML.
    """

    name: Name
    title: str
    tasks: dict[Name, TaskRecord]
    spec: dict[str, Any]


class FileRecord(Spec):
    """A file of a stage output as it was written: its size in bytes and its SHA-256."""

    size: int = Field(ge=0)
    sha256: Checksum


class StageRecord(StageOutput):
    """stage.json: a stage output that was made, and how.

    Attributes:
        versions: of Python and of the packages that can change a result.
        commit: of palpate's own sources, "+" added when files were changed since; None outside a git checkout.
        device: the card's name, or the number of threads.
        seconds: spent on making it.
        created: date and time, ISO 8601, UTC.
        files: each of its files by name, as it was written.
        made_from: the `content` of each parent that was read; one that had failed is absent.
        facts: what the stage found out about itself, such as passes spent.
        study: for what study it was made, so that study.json can be written again; None where there was none.
    """

    versions: dict[str, str]
    commit: str | None
    device: str
    seconds: float = Field(ge=0)
    created: str
    files: dict[FileName, FileRecord]
    made_from: dict[StageId, Checksum]
    facts: dict[str, Any]
    study: StudyFacts | None = None

    @property
    def content(self) -> str:
        """The SHA-256 of all its files together: two outputs of equal content are equal to the stages that read them."""
        lines = (f"{file.sha256} {name}\n" for name, file in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


class FailureRecord(Spec):
    """failed/STAGE.json: why a stage failed; removed when it succeeds."""

    id: StageId
    title: str
    error: str
    traceback: str
    created: str


class StudyRecord(StudyFacts):
    """study.json: what was asked for, the data's facts, and the stage outputs in the order in which they can be made.

    Attributes:
        format: of the run folder.
        palpate: the version that wrote it.
        created: date and time, ISO 8601, UTC.
        stages: parents first.
    """

    format: Literal[3]
    palpate: str
    created: str
    stages: tuple[StageOutput, ...]

    @model_validator(mode="after")
    def _of_its_tasks(self) -> "StudyRecord":
        known = self.tasks.keys() | {record.part_of for record in self.tasks.values()}
        if others := sorted({stage.task for stage in self.stages} - known):
            raise ValueError(f"stages must be of the study's tasks, given stages of {', '.join(others)}")
        return self


class VerdictRecord(Spec):
    """What one check found, in figures and in one sentence.

    A robust accuracy is an upper bound that a better attack may lower. So no verdict says that a model withstands attacks: it says that a known way
    of overestimating its robustness was found, was not found, or was not looked for.

    Attributes:
        name: the check.
        subject: "model": would a standard PGD attack overestimate its robustness? "result": can this sweep be trusted?
        status: "pass", "warn", "fail" or "not run".
        figure: what was measured, in `unit`; None where nothing could be measured.
        threshold: the figure above which the check fails (with at least three images); None for information, which has none.
        unit: "points" (hundredths of accuracy), "share" (of images, in [0, 1]), or other.
        advice: one sentence: what was seen, and what to do about it.
        source: article and section that the check comes from.
        passes_forward, passes_backward: passes spent, one per image.
    """

    name: str
    subject: Subject
    status: Status
    figure: Figure
    threshold: Figure
    unit: str
    advice: str
    source: str
    passes_forward: int = 0
    passes_backward: int = 0

    @property
    def information(self) -> bool:
        """Whether this is a figure without a threshold, which can neither pass nor fail."""
        return self.threshold is None


def summarise_verdicts(verdicts: Iterable[VerdictRecord]) -> str:
    """Verdicts in one line; figures without a threshold are no checks and are not counted.

    >>> noise = VerdictRecord(name="noise", subject="model", status="pass", figure=0.0, threshold=1.0, unit="points", advice="", source="")
    >>> transfer = VerdictRecord(**{**noise.to_dict(), "name": "transfer", "status": "not run"})
    >>> summarise_verdicts([noise, noise, transfer])
    'no failure detected by 2 of 3 checks, 1 not run'
    >>> summarise_verdicts([transfer])
    'not checked: none of 1 checks was run'
    >>> summarise_verdicts([noise, VerdictRecord(**{**noise.to_dict(), "status": "fail"})])
    '1 of 2 checks failed: noise'
    """
    checks = [verdict for verdict in verdicts if not verdict.information]
    failed = [verdict.name for verdict in checks if verdict.status == "fail"]
    warned, absent = (sum(verdict.status == status for verdict in checks) for status in ("warn", "not run"))
    if not checks:
        return "no checks"
    if absent == len(checks):
        return f"not checked: none of {len(checks)} checks was run"
    words = f"no failure detected by {len(checks) - absent} of {len(checks)} checks"
    if failed:
        words = f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}"
    extra = [f"{warned} with a warning"] * bool(warned) + [f"{absent} not run"] * bool(absent)
    return ", ".join([words, *extra])
