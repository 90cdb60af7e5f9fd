"""Acceptance criteria judged on a run folder: the criteria, the required checks, and what the answer rests on."""

import dataclasses
from pathlib import Path
from typing import Any

import polars as pl
from pydantic_core import to_jsonable_python

from palpate.core.io import sha256
from palpate.core.provenance import versions
from palpate.core.rows import SCHEMA
from palpate.report.stages import MADE_ON, StageTables, open_tables
from palpate.report.verdicts import read as read_verdicts
from palpate.statistics.acceptance import Judgement, State, judge
from palpate.statistics.criteria import Criteria, read_criteria

EXIT_CODES: dict[State, int] = {"met": 0, "not met": 1, "undecided": 3}
"""Of the command; 2 is a user's mistake."""


@dataclasses.dataclass(frozen=True)
class Acceptance:
    """What was asked, of which run, and the answers.

    Attributes:
        criteria: as read.   file, digest: where from, and the SHA-256 of the file, which shows that it was not changed since.
        study, study_digest: the name of the run and the SHA-256 of its study.json.   baseline: the other run, or None.
        judgements: in the order of the criteria, then of the required checks.
        facts: devices, versions and commits of the stages.
    """

    criteria: Criteria
    file: Path
    digest: str
    study: str
    study_digest: str
    baseline: Path | None
    judgements: tuple[Judgement, ...]
    facts: dict[str, list[str]]

    @property
    def state(self) -> State:
        """Not met if any is not met, else undecided if any is."""
        found = {one.state for one in self.judgements}
        return "not met" if "not met" in found else "undecided" if "undecided" in found else "met"

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; an infinite radius is null."""
        criteria = {"name": self.criteria.name, "date": str(self.criteria.date), "sha256": self.digest}
        told = {"palpate": versions()["palpate"], "state": self.state, "criteria": criteria}
        told |= {"run": {"name": self.study, "sha256": self.study_digest}}
        told |= {"baseline": None if self.baseline is None else self.baseline.name}
        return told | {"results": to_jsonable_python(self.judgements, inf_nan_mode="null"), "facts": self.facts}


def check_run(criteria: Path, run: Path, baseline: Path | None = None) -> Acceptance:
    """Judge a run by a file of criteria.

    Raises:
        InputError: a file cannot be read, a criterion is about what the run does not hold, or the baseline is of other images.
    """
    asked, tables = read_criteria(criteria), open_tables(run)
    rows = _rows(tables)
    old = None if baseline is None else _rows(open_tables(baseline))
    judgements = [found for one in asked.criteria for found in judge(one, rows, old)]
    judgements += _checks(asked, tables)
    named = asked, criteria, sha256(criteria), tables.study.name, sha256(tables.path / "study.json")
    return Acceptance(*named, baseline, tuple(judgements), _facts(tables))


def _rows(tables: StageTables) -> pl.DataFrame:
    """Attacked rows, and the clean rows of images that no attack saw."""
    columns = [name for name in SCHEMA if name != "logits"]
    attacked = tables.attack_rows(columns=columns)
    once = ["task", "split", "finding", "model_id", "image_id", "epsilon_index"]
    clean = tables.prediction_rows(columns=columns).join(attacked.select(once), on=once, how="anti", nulls_equal=True)
    return pl.concat([attacked, clean])


def _checks(asked: Criteria, tables: StageTables) -> list[Judgement]:
    """One judgement for each attack that has to pass checks."""
    if not asked.checks:
        return []
    found: list[tuple[str, State, str]] = []
    for stage in tables.of("trust"):
        verdicts = {one.name: one for one in read_verdicts(stage)[2] if not one.information}
        names = sorted(verdicts) if asked.checks == "all" else asked.checks
        failed = [name for name in names if name in verdicts and verdicts[name].status == "fail"]
        absent = [name for name in names if name not in verdicts or verdicts[name].status == "not run"]
        state: State = "not met" if failed else "undecided" if absent or not names else "met"
        why = [f"{name}: {verdicts[name].advice}" for name in failed]
        why += [f"not run: {', '.join(absent)}"] * bool(absent) + ["no check was run"] * (not names)
        found.append((stage.title, state, "; ".join(why)))
    found = found or [(tables.study.name, "undecided", "the run holds no checks")]
    return [Judgement("required checks", "checks", of, "", state, None, 0.0, why) for of, state, why in found]


def _facts(tables: StageTables) -> dict[str, list[str]]:
    found = tables.made_with()
    versions = [f"{name} {each}" for name, values in found.items() if name not in MADE_ON for each in values]
    weights = [f"{stage.model_id} {stage.weights}" for stage in tables.complete("train") if stage.weights]
    facts = {"devices": found.get("device", ()), "versions": versions, "commits": found.get("commit", ())}
    return {name: sorted(values) for name, values in (facts | {"weights": weights}).items()}
