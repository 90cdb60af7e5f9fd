"""From a study to its stages: what must be made, named by everything that changes it, in an order in which it can be made; and study.json from them.

A fingerprint hashes the stage's specification, its parents, the identity of the data and a version number per kind, and nothing else: neither the
device nor the folder, so a study can be moved and go on.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from palpate.core.epsilon import Scale
from palpate.core.errors import InputError
from palpate.core.formatting import plain_name
from palpate.core.records import Kind, Parent, Role, StageOutput, TaskRecord
from palpate.core.run_folder import RunFolder
from palpate.core.spec import Spec, fingerprint
from palpate.study.spec import OWN, SOURCES, AttackSpec, ModelSpec, Study, TaskSpec

OTHER = {"epsilons", "training", "disease", "subgroups", "images", "columns", "group", *SOURCES, *OWN}
"""Settings of a task that do not count for its data: the identity says which images, labels, groups and splits they gave."""

VERSIONS: dict[Kind, int] = {"train": 2, "predict": 3, "attack": 4, "explain": 3, "trust": 4, "corrupt": 1}
"""Raised when a kind of stage changes what it computes, so that old results are not taken for new ones."""


@dataclasses.dataclass(frozen=True)
class Data:
    """What a plan needs of a task's data: the identity of images, labels and splits, their scale, and the names of several findings."""

    identity: str
    scale: Scale
    findings: tuple[str, ...] = ()


def finding_task(task: str, finding: str) -> str:
    """What one finding of a task is called, where stages and reports name a task.

    >>> finding_task("chest", "pleural effusion")
    'chest.pleural-effusion'
    """
    return f"{task}.{plain_name(finding)}"


def plan(study: Study, datasets: Mapping[str, Data]) -> tuple[StageOutput, ...]:
    """List the stage outputs of a study, parents first.

    Args:
        study: what is asked for.
        datasets: for each task by name.

    Returns:
        Train, predict, attack, corrupt, explain and trust stages for every task, model and seed. Of several findings each has its own, but for
        the training, under the name that `finding_task` gives.

    Raises:
        InputError: two findings, or a finding and a task, whose names as file names are one.
    """
    named = [task.name for task in study.tasks]
    named += [finding_task(task.name, finding) for task in study.tasks for finding in datasets[task.name].findings]
    if twins := sorted({name for name in named if named.count(name) > 1}):
        raise InputError(f"tasks and findings must differ in name, given twice as a file's name: {', '.join(twins)}")
    stages: list[StageOutput] = []
    for task in study.tasks:
        data = datasets[task.name]
        models = [_Model(study, task, data, model, seed) for model in study.models for seed in study.seeds]
        trained = [model.train() for model in models]
        for index, model in enumerate(models):
            siblings = trained[index + 1 :] + trained[:index]
            stages.append(trained[index])
            for finding in data.findings or (None,):
                stages += model.evaluated(finding, trained[index], siblings[:1])
    return tuple(stages)


class _Model:
    """The stages of one model of one task: trained, predicted, attacked by each attack, explained, and each sweep examined."""

    def __init__(self, study: Study, task: TaskSpec, data: Data, model: ModelSpec, seed: int):
        self.study, self.task, self.data, self.model, self.seed = study, task, data, model, seed
        self.id = model_id(model, seed)

    def train(self) -> StageOutput:
        data = _spec(self.task, OTHER) | {"identity": self.data.identity}
        training = _spec(self.study.training_of(self.task, self.model))
        model = self.model.identity()
        return self._stage("train", {"data": data, "model": model, "training": training, "seed": self.seed})

    def evaluated(self, finding: str | None, train: StageOutput, siblings: list[StageOutput]) -> list[StageOutput]:
        """All stages of the model but its training; of one of several findings where one is named.

        The first attack is the one that is explained. A sibling is another model of the task, trained independently: what fools it should not fool
        this one where the attack found nothing.
        """
        own: tuple[Role, StageOutput] = ("model", train)
        made = [self._stage("predict", {}, own, finding=finding)]
        others: list[tuple[Role, StageOutput]] = [("sibling", sibling) for sibling in siblings]
        attacks: list[StageOutput] = []
        examined: list[tuple[AttackSpec, list[tuple[Role, StageOutput]]]] = []
        for attack in self.study.attacks:
            spec = {"attack": _spec(attack, {"epsilons"}), "epsilons": self._epsilons(attack)}
            spec["samples"] = self.study.explain.images
            attacks.append(self._stage("attack", spec, own, by=attack.name, finding=finding))
            if not attack.attack.every_epsilon:
                examined.append((attack, [("attack", attacks[-1])]))
        explain, trust = [], []
        for spec in self.study.methods_of(self.model):
            by = spec.get("method", "")
            explain.append(self._stage("explain", spec, own, ("attack", attacks[0]), by=by, finding=finding))
        for attack, found in examined or [(self.study.attacks[0], [])]:
            spec = _spec(self.study.trust) | {"epsilons": self._epsilons(attack)}
            spec |= {"attack": _spec(attack, {"epsilons"})} if attack.aimed else {}  # which images it left out
            trust.append(self._stage("trust", spec, own, *found, *others, finding=finding))
        for one in self.study.corruptions:
            attacks.append(self._stage("corrupt", _spec(one), own, by=one.name, finding=finding))
        return [*made, *attacks, *explain, *trust]

    def _epsilons(self, attack: AttackSpec) -> list[float]:
        return list(self.study.epsilons_of(self.task, self.data.scale, attack))

    def _stage(
        self,
        kind: Kind,
        spec: dict[str, Any],
        *parents: tuple[Role, StageOutput],
        by: str = "",
        finding: str | None = None,
    ) -> StageOutput:
        task = self.task.name
        if finding is not None:
            spec, task = spec | {"finding": finding}, finding_task(task, finding)
        read = tuple(Parent(kind=parent.kind, id=parent.id, role=role) for role, parent in parents)
        named = {"kind": kind, "version": VERSIONS[kind], "spec": spec, "parents": [p.to_dict() for p in read]}
        title = f"{kind} {self.id} on {task}" + (f" by {by}" if by else "")
        about = {"title": title, "task": task, "model_id": self.id, "fingerprint": fingerprint(named)}
        return StageOutput(kind=kind, **about, spec=spec, parents=read)


def _spec(spec: Spec, exclude: set[str] | None = None) -> dict[str, Any]:
    """A specification without what is absent, so that a setting added later leaves older stages their names."""
    return spec.model_dump(mode="json", exclude=exclude, exclude_none=True)


def model_id(model: ModelSpec, seed: int) -> str:
    """The name of one trained model.

    >>> model_id(ModelSpec(backbone="resnet18", attention="full"), 0)
    'resnet18+full#0'
    """
    return f"{model.name}#{seed}"


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
