"""study.json written again from what the stage outputs say of the study that they were made for."""

from collections.abc import Mapping

from palpate.core.errors import InputError
from palpate.core.records import TaskRecord
from palpate.core.run_folder import RunFolder
from palpate.study.plan import Data, plan
from palpate.study.spec import Study


def rebuild(run: RunFolder) -> None:
    """Write study.json as the study had it for which the newest stage output was made.

    Raises:
        InputError: no stage output says for what study it was made, or the study cannot be planned here (a plug-in or a file of weights is absent).
    """
    made = [record for record in run.stage_records() if record.study is not None]
    if not made:
        remedy = "run the study again"
        raise InputError(f"{run.path}: no stage output is whole, so study.json cannot be written again; {remedy}")
    facts = max(made, key=lambda record: record.created).study
    assert facts is not None
    study = Study.read(facts.spec, f"{run.path}: the study of its stage outputs")
    data = {task.name: _data(task.name, facts.tasks) for task in study.tasks}
    run.write_study(**dict(facts), stages=plan(study, data))


def _data(name: str, records: Mapping[str, TaskRecord]) -> Data:
    """A task's data, from the records of the task or of its findings."""
    if name in records:
        return Data(records[name].identity, records[name].scale)
    parts = [record for record in records.values() if record.part_of == name]
    return Data(parts[0].whole, parts[0].scale, tuple(part.finding for part in parts))
